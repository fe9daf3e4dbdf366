#pragma once
// What DICOM says beyond voxels and geometry.

#include "ingest/itk_io.h"

namespace ivory::ingest {

// Sets the scan's modality and inverts MONOCHROME1, where high values are dark.
void apply_dicom_tags(itk::ImageIOBase& io, Scan& scan);

}  // namespace ivory::ingest
