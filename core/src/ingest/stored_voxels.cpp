#include "ingest/stored_voxels.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <numeric>

#include "base/file_kind.h"
#include "ingest/unpack.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;
using Form = StoredVoxels::Form;

// First byte behind the lines that are to be skipped.
int64_t behind_lines(const fs::path& file, int64_t begin, int64_t lines) {
  if (lines == 0) return begin;
  std::ifstream in(file, std::ios::binary);
  in.seekg(begin);
  for (std::string line; lines > 0; --lines)
    IVORY_CHECK(std::getline(in, line), file.string(), ": ends within the lines that its header skips");
  return in.tellg();
}

class Reader {
 public:
  Reader(const StoredVoxels& stored, const std::string& header, Scan& scan)
      : stored_(stored), header_(header), scan_(scan) {}

  torch::Tensor run() {
    for (const auto& file : stored_.files) {
      if (file.string() != header_) scan_.files.push_back(file);
    }
    const auto width = static_cast<double>(c10::elementSize(stored_.type));
    const double voxels = std::accumulate(stored_.size.begin(), stored_.size.end(), 1.0, std::multiplies<>());
    check_announced_size(voxels * width, scan_, header_, least_stored(voxels, width));
    const auto files = static_cast<int64_t>(stored_.files.size());
    const auto count = static_cast<int64_t>(voxels);
    IVORY_CHECK(files > 0 && count % files == 0, header_, ": names ", files, " data files, which cannot share ", count,
                " voxels equally");
    share_ = count / files * static_cast<int64_t>(width);
    for (const auto& file : stored_.files) {  // before memory is taken
      check_kind(file);
      if (stored_.form == Form::raw) raw_begin(file);
    }
    torch::Tensor all = torch::empty(std::vector<int64_t>(stored_.size.rbegin(), stored_.size.rend()), stored_.type);
    auto* to = static_cast<uint8_t*>(all.mutable_data_ptr());
    for (const auto& file : stored_.files) {
      read(file, {to, static_cast<size_t>(share_)});
      to += share_;
    }
    if (stored_.big_endian && stored_.form != Form::text) swap_bytes(all);
    return all;
  }

 private:
  // Bytes that a file of this form has at least, as check_announced_size() wants them: bzip2 knows no limit.
  double least_stored(double voxels, double width) const {
    return stored_.form == Form::bzip2 ? 0 : stored_.form == Form::text ? voxels : voxels * width;
  }

  // "HEADER: " or, of voxels that lie elsewhere, "HEADER: its data file X: ".
  std::string start(const fs::path& file) const {
    return file.string() == header_ ? header_ + ": " : fmt::format("{}: its data file {}: ", header_, file.string());
  }

  // A pointer of Git LFS or a web page in place of voxels; raw ones of the right number may look like anything.
  void check_kind(const fs::path& file) const {
    if (file.string() == header_) return;
    if (stored_.form == Form::raw && static_cast<int64_t>(fs::file_size(file)) == share_) return;
    const std::string mistaken = base::mistaken_file(file);
    IVORY_CHECK(mistaken.empty(), start(file), "is ", mistaken);
  }

  int64_t raw_begin(const fs::path& file) {
    const int64_t first =
        behind_lines(file, stored_.begin, stored_.skip_lines) + std::max<int64_t>(0, stored_.skip_bytes);
    const int64_t there = static_cast<int64_t>(fs::file_size(file)) - first;
    IVORY_CHECK(there >= share_, start(file), "is truncated, the header announces ", share_, " bytes of voxels and ",
                std::max<int64_t>(0, there), " are there");
    if (stored_.skip_bytes < 0) return first + there - share_;
    const bool skips = stored_.skip_bytes > 0 || stored_.skip_lines > 0;
    IVORY_CHECK(skips || there == share_, start(file), "holds ", there, " bytes of voxels, the header announces ",
                share_, "; is its size or type right?");
    if (there > share_ && !warned_) {
      scan_.warnings.push_back(fmt::format("{}{} bytes behind the voxels are not read", start(file), there - share_));
      warned_ = true;
    }
    return first;
  }

  void read(const fs::path& file, std::span<uint8_t> out) {
    switch (stored_.form) {
      case Form::raw:
        return read_raw(file, out);
      case Form::deflate:
        return read_packed(file, Packing::deflate, out);
      case Form::bzip2:
        return read_packed(file, Packing::bzip2, out);
      default:
        return read_text(file, out);
    }
  }

  void read_raw(const fs::path& file, std::span<uint8_t> out) {
    std::ifstream in(file, std::ios::binary);
    in.seekg(raw_begin(file));
    in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
    IVORY_CHECK(in, start(file), "cannot be read to its end");
  }

  void read_packed(const fs::path& file, Packing packing, std::span<uint8_t> out) {
    IVORY_CHECK(stored_.skip_bytes >= 0, header_, ": the voxels of a compressed stream cannot be counted from its end");
    const auto packed = bytes_of(file, behind_lines(file, stored_.begin, stored_.skip_lines));
    if (stored_.skip_bytes == 0) return check_unpacked(unpack(packed, packing, out), file);
    IVORY_CHECK(stored_.skip_bytes < 1 << 30, header_, ": skips ", stored_.skip_bytes, " bytes of a compressed stream");
    std::vector<uint8_t> whole(static_cast<size_t>(stored_.skip_bytes) + out.size());
    check_unpacked(unpack(packed, packing, whole), file);
    std::memcpy(out.data(), whole.data() + stored_.skip_bytes, out.size());
  }

