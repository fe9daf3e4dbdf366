#pragma once
// The directory of a zip archive, looked at before LibTorch's reader takes memory for what it claims.

#include <filesystem>
#include <string>

namespace ivory::train {

// Throws bad_request when the directory is damaged, or claims more than 4 KiB for a record that LibTorch's reader reads
// as soon as it opens an archive (version, serialization_id). `where` begins the sentences.
void check_zip_directory(const std::filesystem::path& file, const std::string& where);

}  // namespace ivory::train
