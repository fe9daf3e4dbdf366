#include "ingest/unpack.h"

#include <bzlib.h>
#include <fmt/format.h>
#include <ivory/error.h>
#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <memory>

namespace ivory::ingest {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t piece = size_t{1} << 30;  // libraries count in 32 bits

// What one call of a library did.
enum class Step { more, end, starved, damaged };

// The two libraries share one way of working: a struct with next_in, avail_in, next_out, avail_out.
class Inflater {
 public:
  Inflater() { good_ = inflateInit2(&stream_, 15 + 32) == Z_OK; }  // 32: zlib or gzip, by the first bytes
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  Step step(Bytes& in, std::span<uint8_t>& out) {
    stream_.next_in = const_cast<uint8_t*>(in.data());  // zlib does not write to it
    stream_.avail_in = static_cast<unsigned>(std::min(in.size(), piece));
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<unsigned>(std::min(out.size(), piece));
    const int code = good_ ? inflate(&stream_, Z_NO_FLUSH) : Z_MEM_ERROR;
    in = in.subspan(static_cast<size_t>(stream_.next_in - in.data()));
    out = out.subspan(static_cast<size_t>(stream_.next_out - out.data()));
    if (code == Z_STREAM_END) return Step::end;
    return code == Z_OK ? Step::more : code == Z_BUF_ERROR ? Step::starved : Step::damaged;
  }
  static bool begins(Bytes in) { return in.size() > 1 && in[0] == 0x1F && in[1] == 0x8B; }
  void again() { good_ = inflateReset(&stream_) == Z_OK; }

 private:
  z_stream stream_{};
  bool good_ = false;
};

class Bunzipper {
 public:
  Bunzipper() { again(); }
  ~Bunzipper() { BZ2_bzDecompressEnd(&stream_); }
  Bunzipper(const Bunzipper&) = delete;
  Bunzipper& operator=(const Bunzipper&) = delete;

  Step step(Bytes& in, std::span<uint8_t>& out) {
    const size_t given = std::min(in.size(), piece), room = std::min(out.size(), piece);
    stream_.next_in = reinterpret_cast<char*>(const_cast<uint8_t*>(in.data()));
    stream_.avail_in = static_cast<unsigned>(given);
    stream_.next_out = reinterpret_cast<char*>(out.data());
    stream_.avail_out = static_cast<unsigned>(room);
    const int code = good_ ? BZ2_bzDecompress(&stream_) : BZ_MEM_ERROR;
    const size_t used = given - stream_.avail_in, made = room - stream_.avail_out;
    in = in.subspan(used);
    out = out.subspan(made);
    if (code == BZ_STREAM_END) return Step::end;
    return code != BZ_OK ? Step::damaged : used + made > 0 ? Step::more : Step::starved;
  }
  static bool begins(Bytes in) { return in.size() > 2 && in[0] == 'B' && in[1] == 'Z' && in[2] == 'h'; }
  void again() {
    BZ2_bzDecompressEnd(&stream_);
    stream_ = {};
    good_ = BZ2_bzDecompressInit(&stream_, 0, 0) == BZ_OK;
  }

 private:
  bz_stream stream_{};
  bool good_ = false;
};

template <class Library>
std::string unpack_with(Bytes in, std::span<uint8_t> out) {
  Library library;
  const size_t wanted = out.size();
  std::array<uint8_t, 1> beyond{};  // the stream has to end without filling it
  std::span<uint8_t> rest = beyond;
  for (;;) {
    auto& to = out.empty() ? rest : out;
    const Step step = library.step(in, to);
    if (rest.empty()) return fmt::format("unpack to more than the {} bytes that the header announces", wanted);
    if (step == Step::damaged) return "are damaged";
    if (step == Step::starved) break;
    if (step != Step::end) continue;
    if (!Library::begins(in)) {
      if (!out.empty()) break;
      const bool padded = std::ranges::all_of(in, [](uint8_t byte) { return byte == 0; });
      return padded ? "" : fmt::format("are followed by {} bytes that do not belong to them", in.size());
    }
    library.again();
  }
  if (out.empty()) return "have no end: the compressed stream is cut off behind the last of them";
  return fmt::format("end early, {} of {} bytes are there", wanted - out.size(), wanted);
}

// Two to three times as fast as zlib; false where anything is unusual.
bool unpack_fast(Bytes in, std::span<uint8_t> out) {
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> inflater(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  size_t used = 0, made = 0;
  const auto run = Inflater::begins(in) ? libdeflate_gzip_decompress_ex : libdeflate_zlib_decompress_ex;
  return inflater &&
         run(inflater.get(), in.data(), in.size(), out.data(), out.size(), &used, &made) == LIBDEFLATE_SUCCESS &&
         used == in.size() && made == out.size();
}

}  // namespace

std::string unpack(Bytes packed, Packing packing, std::span<uint8_t> out) {
  if (packed.empty()) return fmt::format("end early, 0 of {} bytes are there", out.size());
  if (packing == Packing::bzip2) return unpack_with<Bunzipper>(packed, out);
  return unpack_fast(packed, out) ? "" : unpack_with<Inflater>(packed, out);
}

std::vector<uint8_t> bytes_of(const std::filesystem::path& file, int64_t begin) {
  std::ifstream in(file, std::ios::binary);
  IVORY_CHECK(in, file.string(), ": cannot be opened");
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
  std::vector<uint8_t> bytes(static_cast<size_t>(std::max<int64_t>(0, size - begin)));
  in.seekg(begin);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  IVORY_CHECK(bytes.empty() || in, file.string(), ": cannot be read to its end");
  return bytes;
}

}  // namespace ivory::ingest
