#include "ingest/text_header.h"

#include <ivory/error.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

struct Fields {
  std::map<std::string, std::string> values;
  int64_t end = 0;  // byte behind the header

  std::string get(const std::string& key) const {
    const auto found = values.find(key);
    return found == values.end() ? "" : found->second;
  }
};

std::string trimmed(std::string text) {
  const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(std::find_if_not(text.rbegin(), text.rend(), blank).base(), text.end());
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  return text;
}

// "key SEPARATOR value" lines until `last` is seen or an empty line comes.
Fields read_fields(const fs::path& file, char separator, const std::string& last) {
  std::ifstream in(file, std::ios::binary);
  Fields fields;
  constexpr int most_lines = 10000;
  constexpr size_t longest_line = 1 << 20;
  std::string line;
  for (int i = 0; i < most_lines && std::getline(in, line); ++i) {
    IVORY_CHECK(line.size() < longest_line, file.string(), ": is damaged, a line of its header is longer than 1 MB");
    if (trimmed(line).empty()) break;
    const auto at = line.find(separator);
    if (at == std::string::npos) continue;
    const std::string key = trimmed(line.substr(0, at));
    fields.values.emplace(key, trimmed(line.substr(at + 1)));
    if (key == last) break;
  }
  fields.end = in ? static_cast<int64_t>(in.tellg()) : static_cast<int64_t>(fs::file_size(file));
  return fields;
}

// Product of the sizes times the bytes of a voxel; 0 when the header does not say.
double announced_bytes(const std::string& sizes, const std::map<std::string, int>& widths, const std::string& type,
                       const std::string& channels) {
  const auto width = widths.find(type);
  if (sizes.empty() || width == widths.end()) return 0;
  double bytes = width->second * (channels.empty() ? 1.0 : std::max(1.0, std::atof(channels.c_str())));
  std::istringstream in(sizes);
  for (double size = 0; in >> size;) bytes *= size;
  return bytes;
}

void check_data_length(const fs::path& file, const fs::path& data, double begin, double announced) {
  const double there = static_cast<double>(fs::file_size(data)) - begin;
  IVORY_CHECK(there >= announced, file.string(), ": is truncated, the header announces ", announced,
              " bytes of voxels and ", data.filename().string(), " has ", std::max(0.0, there));
}

// The detached file, or `file` itself; empty for lists and patterns of files.
fs::path data_file(const fs::path& file, const std::string& value, const std::string& local) {
  if (value == local) return file;
  if (value.starts_with("LIST") || value.find('%') != std::string::npos) return {};
  const fs::path data = fs::path(value).is_absolute() ? fs::path(value) : file.parent_path() / value;
  std::error_code none;  // of a name that no file can have
  if (!fs::is_regular_file(data, none))
    throw missing_data(file.string(), ": its data file ", data.string(), " is missing");
  return data;
}

void check_dimensions(const fs::path& file, const std::string& count) {
  const int dimensions = std::atoi(count.c_str());
  IVORY_CHECK(dimensions >= 1 && dimensions <= 5, file.string(), ": the header says '", count,
              "' dimensions, expected 2 or 3");
}

void check_meta(const fs::path& file, Scan& scan) {
  static const std::map<std::string, int> widths = {{"MET_UCHAR", 1}, {"MET_CHAR", 1},  {"MET_USHORT", 2},
                                                    {"MET_SHORT", 2}, {"MET_UINT", 4},  {"MET_INT", 4},
                                                    {"MET_FLOAT", 4}, {"MET_DOUBLE", 8}};
  const Fields fields = read_fields(file, '=', "ElementDataFile");
  check_dimensions(file, fields.get("NDims"));
  const std::string where = fields.get("ElementDataFile");
  IVORY_CHECK(!where.empty(), file.string(), ": is damaged, the header has no ElementDataFile");
  const fs::path data = data_file(file, where, "LOCAL");
  if (data.empty()) return;
  if (data != file) scan.files.push_back(data);
  if (fields.get("CompressedData") == "True" || fields.get("BinaryData") == "False") return;
  const double skipped = std::max(0.0, std::atof(fields.get("HeaderSize").c_str()));
  check_data_length(
      file, data, data == file ? static_cast<double>(fields.end) : skipped,
      announced_bytes(fields.get("DimSize"), widths, fields.get("ElementType"), fields.get("ElementNumberOfChannels")));
}

void check_nrrd(const fs::path& file, Scan& scan) {
  const Fields fields = read_fields(file, ':', "");
  check_dimensions(file, fields.get("dimension"));
  std::string where = fields.get("data file");
  if (where.empty()) where = fields.get("datafile");
  if (where.empty()) return;
  const fs::path data = data_file(file, where, "");
  if (!data.empty()) scan.files.push_back(data);
}

}  // namespace

void check_text_header(const fs::path& file, Format format, Scan& scan) {
  format == Format::meta ? check_meta(file, scan) : check_nrrd(file, scan);
}

}  // namespace ivory::ingest
