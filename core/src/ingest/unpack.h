#pragma once
// Compressed streams of untrusted files, unpacked whole: a stream proves its length, its checksum and its end.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ivory::ingest {

enum class Packing { deflate, bzip2 };  // deflate: zlib's or gzip's wrapping, of several gzip members too

// Unpacks `packed` into exactly `out`. Returns what is wrong with the stream ("ends early, …"), or "" if nothing is.
// Zeros may follow the stream (padding of a disk or tape); anything else behind it is an error.
std::string unpack(std::span<const uint8_t> packed, Packing packing, std::span<uint8_t> out);

// The bytes of a file from `begin` to its end. Throws bad_request when it cannot be read.
std::vector<uint8_t> bytes_of(const std::filesystem::path& file, int64_t begin = 0);

}  // namespace ivory::ingest
