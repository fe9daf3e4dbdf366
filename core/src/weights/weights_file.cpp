#include "weights/weights_file.h"

#include <ivory/error.h>
#include <ivory/nn/foreign_weights.h>

#include <cstring>
#include <fstream>
#include <unordered_map>

#include "base/file_kind.h"
#include "weights/torch_file.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

struct Score {
  int64_t elements = 0, tensors = 0;
  size_t first = 0;  // place in the file
};

// Shapes that state_dict.cpp's load_into takes: the same, or RGB for grey.
bool fits(const torch::Tensor& source, const torch::Tensor& target) {
  if (source.sizes() == target.sizes()) return true;
  return source.dim() >= 4 && target.dim() == source.dim() && source.size(1) == 3 && target.size(1) == 1 &&
         source.size(0) == target.size(0) && source.sizes().slice(2) == target.sizes().slice(2);
}

// A length, then a JSON object. The length's first bytes may be those of another format: of one file in 32 the first is
// 0x80, as of a pickle.
bool is_safetensors(const std::string& start, uint64_t file_size) {
  uint64_t header = 0;
  if (start.size() <= sizeof header || start[sizeof header] != '{') return false;
  std::memcpy(&header, start.data(), sizeof header);
  return header <= file_size - sizeof header;
}

std::string quoted_prefix(const std::string& prefix) {
  return prefix.empty() ? "no prefix" : "prefix '" + prefix + "'";
}

}  // namespace

WeightsFile load_weights_file(const fs::path& given) {
  const fs::path file = fs::is_directory(given) ? given / weights_name : given;
  if (!fs::is_regular_file(file)) throw missing_data("weights file ", file.string(), " does not exist");
  const std::string where = "weights file " + file.string() + ": ";
  std::string start(264, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  if (is_safetensors(start, fs::file_size(file))) return {"safetensors", load_safetensors(file), {}};
  const std::string mistaken = base::mistaken_file(file);
  IVORY_CHECK(mistaken.empty(), where, "it is ", mistaken);
  if (start.starts_with("PK") || start.starts_with("\x80")) {
    IVORY_CHECK(start.starts_with("PK") || is_legacy_torch(start), where,
                "it is a plain pickle, not a file of torch.save; in Python: torch.save(object, file)");
    TorchFile read = load_torch(file);
    return {"torch", std::move(read.content), std::move(read.opaque)};
  }
  IVORY_CHECK(start.size() < 262 || start.compare(257, 5, "ustar") != 0, where,
              "it is a tar archive of torch before 0.4; in Python: torch.save(torch.load(file), file)");
  IVORY_CHECK(!start.starts_with("\x89HDF"), where, "it is an HDF5 file, not weights");
  IVORY_CHECK(!start.starts_with("\x1f\x8b"), where, "it is compressed with gzip; unpack it first");
  return {"safetensors", load_safetensors(file), {}};
}

NamedTensors below(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors inner;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) inner.emplace_back(name.substr(prefix.size()), tensor);
  }
  return inner;
}

namespace {

// Of every prefix what is found below it. By name alone where no shape fits, so that a report can say which do not.
std::unordered_map<std::string, Score> score_prefixes(const torch::nn::Module& module, const NamedTensors& tensors,
                                                      bool by_name_alone) {
  std::unordered_map<std::string, torch::Tensor> targets;
  for (const auto& [name, tensor] : state_of(module)) targets.emplace(name, tensor);
  std::unordered_map<std::string, Score> scores;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].first;
    for (size_t start = 0; start < name.size();) {
      const auto target = targets.find(name.substr(start));
      if (target != targets.end() && (by_name_alone || fits(tensors[i].second, target->second))) {
        Score& score = scores.try_emplace(name.substr(0, start), Score{.first = i}).first->second;
        score.elements += target->second.numel();
        ++score.tensors;
      }
      const size_t dot = name.find('.', start);
      start = dot == std::string::npos ? name.size() : dot + 1;
    }
  }
  return scores;
}

}  // namespace

NameMapping find_prefix(const torch::nn::Module& module, const NamedTensors& tensors) {
  auto scores = score_prefixes(module, tensors, /*by_name_alone=*/false);
  if (scores.empty()) scores = score_prefixes(module, tensors, /*by_name_alone=*/true);
  const std::pair<const std::string, Score>* best = nullptr;
  for (const auto& one : scores) {
    const auto rank = [](const Score& score) { return std::tuple(-score.elements, -score.tensors, score.first); };
    if (!best || rank(one.second) < rank(best->second)) best = &one;
  }
  NameMapping mapping;
  if (!best) return mapping;
  mapping.prefix = best->first;
  mapping.matched = best->second.tensors;
  for (const auto& [prefix, score] : scores) {
    if (prefix != best->first && score.elements == best->second.elements) mapping.others.push_back(prefix);
  }
  std::sort(mapping.others.begin(), mapping.others.end());
  return mapping;
}

std::string MappedReport::summary() const {
  std::string text = mapping.prefix.empty() ? "" : "below '" + mapping.prefix + "': ";
  text += report.summary();
  if (!mapping.others.empty()) text += " (as much matches below '" + mapping.others.front() + "', which was not taken)";
  return text;
}

void require_finite(const NamedTensors& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point()) continue;
    const bool small = torch::elementSize(tensor.scalar_type()) == 1;  // float8 has no isfinite
    const bool finite = torch::isfinite(small ? tensor.to(torch::kFloat32) : tensor).all().item<bool>();
    IVORY_CHECK(finite, "tensor '", name, "' holds NaN or infinite values");
  }
}

MappedReport load_mapped(torch::nn::Module& module, const NamedTensors& file, double min_match,
                         const std::optional<std::string>& prefix) {
  const auto* foreign = dynamic_cast<const nn::ForeignWeights*>(&module);
  const NamedTensors tensors = foreign ? foreign->own_names(file) : file;
  MappedReport mapped;
  if (prefix) {
    mapped.mapping.prefix = *prefix;
  } else {
    mapped.mapping = find_prefix(module, tensors);
    const auto targets = state_of(module);
    IVORY_CHECK(mapped.mapping.matched > 0 || min_match <= 0, "the file and the network have no key in common: ",
                tensors.empty() ? "the file holds no tensor" : "the file has '" + tensors.front().first + "', …",
                "; the network has '", targets.empty() ? "" : targets.front().first, "', …");
  }
  const NamedTensors inner = below(mapped.mapping.prefix, tensors);
  IVORY_CHECK(!inner.empty() || min_match <= 0, "the file holds nothing with ", quoted_prefix(mapped.mapping.prefix));
  NamedTensors used;
  for (const auto& [name, tensor] : state_of(module)) {
    for (const auto& [source, value] : inner) {
      if (source == name) used.emplace_back(mapped.mapping.prefix + name, value);
    }
  }
  require_finite(used);
  mapped.report = load_into(module, inner, min_match);
  return mapped;
}

}  // namespace ivory::train
