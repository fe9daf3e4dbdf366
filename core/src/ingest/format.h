#pragma once
// What a file holds, by its first bytes; by its name only when they say nothing (a damaged file keeps its format).

#include <filesystem>
#include <optional>
#include <string>

namespace ivory::ingest {

enum class Format { nifti, meta, nrrd, dicom, png, jpeg, tiff };

std::optional<Format> format_of(const std::filesystem::path& file);

// The file's name without the endings of its format: "ch2.nii.gz" → "ch2", "CTChest.seg.nrrd" → "CTChest.seg".
std::string stem_of(const std::filesystem::path& file);

}  // namespace ivory::ingest
