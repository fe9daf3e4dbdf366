#include "ingest/format.h"

#include <zlib.h>

#include <array>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace ivory::ingest {
namespace {

using namespace std::string_view_literals;

constexpr std::array<std::pair<std::string_view, Format>, 13> endings = {{{".nii.gz", Format::nifti},
                                                                          {".nii", Format::nifti},
                                                                          {".mhd", Format::meta},
                                                                          {".mha", Format::meta},
                                                                          {".nrrd", Format::nrrd},
                                                                          {".nhdr", Format::nrrd},
                                                                          {".dcm", Format::dicom},
                                                                          {".dicom", Format::dicom},
                                                                          {".png", Format::png},
                                                                          {".jpg", Format::jpeg},
                                                                          {".jpeg", Format::jpeg},
                                                                          {".tif", Format::tiff},
                                                                          {".tiff", Format::tiff}}};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

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
  if (!std::filesystem::is_regular_file(file)) return std::nullopt;
  if (const auto format = by_content(first_bytes(file))) return format;
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
