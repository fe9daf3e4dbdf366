#pragma once
// MetaImage and NRRD files in every form in which their voxels can be stored.

#include <bzlib.h>
#include <fmt/format.h>
#include <zlib.h>

#include "ingest/volume_files.h"

namespace ivory::ingest::testing {

inline std::string deflated(const std::string& bytes, bool gzip = false) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, gzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<unsigned>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<unsigned>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string bzipped(const std::string& bytes) {
  std::string out(2 * bytes.size() + 700, '\0');
  auto size = static_cast<unsigned>(out.size());
  BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(bytes.data()), static_cast<unsigned>(bytes.size()), 9,
                           0, 0);
  out.resize(size);
  return out;
}

// int16 values as text and as hexadecimal digits.
inline std::string as_text(const torch::Tensor& voxels) {
  std::string text;
  const torch::Tensor flat = voxels.contiguous().view({-1});
  for (int64_t i = 0; i < flat.numel(); ++i)
    text += std::to_string(flat[i].item<int64_t>()) + (i % 10 == 9 ? "\n" : " ");
  return text;
}

inline std::string as_hex(const std::string& bytes) {
  std::string text;
  for (const char c : bytes)
    text += fmt::format("{}{:02x}", text.size() % 60 > 57 ? "\n" : "", static_cast<uint8_t>(c));
  return text;
}

// A header, and the files that hold the voxels: none but the header's own where they are attached.
struct StoredFile {
  std::string name;                                       // of the header
  std::string header;                                     // ends where attached voxels begin
  std::vector<std::pair<std::string, std::string>> data;  // name (empty: attached) and bytes
  bool compressed = false;

  void write(const std::filesystem::path& folder) const {
    std::string head = header;
    for (const auto& [file, bytes] : data) {
      if (file.empty()) head += bytes;
      if (!file.empty()) write_bytes(folder / file, bytes);
    }
    write_bytes(folder / name, head);
  }
};

inline std::string meta_header(const torch::Tensor& voxels, const std::string& fields, const std::string& data_file) {
  return fmt::format(
      "ObjectType = Image\nNDims = 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -10 -20 -30\nElementSpacing = 0.8 "
      "0.9 "
      "2.5\nDimSize = {} {} {}\n{}ElementType = MET_SHORT\nElementDataFile = {}\n",
      voxels.size(2), voxels.size(1), voxels.size(0), fields, data_file);
}

inline std::string nrrd_header(const torch::Tensor& voxels, const std::string& encoding,
                               const std::string& fields = "") {
  return fmt::format(
      "NRRD0005\n# by hand\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {} {} {}\nspace "
      "directions: "
      "(0.8,0,0) (0,0.9,0) (0,0,2.5)\nspace origin: (-10,-20,-30)\nendian: little\nencoding: {}\n{}",
      voxels.size(2), voxels.size(1), voxels.size(0), encoding, fields);
}

// One file a slice: "s0.raw", "s1.raw", …, each through `pack`.
template <class Pack>
std::vector<std::pair<std::string, std::string>> slices_of(const torch::Tensor& voxels, Pack pack) {
  std::vector<std::pair<std::string, std::string>> files;
  for (int64_t i = 0; i < voxels.size(0); ++i)
    files.emplace_back(fmt::format("s{}.raw", i), pack(raw_bytes(voxels[i])));
  return files;
}

// The same int16 voxels in every form of both formats.
inline std::vector<StoredFile> every_form(const torch::Tensor& voxels) {
  const std::string raw = raw_bytes(voxels), zlib = deflated(raw), gzip = deflated(raw, true), bzip2 = bzipped(raw);
  const auto as_is = [](const std::string& bytes) { return bytes; };
  const auto packed = [](const std::string& bytes) { return deflated(bytes); };
  const auto zipped = [](const std::string& bytes) { return deflated(bytes, true); };
  std::string list = "LIST\n";
  for (int64_t i = 0; i < voxels.size(0); ++i) list += fmt::format("s{}.raw\n", i);
  const std::string numbered = fmt::format("s%d.raw 0 {} 1", voxels.size(0) - 1);
  const auto meta = [&](const std::string& fields, const std::string& where) {
    return meta_header(voxels, fields, where);
  };
  const auto nrrd = [&](const std::string& encoding, const std::string& fields) {
    return nrrd_header(voxels, encoding, fields);
  };
  const std::string sized = fmt::format("CompressedData = True\nCompressedDataSize = {}\n", zlib.size());
  return {{"raw.mha", meta("", "LOCAL"), {{"", raw}}},
          {"lower.mha", meta("", "Local"), {{"", raw}}},
          {"text.mha", meta("BinaryData = False\n", "LOCAL"), {{"", as_text(voxels)}}},
          {"zlib.mha", meta(sized, "LOCAL"), {{"", zlib}}, true},
          {"nosize.mha", meta("CompressedData = true\n", "LOCAL"), {{"", zlib}}, true},
          {"one.mha", meta("CompressedData = 1\n", "LOCAL"), {{"", gzip}}, true},
          {"raw.mhd", meta("", "d.raw"), {{"d.raw", raw}}},
          {"zraw.mhd", meta(sized, "d.zraw"), {{"d.zraw", zlib}}, true},
          {"list.mhd", meta("", list), slices_of(voxels, as_is)},
          {"zlist.mhd", meta("CompressedData = True\n", list), slices_of(voxels, packed), true},
          {"pattern.mhd", meta("", numbered), slices_of(voxels, as_is)},
          {"raw.nrrd", nrrd("raw", "\n"), {{"", raw}}},
          {"text.nrrd", nrrd("ascii", "\n"), {{"", as_text(voxels)}}},
          {"hex.nrrd", nrrd("hex", "\n"), {{"", as_hex(raw)}}},
          {"gzip.nrrd", nrrd("gzip", "\n"), {{"", gzip}}, true},
          {"bzip2.nrrd", nrrd("bzip2", "\n"), {{"", bzip2}}, true},
          {"raw.nhdr", nrrd("raw", "data file: d.raw\n"), {{"d.raw", raw}}},
          {"gzip.nhdr", nrrd("gz", "datafile: d.raw.gz\n"), {{"d.raw.gz", gzip}}, true},
          {"bzip2.nhdr", nrrd("bz2", "data file: d.bz2\n"), {{"d.bz2", bzip2}}, true},
          {"list.nhdr", nrrd("raw", "data file: " + list), slices_of(voxels, as_is)},
          {"zlist.nhdr", nrrd("gzip", "data file: " + list), slices_of(voxels, zipped), true},
          {"pattern.nhdr", nrrd("raw", "data file: " + numbered + "\n"), slices_of(voxels, as_is)}};
}

}  // namespace ivory::ingest::testing