  void check_unpacked(const std::string& wrong, const fs::path& file) const {
    IVORY_CHECK(wrong.empty(), start(file), "its compressed voxels ", wrong);
  }

  void read_text(const fs::path& file, std::span<uint8_t> out) const {
    const auto bytes = bytes_of(
        file, behind_lines(file, stored_.begin, stored_.skip_lines) + std::max<int64_t>(0, stored_.skip_bytes));
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const size_t used = stored_.form == Form::hex ? from_hex(text, out, file) : from_text(text, out, file);
    const size_t more = text.find_first_not_of(blank, used);
    IVORY_CHECK(more == std::string_view::npos, start(file),
                "goes on after the voxels that its header announces, with '", text.substr(more, 12), "'");
  }

  // All return the number of characters used.
  size_t from_hex(std::string_view text, std::span<uint8_t> out, const fs::path& file) const {
    size_t at = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      at = std::min(text.size(), text.find_first_not_of(blank, at));
      const std::string_view digits = text.substr(at, 2);
      const auto [stop, error] = std::from_chars(digits.begin(), digits.end(), out[i], 16);
      IVORY_CHECK(error == std::errc() && digits.size() == 2 && stop == digits.end(), start(file),
                  "is truncated or damaged, ", i, " of ", out.size(), " bytes are there as hexadecimal digits");
      at += 2;
    }
    return at;
  }

  size_t from_text(std::string_view text, std::span<uint8_t> out, const fs::path& file) const {
    size_t used = 0;
    torch::Tensor target =
        torch::from_blob(out.data(), {share_ / static_cast<int64_t>(c10::elementSize(stored_.type))}, stored_.type);
    with_values(target, [&](auto values) { used = parse(text, values, file); });
    return used;
  }

  template <class T>
  size_t parse(std::string_view text, std::span<const T> values, const fs::path& file) const {
    auto* to = const_cast<T*>(values.data());  // the tensor's own memory
    size_t at = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      at = std::min(text.size(), text.find_first_not_of(blank, at));
      if (at < text.size() && text[at] == '+') ++at;
      const char* end = text.data() + text.size();
      T value{};
      const auto [stop, error] = std::from_chars(text.data() + at, end, value);
      const bool whole = stop == end || blank.find(*stop) != std::string_view::npos;
      IVORY_CHECK(error == std::errc() && whole, start(file), "is truncated or damaged, ", i, " of ", values.size(),
                  " voxels are there as numbers of its type", at < text.size() ? ", then comes '" : "",
                  text.substr(at, 12), at < text.size() ? "'" : "");
      to[i] = value;
      at = static_cast<size_t>(stop - text.data());
    }
    return at;
  }

  static constexpr std::string_view blank = " \t\r\n\v\f,";

  const StoredVoxels& stored_;
  const std::string& header_;
  Scan& scan_;
  int64_t share_ = 0;  // bytes of voxels in each file
  bool warned_ = false;
};

}  // namespace

torch::Tensor read_stored(const StoredVoxels& stored, const std::string& header, Scan& scan) {
  return Reader(stored, header, scan).run();
}

fs::path data_file(const fs::path& header, const std::string& name) {
  std::string slashed = name;
  std::ranges::replace(slashed, '\\', '/');
  std::error_code none;  // of a name that no file can have
  for (const auto& one : {name, slashed}) {
    const fs::path file = fs::path(one).is_absolute() ? fs::path(one) : header.parent_path() / one;
    if (fs::is_regular_file(file, none)) return file;
  }
  throw missing_data(header.string(), ": its data file ", (header.parent_path() / name).string(), " is missing");
}

std::vector<std::string> numbered_names(const std::string& pattern, int64_t first, int64_t last, int64_t step,
                                        const std::string& header) {
  constexpr int64_t most = 1'000'000, far = int64_t{1} << 40;
  IVORY_CHECK(std::max(std::abs(first), std::abs(last)) < far && step != 0 && (last - first) / step >= 0 &&
                  (last - first) / step < most,
              header, ": its data files are numbered from ", first, " to ", last, " in steps of ", step);
  const size_t begin = pattern.find('%'), end = pattern.find_first_not_of("0123456789", begin + 1);
  const bool known = begin != std::string::npos && end != std::string::npos &&
                     (pattern[end] == 'd' || pattern[end] == 'i' || pattern[end] == 'u') && end - begin < 4 &&
                     pattern.find('%', end) == std::string::npos;
  IVORY_CHECK(known, header, ": its data files are called '", pattern, "', expected one %d, such as in slice%03d.raw");
  const std::string digits = pattern.substr(begin + 1, end - begin - 1);
  const int width = digits.empty() ? 0 : std::stoi(digits);
  std::vector<std::string> names;
  for (int64_t i = 0; i <= (last - first) / step; ++i) {
    const int64_t number = first + i * step;
    names.push_back(
        pattern.substr(0, begin) +
        (digits.starts_with('0') ? fmt::format("{:0{}}", number, width) : fmt::format("{:{}}", number, width)) +
        pattern.substr(end + 1));
  }
  return names;
}

}  // namespace ivory::ingest
