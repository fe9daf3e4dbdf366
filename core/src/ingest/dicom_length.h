#pragma once
// GDCM fills missing pixels with zeros without a word: whether a file holds all of them is looked at before.

#include <filesystem>

namespace ivory::ingest {

// Throws bad_request when a file that begins as DICOM ends within its first group: GDCM would end the process.
void check_dicom_start(const std::filesystem::path& file);

// Walks over a DICOM file's elements without reading their values. Throws bad_request, with the bytes expected and got,
// where the pixel data end early, are fewer than rows · columns · frames need, or are enough for more frames. What is
// no DICOM file, or cannot be walked over (a deflated data set, damage elsewhere), is left to the reader.
void check_dicom_pixels(const std::filesystem::path& file);

}  // namespace ivory::ingest
