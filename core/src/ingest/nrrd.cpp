// NRRD (.nrrd, .nhdr), by the format's definition (teem.sourceforge.net/nrrd/format.html).
#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ingest/geometry.h"
#include "ingest/pictures.h"
#include "ingest/stored_voxels.h"
#include "ingest/text_header.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

torch::ScalarType type_of(const TextHeader& header) {
  struct Names {
    torch::ScalarType type;
    std::vector<std::string_view> names;
  };
  static const std::vector<Names> types = {
      {torch::kInt8, {"signed char", "int8", "int8_t"}},
      {torch::kUInt8, {"uchar", "unsigned char", "uint8", "uint8_t"}},
      {torch::kInt16, {"short", "short int", "signed short", "signed short int", "int16", "int16_t"}},
      {torch::kUInt16, {"ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"}},
      {torch::kInt32, {"int", "signed int", "int32", "int32_t"}},
      {torch::kUInt32, {"uint", "unsigned int", "uint32", "uint32_t"}},
      {torch::kInt64,
       {"longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"}},
      {torch::kUInt64, {"ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"}},
      {torch::kFloat32, {"float"}},
      {torch::kFloat64, {"double"}}};
  const std::string name = lower(header.get({"type"}));
  for (const auto& [type, names] : types) {
    if (std::ranges::find(names, name) != names.end()) return type;
  }
  throw bad_request(header.name(), ": the header's type is '", name,
                    "', which is not read, only integers and reals are");
}

StoredVoxels::Form form_of(const TextHeader& header) {
  using Form = StoredVoxels::Form;
  static const std::map<std::string, Form> forms = {
      {"raw", Form::raw},    {"txt", Form::text},     {"text", Form::text}, {"ascii", Form::text}, {"hex", Form::hex},
      {"gz", Form::deflate}, {"gzip", Form::deflate}, {"bz2", Form::bzip2}, {"bzip2", Form::bzip2}};
  const std::string name = lower(header.get({"encoding"}));
  const auto found = forms.find(name);
  IVORY_CHECK(found != forms.end(), header.name(), ": the header's encoding is '", name,
              "', expected raw, text, hex, gzip or bzip2");
  return found->second;
}

bool is_big_endian(const TextHeader& header, const StoredVoxels& stored) {
  const std::string order = lower(header.get({"endian"}));
  const bool matters = c10::elementSize(stored.type) > 1 && stored.form != StoredVoxels::Form::text;
  IVORY_CHECK(!matters || order == "little" || order == "big", header.name(), ": the header's endian is '", order,
              "', expected little or big");
  return matters && order == "big";
}

int64_t optional_integer(const TextHeader& header, const char* name, int64_t least) {
  const auto values = header.integers({name});
  if (values.empty()) return 0;
  IVORY_CHECK(values.size() == 1 && values[0] >= least && values[0] < int64_t{1} << 40, header.name(),
              ": the header's ", name, " is ", header.get({name}));
  return values[0];
}

std::vector<fs::path> data_files(const fs::path& file, const TextHeader& header) {
  const std::string where = header.get({"datafile"});
  std::vector<fs::path> files;
  if (where.empty()) return {file};
  const auto words = words_of(where);
  if (words[0] == "LIST") {
    for (const auto& name : header.list()) files.push_back(data_file(file, name));
    IVORY_CHECK(!files.empty(), header.name(), ": is damaged, its list of data files is empty");
  } else if (words[0].find('%') != std::string::npos && words.size() >= 4) {
    const auto first = integer_of(words[1]), last = integer_of(words[2]), step = integer_of(words[3]);
    IVORY_CHECK(first && last && step, header.name(), ": its data files are '", where,
                "', expected a pattern and the first, the last and the step of its numbers");
    for (const auto& name : numbered_names(words[0], *first, *last, *step, header.name()))
      files.push_back(data_file(file, name));
  } else {
    files.push_back(data_file(file, where));
  }
  return files;
}

StoredVoxels storage_of(const fs::path& file, const TextHeader& header) {
  StoredVoxels stored{.type = type_of(header), .form = form_of(header)};
  stored.big_endian = is_big_endian(header, stored);
  const auto dimension = header.integers({"dimension"});
  IVORY_CHECK(dimension.size() == 1 && dimension[0] >= 2 && dimension[0] <= 16, header.name(), ": the header says '",
              header.get({"dimension"}), "' dimensions, expected 2 or 3");
  stored.size = header.integers({"sizes"});
  IVORY_CHECK(static_cast<int64_t>(stored.size.size()) == dimension[0], header.name(), ": the header has ",
              stored.size.size(), " sizes and ", dimension[0], " dimensions");
  for (size_t i = 0; i < stored.size.size(); ++i)
    IVORY_CHECK(stored.size[i] > 0 && stored.size[i] < 1 << 20, header.name(), ": dimension ", i + 1, " is ",
                stored.size[i], " voxels long");
  stored.files = data_files(file, header);
  stored.begin = stored.files[0] == file ? header.end() : 0;
  stored.skip_lines = optional_integer(header, "lineskip", 0);
  stored.skip_bytes = optional_integer(header, "byteskip", -1);
  return stored;
}

