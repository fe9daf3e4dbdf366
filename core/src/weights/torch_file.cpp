#include "weights/torch_file.h"

#include <caffe2/serialize/inline_container.h>
#include <ivory/error.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>
#include <fstream>
#include <unordered_map>

#include "base/files.h"
#include "weights/torch_tensors.h"
#include "weights/zip_directory.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t max_pickle_bytes = 64 << 20;
// torch.save before version 1.6 begins with this number, pickled.
constexpr std::string_view legacy_magic("\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 13);  // behind the protocol
constexpr size_t frame_bytes = 9;  // of protocols from 4 on: a code and the length of the frame

std::string first_sentence(const std::string& text) {
  return text.substr(0, std::min({text.find(". "), text.find('\n'), size_t{120}}));
}

// A zip archive, whose records together may not claim more bytes than the file has: torch.save does not compress.
class Archive {
 public:
  Archive(const fs::path& file, const std::string& where)
      : where_(where), bytes_left_(fs::file_size(file)), reader_(file.string()) {}

  bool has(const std::string& name) { return reader_.hasRecord(name); }
  torch::Tensor read(const std::string& name) {  // [bytes] uint8
    const uint64_t size = reader_.getRecordSize(name);
    IVORY_CHECK(size <= bytes_left_, where_, "record '", name, "' claims ", size, " bytes, ", bytes_left_,
                " of the file are left: it is compressed or damaged, and torch.save does not compress");
    bytes_left_ -= size;
    auto [data, length] = reader_.getRecord(name);
    const auto owner = std::make_shared<at::DataPtr>(std::move(data));
    return torch::from_blob(
        owner->get(), {static_cast<int64_t>(length)}, [owner](void*) {}, torch::kUInt8);
  }

 private:
  const std::string& where_;
  uint64_t bytes_left_;
  caffe2::serialize::PyTorchStreamReader reader_;
};

std::string_view text_of(const torch::Tensor& bytes) {
  return {static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel())};
}

TorchFile load_archive(const fs::path& file, const std::string& where) try {
  check_zip_directory(file, where);
  Archive archive(file, where);
  IVORY_CHECK(archive.has("data.pkl"), where, "it is a zip archive without data.pkl, so torch.save did not write it");
  if (archive.has("byteorder")) {
    IVORY_CHECK(text_of(archive.read("byteorder")) == "little", where,
                "its numbers are big-endian; only little-endian is read");
  }
  const torch::Tensor pickle = archive.read("data.pkl");
  IVORY_CHECK(static_cast<uint64_t>(pickle.numel()) <= max_pickle_bytes, where, "its data.pkl has ", pickle.numel(),
              " bytes, at most 64 MiB are read");
  std::unordered_map<std::string, torch::Tensor> storages;
  const auto storage = [&](const std::string& key) {
    torch::Tensor& held = storages[key];
    if (held.defined()) return held;
    IVORY_CHECK(archive.has("data/" + key), where, "storage '", key.substr(0, 40), "' is not in the archive");
    return held = archive.read("data/" + key);
  };
  return named_tensors(parse_pickle(text_of(pickle), where), storage, where);
} catch (const c10::Error& error) {
  throw bad_request(where, "it is a damaged or truncated zip archive (", first_sentence(error.what_without_backtrace()),
                    ")");
}

// Where every storage's values lie in a file of before torch 1.6: each after its number of elements.
class LegacyStorages {
 public:
  LegacyStorages(std::string_view rest, const Pickle& keys, const Pickle& content, const std::string& where)
      : rest_(rest), where_(where) {
    for (const PickleNode& node : content.nodes) {
      if (node.kind != PickleNode::Kind::persistent || node.items.size() < 3) continue;
      widths_.emplace(node.items[2]->text, width_of(node.items[1]->text));
    }
    IVORY_CHECK(keys.root->kind == PickleNode::Kind::list, where_, "its list of storages is damaged");
    for (const PickleNode* key : keys.root->items) place(key->text);
  }

  torch::Tensor read(const std::string& key) const {
    const auto found = places_.find(key);
    IVORY_CHECK(found != places_.end(), where_, "storage '", key.substr(0, 40), "' is not in the file");
    const std::string_view bytes = found->second;
    const auto made = torch::empty({static_cast<int64_t>(bytes.size())}, torch::kUInt8);
    if (!bytes.empty()) std::memcpy(made.data_ptr(), bytes.data(), bytes.size());
    return made;
  }

