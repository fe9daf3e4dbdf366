#pragma once
// Kinds of DICOM objects: those that are no images are skipped.

#include <filesystem>
#include <string>

namespace ivory::ingest {

// "a structured report", for a SOP class of objects that are neither images nor volumes; empty for all others.
std::string no_image_of_class(const std::string& sop_class);

// The SOP class that a file's first group names, read by us; empty where it has none.
std::string class_in_first_group(const std::filesystem::path& file);

}  // namespace ivory::ingest
