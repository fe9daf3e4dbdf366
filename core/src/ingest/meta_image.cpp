// MetaImage (.mha, .mhd), by MetaIO's reading of it: rows of TransformMatrix are the axes, in the frame of DICOM.
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>

#include "ingest/geometry.h"
#include "ingest/pictures.h"
#include "ingest/stored_voxels.h"
#include "ingest/text_header.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

torch::ScalarType type_of(const TextHeader& header) {
  static const std::map<std::string, torch::ScalarType> types = {
      {"MET_CHAR", torch::kInt8},     {"MET_UCHAR", torch::kUInt8},    {"MET_SHORT", torch::kInt16},
      {"MET_USHORT", torch::kUInt16}, {"MET_INT", torch::kInt32},      {"MET_UINT", torch::kUInt32},
      {"MET_LONG", torch::kInt32},    {"MET_ULONG", torch::kUInt32},   {"MET_LONG_LONG", torch::kInt64},
      {"MET_FLOAT", torch::kFloat32}, {"MET_DOUBLE", torch::kFloat64}, {"MET_ULONG_LONG", torch::kUInt64}};
  std::string name = header.get({"elementtype"});
  if (name.ends_with("_ARRAY")) name.resize(name.size() - 6);  // of several channels
  const auto found = types.find(name);
  IVORY_CHECK(found != types.end(), header.name(), ": the header's ElementType is '", name,
              "', which is not read, only integers and reals are");
  return found->second;
}

bool is_true(const std::string& value) {
  return !value.empty() && std::string_view("TtYy1").find(value[0]) != std::string_view::npos;
}

// Columns, rows, slices; further dimensions have to be of one voxel.
std::array<int64_t, 3> size_of(const TextHeader& header) {
  const auto dimensions = header.integers({"ndims"});
  IVORY_CHECK(dimensions.size() == 1 && dimensions[0] >= 1 && dimensions[0] <= 10, header.name(), ": the header says '",
              header.get({"ndims"}), "' dimensions, expected 2 or 3");
  const auto sizes = header.integers({"dimsize"});
  IVORY_CHECK(static_cast<int64_t>(sizes.size()) == dimensions[0], header.name(), ": the header's DimSize has ",
              sizes.size(), " numbers, NDims is ", dimensions[0]);
  std::array<int64_t, 3> size = {1, 1, 1};
  for (size_t i = 0; i < sizes.size(); ++i) {
    IVORY_CHECK(sizes[i] > 0 && sizes[i] < 1 << 20, header.name(), ": dimension ", i + 1, " is ", sizes[i],
                " voxels long");
    IVORY_CHECK(i < 3 || sizes[i] == 1, header.name(), ": has ", sizes.size(), " dimensions, the ", i + 1,
                "th of length ", sizes[i], "; split it into one file per volume");
    if (i < 3) size[i] = sizes[i];
  }
  return size;
}

// As many files as there are slices, or, where the list says so, volumes.
std::vector<fs::path> listed(const fs::path& file, const TextHeader& header) {
  std::vector<fs::path> files;
  for (const auto& name : header.list()) files.push_back(data_file(file, name));
  IVORY_CHECK(!files.empty(), header.name(), ": is damaged, its list of data files is empty");
  return files;
}

// "slice%03d.raw FIRST LAST STEP", each number optional.
std::vector<fs::path> numbered(const fs::path& file, const std::vector<std::string>& words, int64_t slices,
                               const TextHeader& header) {
  const auto number = [&](size_t i, int64_t otherwise) {
    const auto given = i < words.size() ? integer_of(words[i]) : otherwise;
    IVORY_CHECK(given && words.size() <= 4, header.name(), ": its data files are '", header.get({"elementdatafile"}),
                "', expected a pattern and the first, the last and the step of its numbers");
    return *given;
  };
  const int64_t first = number(1, 1), last = number(2, first + slices - 1);
  const int64_t step = number(3, std::max<int64_t>(1, (last - first) / std::max<int64_t>(1, slices - 1)));
  std::vector<fs::path> files;
  for (const auto& name : numbered_names(words[0], first, last, step, header.name()))
    files.push_back(data_file(file, name));
  return files;
}

StoredVoxels storage_of(const fs::path& file, const TextHeader& header, const std::array<int64_t, 3>& size) {
  StoredVoxels stored{.type = type_of(header)};
  const std::string channels = header.get({"elementnumberofchannels"});
  const auto count = channels.empty() ? 1 : integer_of(channels).value_or(0);
  IVORY_CHECK(count > 0 && count < 1 << 16, header.name(), ": the header says '", channels, "' channels");
  stored.size = {count, size[0], size[1], size[2]};
  const std::string binary = header.get({"binarydata"});
  if (!binary.empty() && !is_true(binary)) stored.form = StoredVoxels::Form::text;
  if (is_true(header.get({"compresseddata"}))) stored.form = StoredVoxels::Form::deflate;
  stored.big_endian = is_true(header.get({"elementbyteordermsb", "binarydatabyteordermsb"}));
  const std::string where = header.get({"elementdatafile"});
  IVORY_CHECK(!where.empty(), header.name(), ": is damaged, the header has no ElementDataFile");
  const auto words = words_of(where);
  if (lower(where) == "local") {
    stored.files = {file};
    stored.begin = header.end();
    return stored;
  }
  const auto skipped = header.integers({"headersize"});
  if (!skipped.empty()) stored.skip_bytes = std::max<int64_t>(-1, skipped[0]);
  if (words[0] == "LIST") {
    stored.files = listed(file, header);
  } else if (words[0].find('%') != std::string::npos) {
    stored.files = numbered(file, words, size[2], header);
  } else {
    stored.files = {data_file(file, where)};
  }
  return stored;
}

