#include "ingest/gzip_file.h"

#include <libdeflate.h>

#include <fstream>
#include <memory>
#include <vector>

namespace ivory::ingest {
namespace {

constexpr int64_t padding = int64_t{4} << 20;  // behind the voxels, as the stream reader takes it

std::vector<uint8_t> gzip_bytes(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<uint8_t> bytes(2);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), 2) || bytes[0] != 0x1F || bytes[1] != 0x8B) return {};
  bytes.resize(std::filesystem::file_size(file));
  in.read(reinterpret_cast<char*>(bytes.data()) + 2, static_cast<std::streamsize>(bytes.size()) - 2);
  if (!in) return {};
  return bytes;
}

}  // namespace

std::optional<torch::Tensor> inflate_file(const std::filesystem::path& file, int64_t least) {
  const std::vector<uint8_t> packed = gzip_bytes(file);
  if (packed.empty()) return std::nullopt;
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  torch::Tensor bytes = torch::empty({least + padding}, torch::kUInt8);
  size_t used = 0, made = 0;
  const auto result =
      libdeflate_gzip_decompress_ex(inflater.get(), packed.data(), packed.size(), bytes.mutable_data_ptr(),
                                    static_cast<size_t>(bytes.numel()), &used, &made);
  if (result != LIBDEFLATE_SUCCESS || used != packed.size() || static_cast<int64_t>(made) < least) return std::nullopt;
  return bytes.narrow(0, 0, static_cast<int64_t>(made));
}

}  // namespace ivory::ingest
