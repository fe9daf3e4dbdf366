#include "weights/torch_tensors.h"

#include <ivory/error.h>

#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace ivory::train {
namespace {

using Node = PickleNode;
using Kind = Node::Kind;

constexpr int max_depth = 64;
// Shared values may be walked again under other names, a few times over: more is made to fill the memory.
constexpr int64_t max_visits = 4'000'000, visits_per_value = 16, free_visits = 1000;
constexpr int64_t max_expanded = 1 << 24;  // elements of a tensor that repeats its storage (stride 0)
constexpr size_t max_metadata = 64;

struct Dtype {
  const char* name;     // of torch.float32
  const char* storage;  // of torch.FloatStorage
  torch::ScalarType type;
};
constexpr Dtype dtypes[] = {
    {"float32", "FloatStorage", torch::kFloat32},
    {"float64", "DoubleStorage", torch::kFloat64},
    {"float16", "HalfStorage", torch::kFloat16},
    {"bfloat16", "BFloat16Storage", torch::kBFloat16},
    {"int64", "LongStorage", torch::kInt64},
    {"int32", "IntStorage", torch::kInt32},
    {"int16", "ShortStorage", torch::kInt16},
    {"int8", "CharStorage", torch::kInt8},
    {"uint8", "ByteStorage", torch::kUInt8},
    {"bool", "BoolStorage", torch::kBool},
    {"complex64", "ComplexFloatStorage", torch::kComplexFloat},
    {"complex128", "ComplexDoubleStorage", torch::kComplexDouble},
    {"uint16", "", torch::kUInt16},
    {"uint32", "", torch::kUInt32},
    {"uint64", "", torch::kUInt64},
    {"float8_e4m3fn", "", torch::kFloat8_e4m3fn},
    {"float8_e5m2", "", torch::kFloat8_e5m2},
    {"", "UntypedStorage", torch::kUInt8},
};

std::string last_part(const std::string& global) {
  return global.substr(global.rfind('.') + 1);
}

std::optional<torch::ScalarType> dtype_of(const Node& global, const char* Dtype::*column) {
  const std::string name = last_part(global.text);
  for (const Dtype& known : dtypes) {
    if (global.kind == Kind::global && !name.empty() && name == known.*column) return known.type;
  }
  return {};
}

bool is_known(const std::string& name) {
  for (const char* known :
       {"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
        "torch._utils._rebuild_parameter", "collections.OrderedDict", "collections.defaultdict", "torch.Size"}) {
    if (name == known) return true;
  }
  const Node global{.kind = Kind::global, .text = name, .items = {}, .entries = {}};
  return name.starts_with("torch.") && (dtype_of(global, &Dtype::name) || dtype_of(global, &Dtype::storage));
}

class Walker {
 public:
  Walker(const StorageReader& storage, size_t values, const std::string& where)
      : storage_(storage),
        where_(where),
        most_visits_(std::min(max_visits, free_visits + visits_per_value * static_cast<int64_t>(values))) {}

  void walk(const Node& node, const std::string& path, int depth);
  TorchFile take() { return std::move(found_); }

 private:
  void walk_object(const Node& node, const std::string& path, int depth);
  void note(const std::string& path, const std::string& value) {
    if (found_.content.metadata.size() < max_metadata && path.size() < 100) {
      found_.content.metadata.emplace(path, value.substr(0, 100));
    }
  }
  std::string below(const std::string& path, const std::string& name) const {
    IVORY_CHECK(path.size() + name.size() < 1000, where_, "a tensor's name is longer than 1000 characters");
    return path.empty() ? name : path + "." + name;
  }
  bool rebuild(const Node& call, const std::string& path);
  torch::Tensor tensor(const Node& call, const std::string& path);
  std::vector<int64_t> sizes(const Node& node, const std::string& at) const;
  [[noreturn]] void malformed(const std::string& at) const {
    throw bad_request(where_, "tensor '", at, "' is described in a way that torch.save does not use");
  }

