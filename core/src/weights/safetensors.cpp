#include "weights/safetensors.h"

#include <ivory/error.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/files.h"
#include "base/json_text.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

using json = nlohmann::json;
static_assert(std::endian::native == std::endian::little, "tensors are stored little-endian");

constexpr uint64_t max_header_bytes = 100'000'000;
constexpr int max_depth = 3;  // header → tensor → shape → number

struct Dtype {
  const char* name;
  torch::ScalarType type;
};
constexpr Dtype dtypes[] = {
    {"F64", torch::kFloat64},         {"F32", torch::kFloat32},      {"F16", torch::kFloat16},
    {"BF16", torch::kBFloat16},       {"I64", torch::kInt64},        {"I32", torch::kInt32},
    {"I16", torch::kInt16},           {"I8", torch::kInt8},          {"U8", torch::kUInt8},
    {"U16", torch::kUInt16},          {"U32", torch::kUInt32},       {"U64", torch::kUInt64},
    {"BOOL", torch::kBool},           {"C64", torch::kComplexFloat}, {"F8_E4M3", torch::kFloat8_e4m3fn},
    {"F8_E5M2", torch::kFloat8_e5m2},
};

struct Entry {
  std::string name;
  torch::ScalarType type = torch::kFloat32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // within the buffer
};

// A name from a foreign file, fit for one line of text.
std::string quoted(std::string name) {
  for (char& c : name) {
    if (static_cast<unsigned char>(c) < 32) c = '?';
  }
  if (name.size() <= 80) return c10::str("'", name, "'");
  size_t length = 80;
  while ((name[length] & 0xC0) == 0x80) --length;  // not within a UTF-8 character
  return c10::str("'", name.substr(0, length), "…'");
}

// Refuses what a lenient parser lets through: names given twice and deep nesting.
json parse_header_text(const std::string& text, const std::string& where) {
  std::vector<std::set<std::string>> names;
  const auto check = [&](int depth, base::JsonEvent event, json& parsed) {
    IVORY_CHECK(depth <= max_depth, "nests deeper than a tensor's shape");
    if (event == base::JsonEvent::object_start) names.emplace_back();
    if (event == base::JsonEvent::object_end) names.pop_back();
    if (event == base::JsonEvent::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      IVORY_CHECK(names.back().insert(name).second, "names ", quoted(name), " twice");
    }
    return true;
  };
  try {
    return base::visit_json(text, check);
  } catch (const Error& error) {
    throw bad_request(where, "its header: ", error.what());
  }
}

uint64_t natural(const json& value, const std::string& where, const char* what) {
  IVORY_CHECK(value.is_number_unsigned(), where, what, " must be whole numbers ≥ 0, got ",
              base::dump(value).substr(0, 40));
  const auto number = value.get<uint64_t>();
  IVORY_CHECK(number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), where, what, " of ", number,
              " are beyond 2^63");
  return number;
}

torch::ScalarType parse_dtype(const json& value, const std::string& where) {
  IVORY_CHECK(value.is_string(), where, "dtype must be a text, got ", base::dump(value).substr(0, 40));
  for (const Dtype& known : dtypes) {
    if (value.get_ref<const std::string&>() == known.name) return known.type;
  }
  throw bad_request(where, "dtype ", quoted(value.get<std::string>()), " is none of F64, F32, F16, BF16, I64 … BOOL");
}