 private:
  static uint64_t width_of(const std::string& type) {
    for (const char* wide : {"DoubleStorage", "LongStorage"}) {
      if (type.ends_with(wide)) return 8;
    }
    for (const char* half : {"HalfStorage", "BFloat16Storage", "ShortStorage"}) {
      if (type.ends_with(half)) return 2;
    }
    return type.ends_with("FloatStorage") || type.ends_with("IntStorage") ? 4 : 1;
  }
  void place(const std::string& key) {
    const auto width = widths_.find(key);
    IVORY_CHECK(width != widths_.end(), where_, "storage '", key.substr(0, 40), "' is listed but never used");
    uint64_t count = 0;
    IVORY_CHECK(rest_.size() >= sizeof count, where_, "it is truncated");
    std::memcpy(&count, rest_.data(), sizeof count);
    rest_.remove_prefix(sizeof count);
    IVORY_CHECK(count <= rest_.size() / width->second, where_, "storage '", key.substr(0, 40), "' claims ", count,
                " elements, ", rest_.size(), " bytes of the file are left");
    places_.emplace(key, rest_.substr(0, count * width->second));
    rest_.remove_prefix(count * width->second);
  }

  std::string_view rest_;
  const std::string& where_;
  std::unordered_map<std::string, uint64_t> widths_;
  std::unordered_map<std::string, std::string_view> places_;
};

// Five pickles (a magic number, the protocol, the machine, the content, the storages' keys), then the storages.
TorchFile load_legacy(const fs::path& file, const std::string& where) {
  std::string bytes(fs::file_size(file), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  IVORY_CHECK(in, where, "it cannot be read");
  std::string_view rest = bytes;
  const auto next = [&] {
    Pickle pickle = parse_pickle(rest, where);
    rest.remove_prefix(pickle.bytes);
    return pickle;
  };
  for (int i = 0; i < 3; ++i) next();
  const Pickle content = next(), keys = next();
  const LegacyStorages storages(rest, keys, content, where);
  return named_tensors(
      content, [&](const std::string& key) { return storages.read(key); }, where);
}

}  // namespace

bool is_legacy_torch(std::string_view start) {
  if (start.size() < 2 || start[0] != '\x80' || start[1] < 2 || start[1] > 5) return false;
  start.remove_prefix(2);
  if (start.starts_with('\x95')) start.remove_prefix(std::min(start.size(), frame_bytes));
  return start.starts_with(legacy_magic);
}

TorchFile load_torch(const fs::path& file) {
  if (!fs::is_regular_file(file)) throw missing_data("weights file ", file.string(), " does not exist");
  const std::string where = "weights file " + file.string() + ": ";
  std::string start(2 + frame_bytes + legacy_magic.size(), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  if (is_legacy_torch(start)) return load_legacy(file, where);
  IVORY_CHECK(start.starts_with("PK"), where, "it is neither a zip archive nor a pickle of torch.save");
  return load_archive(file, where);
}

void save_torch(const fs::path& file, const NamedTensors& tensors) {
  c10::impl::GenericDict state(c10::StringType::get(), c10::AnyType::get());
  for (const auto& [name, tensor] : tensors) {
    IVORY_CHECK(has_storage_class(tensor.scalar_type()), "tensor '", name, "' of type ", tensor.scalar_type(),
                " has no place in a file that torch.load reads; safetensors holds it");
    state.insert(name, tensor.detach().to(torch::kCPU).clone(torch::MemoryFormat::Contiguous));
  }
  std::string pickle;
  int64_t number = 0;
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); }, nullptr, nullptr,
                              nullptr, [&](const at::Tensor&) { return std::to_string(number++); },
                              /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(state);
  pickler.stop();

  base::DurableFile out(file);
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    out.write(data, size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  writer.writeRecord("byteorder", "little", 6);
  number = 0;
  for (const auto& tensor : pickler.tensorData()) {
    writer.writeRecord("data/" + std::to_string(number++), tensor.storage().data(), tensor.storage().nbytes());
  }
  writer.writeEndOfFile();
  out.publish();
}

}  // namespace ivory::train