  const StorageReader& storage_;
  const std::string& where_;
  TorchFile found_;
  std::unordered_set<std::string> names_;
  std::unordered_map<const Node*, torch::Tensor> tensors_;
  const int64_t most_visits_;
  int64_t visits_ = 0;
};

std::vector<int64_t> Walker::sizes(const Node& node, const std::string& at) const {
  const bool wrapped = node.kind == Kind::call && node.text == "torch.Size" && node.items.size() == 1;
  const Node& list = wrapped ? *node.items[0] : node;
  if (list.kind != Kind::tuple && list.kind != Kind::list) malformed(at);
  IVORY_CHECK(list.items.size() <= 64, where_, "tensor '", at, "' has ", list.items.size(), " dimensions");
  std::vector<int64_t> values;
  for (const Node* item : list.items) {
    if (item->kind != Kind::integer) malformed(at);
    IVORY_CHECK(item->integer >= 0, where_, "tensor '", at, "' has a size or stride of ", item->integer);
    values.push_back(item->integer);
  }
  return values;
}

// _rebuild_tensor_v2(storage, offset, sizes, strides, …); v3 has the dtype as its seventh argument.
torch::Tensor Walker::tensor(const Node& call, const std::string& path) {
  const auto& arguments = call.items;
  if (arguments.size() < 4 || arguments[0]->kind != Kind::persistent || arguments[1]->kind != Kind::integer) {
    malformed(path);
  }
  const auto& id = arguments[0]->items;  // "storage", type, key, location, elements
  if (id.size() < 5 || id[2]->kind != Kind::text || id[4]->kind != Kind::integer) malformed(path);
  const bool untyped = call.text.ends_with("_v3");
  if (untyped && arguments.size() < 7) malformed(path);
  const auto type = untyped ? dtype_of(*arguments[6], &Dtype::name) : dtype_of(*id[1], &Dtype::storage);
  IVORY_CHECK(type, where_, "tensor '", path,
              "' is of a type that Ivory does not read: ", (untyped ? arguments[6] : id[1])->text);

  const torch::Tensor bytes = storage_(id[2]->text);
  const auto width = static_cast<int64_t>(torch::elementSize(*type));
  const int64_t held = bytes.numel() / width, offset = arguments[1]->integer;
  const auto shape = sizes(*arguments[2], path), strides = sizes(*arguments[3], path);
  if (shape.size() != strides.size()) malformed(path);
  int64_t count = 1, extent = width, last = offset;  // extent: of the strides, whatever dimension is empty
  bool overflow = offset < 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    int64_t reach = 0;
    overflow |= __builtin_mul_overflow(extent, std::max<int64_t>(shape[i], 1), &extent);
    overflow |= __builtin_mul_overflow(std::max<int64_t>(shape[i] - 1, 0), strides[i], &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
    count = overflow ? 0 : count * shape[i];
  }
  IVORY_CHECK(!overflow && (count == 0 || last < held), where_, "tensor '", path, "' of shape ",
              torch::IntArrayRef(shape), " lies beyond its storage of ", held, " elements");
  IVORY_CHECK(count <= std::max(held, max_expanded), where_, "tensor '", path, "' of shape ", torch::IntArrayRef(shape),
              " repeats a storage of ", held, " elements");
  if (count == 0) return torch::empty(shape, *type);
  const auto whole = bytes.narrow(0, 0, held * width);
  // Other bytes than 0 and 1 in a boolean tensor are undefined behaviour.
  if (*type == torch::kBool) return whole.ne(0).as_strided(shape, strides, offset);
  return whole.view(*type).as_strided(shape, strides, offset);
}

// True when the call stands for a tensor.
bool Walker::rebuild(const Node& call, const std::string& path) {
  if (call.text.starts_with("torch._utils._rebuild_parameter")) {
    if (call.items.empty() || call.items[0]->kind != Kind::call) malformed(path);
    const Node& inner = *call.items[0];
    if (inner.text.starts_with("torch._utils._rebuild_parameter")) malformed(path);  // perhaps the parameter itself
    return rebuild(inner, path);
  }
  if (call.text != "torch._utils._rebuild_tensor" && !call.text.starts_with("torch._utils._rebuild_tensor_v")) {
    return false;
  }
  IVORY_CHECK(names_.insert(path).second, where_, "tensor '", path, "' is there twice");
  auto& made = tensors_[&call];
  if (!made.defined()) made = tensor(call, path);
  found_.content.tensors.emplace_back(path, made);
  return true;
}

// A pickled module keeps its tensors in dictionaries of its own: their names are left out.
void Walker::walk_object(const Node& node, const std::string& path, int depth) {
  for (const auto& [key, value] : node.entries) {
    const std::string name = key->kind == Kind::text      ? key->text
                             : key->kind == Kind::integer ? std::to_string(key->integer)
                                                          : "?";
    const bool internal = name == "_parameters" || name == "_buffers" || name == "_modules";
    walk(*value, internal ? path : below(path, name), depth + 1);
  }
  if (node.state) walk(*node.state, path, depth + 1);
}

void Walker::walk(const Node& node, const std::string& path, int depth) {
  IVORY_CHECK(depth < max_depth, where_, "its pickle nests too deeply at '", path, "'");
  IVORY_CHECK(++visits_ < most_visits_, where_, "its pickle names the same values again and again, as at '", path, "'");
  switch (node.kind) {
    case Kind::integer:
      return note(path, std::to_string(node.integer));
    case Kind::boolean:
      return note(path, node.integer ? "true" : "false");
    case Kind::real:
      return note(path, joined({node.real}));
    case Kind::text:
      return note(path, node.text);
    case Kind::dict:
      return walk_object(node, path, depth);
    case Kind::call:
      if (!rebuild(node, path)) walk_object(node, path, depth);
      return;
    case Kind::list:
    case Kind::tuple:
      for (size_t i = 0; i < node.items.size(); ++i) {
        const Kind kind = node.items[i]->kind;
        const bool holds = kind == Kind::dict || kind == Kind::call || kind == Kind::list || kind == Kind::tuple;
        if (holds) walk(*node.items[i], below(path, std::to_string(i)), depth + 1);
      }
      return;
    default:
      return;
  }
}

}  // namespace

bool has_storage_class(torch::ScalarType type) {
  return std::any_of(std::begin(dtypes), std::end(dtypes), [&](const Dtype& known) {
    return known.type == type && *known.name != '\0' && *known.storage != '\0';
  });
}

TorchFile named_tensors(const Pickle& pickle, const StorageReader& storage, const std::string& where) {
  Walker walker(storage, pickle.nodes.size(), where);
  walker.walk(*pickle.root, "", 0);
  TorchFile found = walker.take();
  for (const auto& name : pickle.globals) {
    if (!is_known(name)) found.opaque.push_back(name);
  }
  return found;
}

}  // namespace ivory::train