Entry parse_entry(const std::string& name, const json& value, uint64_t buffer_bytes, const std::string& file) {
  const std::string where = file + "tensor " + quoted(name) + ": ";
  IVORY_CHECK(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
                  value.contains("data_offsets"),
              where, "expected exactly dtype, shape and data_offsets");
  Entry entry{.name = name, .type = parse_dtype(value["dtype"], where), .shape = {}};

  const json& shape = value["shape"];
  IVORY_CHECK(shape.is_array(), where, "shape must be a list");
  auto bytes = static_cast<int64_t>(torch::elementSize(entry.type));
  int64_t extent = bytes;  // of the strides, which an empty dimension does not make smaller
  for (const json& size : shape) {
    const auto length = static_cast<int64_t>(natural(size, where, "shape's entries"));
    IVORY_CHECK(!__builtin_mul_overflow(extent, std::max<int64_t>(length, 1), &extent), where, "the size of shape ",
                base::dump(shape).substr(0, 160), " overflows");
    bytes *= length;
    entry.shape.push_back(length);
  }

  const json& offsets = value["data_offsets"];
  IVORY_CHECK(offsets.is_array() && offsets.size() == 2, where, "data_offsets must be two numbers");
  entry.begin = natural(offsets[0], where, "data_offsets");
  entry.end = natural(offsets[1], where, "data_offsets");
  IVORY_CHECK(entry.begin <= entry.end && entry.end <= buffer_bytes, where, "data_offsets ", base::dump(offsets),
              " are not within the ", buffer_bytes, " bytes of data");
  IVORY_CHECK(entry.end - entry.begin == static_cast<uint64_t>(bytes), where, "shape ", base::dump(shape), " of ",
              base::dump(value["dtype"]), " needs ", bytes, " bytes, data_offsets give ", entry.end - entry.begin);
  return entry;
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& file) {
  if (value.is_null()) return {};  // some writers put it there
  IVORY_CHECK(value.is_object(), file, "__metadata__ must be a map of texts");
  std::map<std::string, std::string> metadata;
  for (const auto& [key, text] : value.items()) {
    IVORY_CHECK(text.is_string(), file, "__metadata__ may hold texts only, ", quoted(key), " is a ", text.type_name());
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

void check_without_holes(const std::vector<Entry>& entries, uint64_t buffer_bytes, const std::string& file) {
  uint64_t position = 0;
  for (const Entry& entry : entries) {
    IVORY_CHECK(entry.begin == position, file, "tensor ", quoted(entry.name), " begins at byte ", entry.begin,
                " of the data, expected ", position, entry.begin < position ? " (it overlaps another)" : " (a hole)");
    position = entry.end;
  }
  IVORY_CHECK(position == buffer_bytes, file, "its tensors end at byte ", position, " of the data, which has ",
              buffer_bytes);
}

std::string read_header(std::ifstream& in, uint64_t file_bytes, const std::string& where) {
  uint64_t length = 0;
  IVORY_CHECK(file_bytes >= sizeof length, where, "expected at least 8 bytes, got ", file_bytes);
  in.read(reinterpret_cast<char*>(&length), sizeof length);
  IVORY_CHECK(length <= max_header_bytes, where, "its header claims ", length, " bytes, at most 100 MB are allowed");
  IVORY_CHECK(length <= file_bytes - sizeof length, where, "its header claims ", length, " bytes, the file has ",
              file_bytes, " in all");
  std::string text(length, '\0');
  in.read(text.data(), static_cast<std::streamsize>(length));
  IVORY_CHECK(in, where, "its header could not be read");
  return text;
}

torch::Tensor read_tensor(std::ifstream& in, const Entry& entry, const std::string& where) {
  // Other bytes than 0 and 1 in a boolean tensor are undefined behaviour.
  const bool boolean = entry.type == torch::kBool;
  torch::Tensor tensor = torch::empty(entry.shape, boolean ? torch::kUInt8 : entry.type);
  in.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(entry.end - entry.begin));
  IVORY_CHECK(in, where, "tensor ", quoted(entry.name), " could not be read");
  return boolean ? tensor.ne(0) : tensor;
}

std::string header_text(const TensorFile& content) {
  json header = json::object();
  if (!content.metadata.empty()) header["__metadata__"] = content.metadata;
  uint64_t position = 0;
  for (const auto& [name, tensor] : content.tensors) {
    const auto dtype = std::find_if(std::begin(dtypes), std::end(dtypes),
                                    [&](const Dtype& known) { return known.type == tensor.scalar_type(); });
    IVORY_CHECK(dtype != std::end(dtypes), "tensor '", name, "' of type ", tensor.scalar_type(),
                " has no place in a safetensors file");
    IVORY_CHECK(name != "__metadata__" && !header.contains(name), "tensor name '", name,
                "' is given twice or reserved");
    header[name] = {{"dtype", dtype->name},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {position, position + tensor.nbytes()}}};
    position += tensor.nbytes();
  }
  std::string text = base::dump(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

std::string save_safetensors(const fs::path& file, const TensorFile& content) {
  const std::string header = header_text(content);
  const uint64_t length = header.size();
  base::DurableFile out(file);
  out.write(&length, sizeof length);
  out.write(header.data(), header.size());
  for (const auto& [name, tensor] : content.tensors) {
    const torch::Tensor bytes = tensor.detach().to(torch::kCPU).contiguous();
    out.write(bytes.const_data_ptr(), bytes.nbytes());
  }
  return out.publish();
}

TensorFile load_safetensors(const fs::path& file) {
  if (!fs::is_regular_file(file)) throw missing_data("weights file ", file.string(), " does not exist");
  const std::string where = "weights file " + file.string() + ": ";
  std::ifstream in(file, std::ios::binary);
  IVORY_CHECK(in, where, "cannot be opened: ", std::strerror(errno));
  const uint64_t file_bytes = fs::file_size(file);
  const std::string text = read_header(in, file_bytes, where);
  IVORY_CHECK(!text.empty() && text.front() == '{', where, "its header is not a JSON object");
  const uint64_t buffer_bytes = file_bytes - sizeof(uint64_t) - text.size();

  const json header = parse_header_text(text, where);
  TensorFile content;
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      content.metadata = parse_metadata(value, where);
    } else {
      entries.push_back(parse_entry(name, value, buffer_bytes, where));
    }
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  check_without_holes(entries, buffer_bytes, where);
  for (const Entry& entry : entries) content.tensors.emplace_back(entry.name, read_tensor(in, entry, where));
  return content;
}

}  // namespace ivory::train
