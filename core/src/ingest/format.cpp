#include "ingest/format.h"

#include <zlib.h>

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "ingest/text_header.h"

namespace ivory::ingest {
namespace {

using namespace std::string_view_literals;

constexpr std::array<std::pair<std::string_view, Format>, 14> endings = {{{".nii.gz", Format::nifti},
                                                                          {".nii", Format::nifti},
                                                                          {".mhd", Format::meta},
                                                                          {".mha", Format::meta},
                                                                          {".nrrd", Format::nrrd},
                                                                          {".nhdr", Format::nrrd},
                                                                          {".dcm", Format::dicom},
                                                                          {".dicom", Format::dicom},
                                                                          {".ima", Format::dicom},
                                                                          {".png", Format::png},
                                                                          {".jpg", Format::jpeg},
                                                                          {".jpeg", Format::jpeg},
                                                                          {".tif", Format::tiff},
                                                                          {".tiff", Format::tiff}}};

// The first bytes, inflated when the file is a gzip stream.
std::string first_bytes(const std::filesystem::path& file) {
  std::string head(352, '\0');
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> in(gzopen(file.c_str(), "rb"), gzclose);
  const int read = in ? gzread(in.get(), head.data(), static_cast<unsigned>(head.size())) : 0;
  head.resize(read > 0 ? static_cast<size_t>(read) : 0);
  return head;
}

bool is_nifti(const std::string& head) {
  return head.size() >= 348 && (head.compare(344, 4, "n+1\0"sv) == 0 || head.compare(344, 4, "ni1\0"sv) == 0);
}

// DICOM without a preamble: an element of group 2 or 8 with the type of a value, or with a short length.
bool is_data_set(const std::string& head) {
  if (head.size() < 132 || (head[0] != 2 && head[0] != 8) || head[1] != 0 || head[3] != 0) return false;
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  const bool implicit = static_cast<uint8_t>(head[4]) <= 64 && head[5] == 0 && head[6] == 0 && head[7] == 0;
  return implicit || (is_capital(head[4]) && is_capital(head[5]));
}

// Names of scanners and archives: "IM0001", "1.2.840.113", "x.ima".
bool may_have_no_preamble(const std::filesystem::path& file) {
  const std::string ending = lower(file.extension().string());
  return ending.empty() || ending == ".ima" || ending.find_first_not_of(".0123456789") == std::string::npos;
}

std::optional<Format> by_content(const std::string& head) {
  if (is_nifti(head)) return Format::nifti;
  if (head.starts_with("NRRD000")) return Format::nrrd;
  if (head.size() >= 132 && head.compare(128, 4, "DICM") == 0) return Format::dicom;
  if (head.starts_with("\x89PNG\r\n")) return Format::png;
  if (head.starts_with("\xFF\xD8\xFF")) return Format::jpeg;
  if (head.starts_with("II*\0"sv) || head.starts_with("MM\0*"sv)) return Format::tiff;
  if (head.starts_with("ObjectType") || head.starts_with("NDims")) return Format::meta;
  return std::nullopt;
}

}  // namespace

std::optional<Format> format_of(const std::filesystem::path& file) {
  const bool dangles = std::filesystem::is_symlink(file) && !std::filesystem::exists(file);
  if (!std::filesystem::is_regular_file(file) && !dangles) return std::nullopt;
  const std::string head = first_bytes(file);
  if (const auto format = by_content(head)) return format;
  if (may_have_no_preamble(file) && is_data_set(head)) return Format::dicom;
  const std::string name = lower(file.filename().string());
  for (const auto& [ending, format] : endings) {
    if (name.ends_with(ending)) return format;
  }
  return std::nullopt;
}

std::string stem_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  const std::string lowered = lower(name);
  for (const auto& [ending, format] : endings) {
    if (lowered.ends_with(ending)) return name.substr(0, name.size() - ending.size());
  }
  return name;
}

}  // namespace ivory::ingest