// One axis of the array: where it runs to, unless it is of channels, times, layers.
struct Axis {
  bool spatial = true;
  std::optional<Vector3> step;  // mm from voxel to voxel
};

// "(1,0,0)" → 1, 0, 0.
std::vector<double> vector_of(const std::string& text, const TextHeader& header) {
  std::string inside =
      text.size() > 1 && text.front() == '(' && text.back() == ')' ? text.substr(1, text.size() - 2) : "";
  std::ranges::replace(inside, ',', ' ');
  std::vector<double> values;
  for (const auto& word : words_of(inside)) {
    const auto value = number_of(word);
    IVORY_CHECK(value && std::isfinite(*value), header.name(), ": the header's vector ", text, " holds '", word, "'");
    values.push_back(*value);
  }
  IVORY_CHECK(values.size() >= 2 && values.size() <= 4, header.name(), ": the header holds '", text,
              "', expected a vector of three numbers in brackets");
  return values;
}

// Vectors of "(1, 0, 0) none (0,0,1)": brackets may hold spaces.
std::vector<std::string> vectors_in(const std::string& text) {
  std::vector<std::string> found;
  bool open = false;
  for (const char c : text) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!open && (found.empty() || blank || c == '(')) {
      if (found.empty() || !found.back().empty()) found.emplace_back();
    }
    if (!blank) found.back() += c;
    open = (open || c == '(') && c != ')';
  }
  if (!found.empty() && found.back().empty()) found.pop_back();
  return found;
}

bool is_of_space(const std::string& kind) {
  return kind.empty() || kind == "???" || kind == "none" || kind == "domain" || kind == "space";
}

std::vector<Axis> axes_of(const TextHeader& header, const std::vector<int64_t>& size) {
  const size_t dimension = size.size();
  std::vector<Axis> axes(dimension);
  const auto kinds = words_of(lower(header.get({"kinds"})));
  IVORY_CHECK(kinds.empty() || kinds.size() == dimension, header.name(), ": the header has ", kinds.size(),
              " kinds and ", dimension, " dimensions");
  for (size_t i = 0; i < kinds.size(); ++i) axes[i].spatial = is_of_space(kinds[i]);
  const auto directions = vectors_in(header.get({"spacedirections"}));
  IVORY_CHECK(directions.empty() || directions.size() == dimension, header.name(), ": the header has ",
              directions.size(), " space directions and ", dimension, " dimensions");
  for (size_t i = 0; i < directions.size(); ++i) {
    const std::string text = lower(directions[i]);
    axes[i].spatial = text != "none" && !text.starts_with("(nan");
    if (!axes[i].spatial) continue;
    auto step = vector_of(text, header);
    const double time = step.size() == 4 ? step[3] : 0;  // of a space of four dimensions
    step.resize(3);
    axes[i].spatial = time == 0;
    axes[i].step = Vector3{step[0], step[1], step[2]};
  }
  auto in_space = std::ranges::count_if(axes, &Axis::spatial);
  for (size_t i = dimension; i-- > 0 && in_space > 3;) {
    if (!axes[i].spatial || size[i] > 1) continue;
    axes[i].spatial = false;
    --in_space;
  }
  return axes;
}

// Distances along axes without a direction: of `spacings`, or of the ends in `axis mins` and `axis maxs`.
void set_spacings(const TextHeader& header, const std::vector<int64_t>& size, std::vector<Axis>& axes, Scan& scan) {
  const auto spacings = header.numbers({"spacings"}), mins = header.numbers({"axismins"}),
             maxs = header.numbers({"axismaxs"});
  const auto centers = words_of(lower(header.get({"centers", "centerings"})));
  size_t column = 0;
  bool guessed = false;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i].spatial) continue;
    double mm = i < spacings.size() ? spacings[i] : NAN;
    if (std::isnan(mm) && i < mins.size() && i < maxs.size()) {
      const bool nodes = i < centers.size() && centers[i] == "node" && size[i] > 1;
      mm = (maxs[i] - mins[i]) / static_cast<double>(nodes ? size[i] - 1 : size[i]);
    }
    if (std::isnan(mm)) mm = 1, guessed = true;
    axes[i].step = Vector3{0, 0, 0};
    if (column < 3) (*axes[i].step)[column++] = mm;
  }
  if (guessed && scan.voxels.size(0) > 1)
    scan.warnings.push_back(header.name() + ": the header has no spacings; voxels are taken as 1 mm");
}

// Millimetres in the header's unit of space.
double millimetres(const TextHeader& header) {
  std::string units = lower(header.get({"spaceunits", "units"}));
  std::ranges::replace(units, '"', ' ');
  const auto words = words_of(units);
  const std::string unit = words.empty() ? "mm" : words[0];
  if (unit == "m" || unit == "meter" || unit == "metre") return 1000;
  if (unit == "cm" || unit == "centimeter" || unit == "centimetre") return 10;
  if (unit == "um" || unit == "µm" || unit == "μm" || unit.starts_with("micro")) return 1e-3;
  return 1;
}

