#pragma once
// What the ITK readers share. Includes ITK: only for the .cpp files that read with it.

#include <itkImageIOBase.h>

#include "ingest/scan.h"

namespace ivory::ingest {

// Reads the information first, then the voxels of an ImageIO: one value per voxel [slices, rows, columns], in the
// file's type (single_channel() of pictures.h). Throws bad_request with one sentence.
torch::Tensor read_information_and_voxels(itk::ImageIOBase& io, const std::filesystem::path& file, Scan& scan);

// Of the information read, in our frame; not checked for right angles.
Geometry geometry_of(const itk::ImageIOBase& io);

// "what: " and the part of an ITK message that says something.
std::string reason(const itk::ExceptionObject& error);

}  // namespace ivory::ingest