// `count` numbers of a field, or nothing where there is no such field.
std::optional<std::vector<double>> optional_numbers(const TextHeader& header, std::initializer_list<const char*> names,
                                                    size_t count) {
  const auto values = header.numbers(names);
  if (values.empty()) return std::nullopt;
  IVORY_CHECK(values.size() >= count, header.name(), ": the header's ", *names.begin(), " has ", values.size(),
              " numbers, expected ", count);
  IVORY_CHECK(std::ranges::all_of(values, [](double value) { return std::isfinite(value); }), header.name(),
              ": the header's ", *names.begin(), " holds what is no number");
  return values;
}

// What AnatomicalOrientation says beside a matrix is either the ends that the axes come from (ITK writes that) or those
// that they run to (MetaIO's documentation): it decides nothing, and contradicts only where it is neither.
void compare_orientation(const TextHeader& header, const Geometry& geometry, bool has_matrix, Scan& scan) {
  const std::string said = header.get({"anatomicalorientation"}), to = axis_codes(geometry);
  std::string from = to;
  constexpr std::string_view ends = "RLAPSI", others = "LRPAIS";
  for (char& c : from) c = others[ends.find(c)];
  const bool known = said.size() == 3 && said.find_first_not_of(ends) == std::string::npos;
  if (known && has_matrix && said != to && said != from) {
    scan.warnings.push_back(fmt::format(
        "{}: the header's AnatomicalOrientation, {}, contradicts its TransformMatrix, whose axes run to {}; the matrix "
        "is used",
        header.name(), said, to));
  }
  if (!has_matrix && said != from) {
    scan.warnings.push_back(
        fmt::format("{}: the header has no TransformMatrix{}; axes are taken as running to L, P, S", header.name(),
                    known ? fmt::format(", and AnatomicalOrientation, {}, has two meanings", said) : ""));
  }
}

Geometry geometry_of(const TextHeader& header, Scan& scan) {
  const auto count = static_cast<size_t>(header.integers({"ndims"})[0]), axes = std::min<size_t>(3, count);
  const auto matrix = optional_numbers(header, {"transformmatrix", "rotation", "orientation"}, count * count);
  const auto offset = optional_numbers(header, {"offset", "position", "origin"}, axes);
  const auto spacing = optional_numbers(header, {"elementspacing", "elementsize"}, axes);
  Geometry geometry;
  geometry.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (size_t axis = 0; axis < axes; ++axis) {
    for (size_t i = 0; matrix && i < axes; ++i) geometry.direction[i * 3 + axis] = (*matrix)[axis * count + i];
    if (offset) geometry.origin[axis] = (*offset)[axis];
    if (!spacing) continue;
    const double mm = (*spacing)[axis];
    IVORY_CHECK(mm != 0, header.name(), ": the header's spacing along axis ", axis + 1, " is 0 mm");
    geometry.spacing[axis] = std::abs(mm);
    if (mm > 0) continue;
    for (size_t i = 0; i < 3; ++i) geometry.direction[i * 3 + axis] *= -1;
    scan.warnings.push_back(
        fmt::format("{}: the header's spacing along axis {} is negative; the axis is taken as "
                    "running the other way",
                    header.name(), axis + 1));
  }
  const std::string unit = lower(header.get({"distanceunits"}));
  const double factor = unit == "um" ? 1e-3 : unit == "cm" ? 10 : unit == "m" ? 1000 : 1;
  for (size_t i = 0; i < 3; ++i) geometry.spacing[i] *= factor, geometry.origin[i] *= factor;
  flip_frame(geometry);
  if (scan.voxels.size(0) == 1) return geometry;
  if (!spacing) scan.warnings.push_back(header.name() + ": the header has no ElementSpacing; voxels are taken as 1 mm");
  make_orthonormal(geometry.direction, header.name(), scan.warnings);
  compare_orientation(header, geometry, matrix.has_value(), scan);
  return geometry;
}

torch::Tensor with_intensities(const torch::Tensor& voxels, const TextHeader& header, Scan& scan) {
  const auto slope = optional_numbers(header, {"elementtointensityfunctionslope"}, 1);
  const auto offset = optional_numbers(header, {"elementtointensityfunctionoffset"}, 1);
  return rescaled(voxels, slope ? (*slope)[0] : 1, offset ? (*offset)[0] : 0, scan.notes);
}

}  // namespace

Scan read_meta_image(const fs::path& file) {
  const TextHeader header(file, {.separator = "=", .last = "elementdatafile", .list = "elementdatafile"});
  Scan scan;
  scan.files = {file};
  const StoredVoxels stored = storage_of(file, header, size_of(header));
  const torch::Tensor voxels = read_stored(stored, header.name(), scan);
  scan.voxels = with_intensities(single_channel(voxels, file, scan), header, scan);
  scan.geometry = geometry_of(header, scan);
  const std::string modality = header.get({"modality"});
  scan.modality = modality == "MET_MOD_CT" ? "ct" : modality == "MET_MOD_MR" ? "mr" : "";
  return scan;
}

}  // namespace ivory::ingest
