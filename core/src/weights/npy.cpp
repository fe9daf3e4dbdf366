#include "weights/npy.h"

#include <ivory/error.h>

#include <cstring>
#include <fstream>

#include "base/files.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr uint32_t max_header = 65536;

struct Dtype {
  const char* name;
  torch::ScalarType type;
};
constexpr Dtype dtypes[] = {{"<f4", torch::kFloat32}, {"<f8", torch::kFloat64}, {"<f2", torch::kFloat16},
                            {"<i8", torch::kInt64},   {"<i4", torch::kInt32},   {"<i2", torch::kInt16},
                            {"|i1", torch::kInt8},    {"|u1", torch::kUInt8},   {"<u2", torch::kUInt16}};

// What follows `'key': ` in the header, which is a Python dictionary. It is searched, never evaluated.
std::string_view value_of(std::string_view header, const char* key, const std::string& where) {
  const std::string quoted = "'" + std::string(key) + "':";
  const size_t at = header.find(quoted);
  IVORY_CHECK(at != std::string_view::npos, where, "its header is malformed");
  header.remove_prefix(at + quoted.size());
  header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
  return header;
}

// What lies between two characters at the beginning of a value.
std::string_view between(std::string_view value, char open, char close, const std::string& where) {
  const size_t end = value.find(close, 1);
  IVORY_CHECK(!value.empty() && value[0] == open && end != std::string_view::npos, where, "its header is malformed");
  return value.substr(1, end - 1);
}

std::vector<int64_t> parse_shape(const std::string& text, const std::string& where) {
  IVORY_CHECK(text.find_first_not_of("0123456789, ") == std::string::npos, where, "its header is malformed");
  std::vector<int64_t> shape;
  for (size_t at = 0; at < text.size();) {
    const size_t digits = text.find_first_of("0123456789", at);
    if (digits == std::string::npos) break;
    size_t length = 0;
    IVORY_CHECK(text.find_first_not_of("0123456789", digits) - digits < 16 || text.size() - digits < 16, where,
                "a size is beyond 10^15");
    shape.push_back(std::stoll(text.substr(digits), &length));
    at = digits + length;
  }
  return shape;
}

}  // namespace

torch::Tensor load_npy(const fs::path& file) {
  if (!fs::is_regular_file(file)) throw missing_data("array file ", file.string(), " does not exist");
  const std::string where = "array file " + file.string() + ": ";
  std::ifstream in(file, std::ios::binary);
  char start[8] = {};
  in.read(start, sizeof start);
  IVORY_CHECK(in && std::string_view(start, magic.size()) == magic, where, "it is not a .npy file");
  const std::streamsize width = start[6] == 1 ? 2 : 4;
  uint32_t length = 0;
  in.read(reinterpret_cast<char*>(&length), width);
  IVORY_CHECK(in && length <= max_header, where, "its header claims ", length, " bytes, at most ", max_header,
              " are read");
  std::string header(length, '\0');
  in.read(header.data(), length);
  IVORY_CHECK(in, where, "it is truncated");
  const std::string name(between(value_of(header, "descr", where), '\'', '\'', where));
  const auto* dtype =
      std::find_if(std::begin(dtypes), std::end(dtypes), [&](const Dtype& d) { return name == d.name; });
  IVORY_CHECK(dtype != std::end(dtypes), where, "its type '", name.substr(0, 20), "' is none of f4, f8, f2, i8 … u1");
  IVORY_CHECK(value_of(header, "fortran_order", where).starts_with("False"), where,
              "it is in Fortran order; in NumPy: numpy.ascontiguousarray");
  const auto shape = parse_shape(std::string(between(value_of(header, "shape", where), '(', ')', where)), where);
  const uint64_t left = fs::file_size(file) - static_cast<uint64_t>(in.tellg());
  uint64_t bytes = torch::elementSize(dtype->type);
  for (const int64_t size : shape) {
    IVORY_CHECK(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes), where, "its shape overflows");
  }
  IVORY_CHECK(bytes == left, where, "its shape needs ", bytes, " bytes, the file has ", left);
  torch::Tensor tensor = torch::empty(shape, dtype->type);
  in.read(static_cast<char*>(tensor.data_ptr()), static_cast<std::streamsize>(bytes));
  IVORY_CHECK(in, where, "it cannot be read");
  return tensor;
}

void save_npy(const fs::path& file, const torch::Tensor& given) {
  const torch::Tensor tensor = given.detach().to(torch::kCPU).contiguous();
  const auto* dtype = std::find_if(std::begin(dtypes), std::end(dtypes),
                                   [&](const Dtype& d) { return tensor.scalar_type() == d.type; });
  IVORY_CHECK(dtype != std::end(dtypes), "a tensor of type ", tensor.scalar_type(), " has no place in a .npy file");
  std::string header = std::string("{'descr': '") + dtype->name + "', 'fortran_order': False, 'shape': (";
  for (const int64_t size : tensor.sizes()) header += std::to_string(size) + ",";
  header += ")}";
  header.resize((header.size() + 1 + 10 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  base::DurableFile out(file);
  out.write(magic.data(), magic.size());
  out.write("\x01\x00", 2);
  out.write(&length, sizeof length);
  out.write(header.data(), header.size());
  out.write(tensor.const_data_ptr(), tensor.nbytes());
  out.publish();
}

}  // namespace ivory::train
