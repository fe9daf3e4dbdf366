#pragma once
// A whole gzip file at once, with libdeflate: two to three times as fast as a stream.

#include <ivory/torch.h>

#include <filesystem>
#include <optional>

namespace ivory::ingest {

// What a file of one gzip member holds, checksum compared: at least `least` bytes and at most a few MiB more. Nothing
// where the file is anything else, damaged for instance: reading it as a stream tells what.
std::optional<torch::Tensor> inflate_file(const std::filesystem::path& file, int64_t least);  // uint8 [bytes]

}  // namespace ivory::ingest