// Turns positions in the header's space into ours, x to the right, y to anterior, z to superior. What says nothing of
// the patient is taken as the space of DICOM.
void to_our_frame(Geometry& geometry, const TextHeader& header, Scan& scan) {
  std::string space = lower(header.get({"space"}));
  if (space.ends_with("-time")) space.resize(space.size() - 5);
  if (space.size() == 4 && space.back() == 't') space.pop_back();
  const bool ras = space == "right-anterior-superior" || space == "ras";
  const bool las = space == "left-anterior-superior" || space == "las";
  const bool lps = space == "left-posterior-superior" || space == "lps";
  const std::array<bool, 3> turned = {!ras, !ras && !las, false};
  for (size_t i = 0; i < 3; ++i) {
    if (!turned[i]) continue;
    geometry.origin[i] = -geometry.origin[i];
    for (size_t axis = 0; axis < 3; ++axis) geometry.direction[i * 3 + axis] *= -1;
  }
  if (ras || las || lps || scan.voxels.size(0) == 1) return;
  scan.warnings.push_back(
      fmt::format("{}: the header's space, '{}', does not say how the patient lies in it; it is taken "
                  "as running to L, P, S",
                  header.name(), header.get({"space"})));
}

Geometry geometry_of(const TextHeader& header, const std::vector<Vector3>& steps, Scan& scan) {
  Geometry geometry;
  geometry.direction = {1, 0, 0, 0, 1, 0, 0, 0, 1};
  for (size_t axis = 0; axis < steps.size(); ++axis) {
    const double length = std::hypot(steps[axis][0], steps[axis][1], steps[axis][2]);
    IVORY_CHECK(std::isfinite(length) && length > 0, header.name(), ": the header's spacing along axis ", axis + 1,
                " is ", length, " mm");
    geometry.spacing[axis] = length;
    for (size_t i = 0; i < 3; ++i) geometry.direction[i * 3 + axis] = steps[axis][i] / length;
  }
  const auto& d = geometry.direction;
  if (steps.size() == 2) {
    const Vector3 normal = {d[3] * d[7] - d[6] * d[4], d[6] * d[1] - d[0] * d[7], d[0] * d[4] - d[3] * d[1]};
    for (size_t i = 0; i < 3; ++i) geometry.direction[i * 3 + 2] = normal[i];
  }
  if (const std::string origin = header.get({"spaceorigin"}); !origin.empty() && lower(origin) != "none") {
    const auto values = vector_of(vectors_in(origin)[0], header);
    for (size_t i = 0; i < std::min<size_t>(3, values.size()); ++i) geometry.origin[i] = values[i];
  }
  const double factor = millimetres(header);
  for (size_t i = 0; i < 3; ++i) geometry.spacing[i] *= factor, geometry.origin[i] *= factor;
  to_our_frame(geometry, header, scan);
  if (scan.voxels.size(0) > 1) make_orthonormal(geometry.direction, header.name(), scan.warnings);
  return geometry;
}

// The array with space first: [slices, rows, columns, channels].
torch::Tensor arranged(const torch::Tensor& voxels, const std::vector<Axis>& axes, const TextHeader& header) {
  const auto dimension = static_cast<int64_t>(axes.size());
  std::vector<int64_t> space, others;
  for (int64_t i = dimension - 1; i >= 0; --i) {
    (axes[static_cast<size_t>(i)].spatial ? space : others).push_back(dimension - 1 - i);
  }
  IVORY_CHECK(space.size() >= 2 && space.size() <= 3, header.name(), ": has ", space.size(),
              " dimensions in space, expected 2 or 3; split it into one file per volume");
  std::vector<int64_t> order = space;
  order.insert(order.end(), others.begin(), others.end());
  std::vector<int64_t> shape(space.size() == 2 ? 1 : 0, 1);
  for (const int64_t at : space) shape.push_back(voxels.size(at));
  shape.push_back(-1);
  const bool disguised = voxels.scalar_type() == torch::kUInt16;  // torch does not move unsigned words
  const torch::Tensor moved =
      (disguised ? voxels.view(torch::kInt16) : voxels).permute(order).reshape(shape).contiguous();
  return disguised ? moved.view(torch::kUInt16) : moved;
}

}  // namespace

Scan read_nrrd(const fs::path& file) {
  const TextHeader header(file, {.separator = ": ", .last = "", .list = "datafile", .key_value = ":="});
  Scan scan;
  scan.files = {file};
  const StoredVoxels stored = storage_of(file, header);
  auto axes = axes_of(header, stored.size);
  scan.voxels = single_channel(arranged(read_stored(stored, header.name(), scan), axes, header), file, scan);
  if (std::ranges::none_of(axes, [](const Axis& axis) { return axis.step.has_value(); }))
    set_spacings(header, stored.size, axes, scan);
  std::vector<Vector3> steps;
  for (const auto& axis : axes) {
    if (axis.spatial) steps.push_back(*axis.step);
  }
  scan.geometry = geometry_of(header, steps, scan);
  return scan;
}

}  // namespace ivory::ingest
