// ivory weights show | compare | import | export: docs/weights.md
#include <ivory/error.h>

#include <iomanip>
#include <iostream>
#include <map>

#include "arguments.h"
#include "commands.h"
#include "weights/torch_file.h"
#include "weights/weights_file.h"

namespace ivory::tools {
namespace {

namespace options = boost::program_options;
using train::NamedTensors;
using Words = std::vector<std::string>;

constexpr char usage[] =
    "usage: ivory weights show FILE             names, shapes and types\n"
    "       ivory weights compare FILE FILE     what differs\n"
    "       ivory weights import FILE OUT       a file from elsewhere → Ivory's safetensors, with a report\n"
    "       ivory weights export FILE OUT       for Python: safetensors, or what torch.load reads\n\n"
    "FILE is safetensors, a file of Python's torch.save, or a folder with weights.safetensors; nothing in it is run.\n"
    "ivory weights COMMAND --help tells more.\n";

std::string shape_text(const torch::Tensor& tensor) {
  return c10::str(tensor.sizes());
}

int show(const Words& words) {
  options::options_description visible("usage: ivory weights show FILE\n\nOptions");
  const auto arguments = parse_arguments("ivory weights show", visible, words, {"FILE"});
  if (arguments.help) return 0;
  const auto file = train::load_weights_file(arguments.get("FILE"));
  int64_t elements = 0;
  for (const auto& [name, tensor] : file.content.tensors) {
    elements += tensor.numel();
    std::cout << std::left << std::setw(56) << name << " " << std::setw(20) << shape_text(tensor) << " "
              << tensor.dtype().name() << "\n";
  }
  for (const auto& [key, value] : file.content.metadata) std::cout << key << " = " << value << "\n";
  for (const auto& name : file.opaque) std::cout << "not interpreted: " << name << "\n";
  std::cout << file.format << ", " << file.content.tensors.size() << " tensors, " << elements << " elements\n";
  return 0;
}

// Largest |a - b|, in double; NaN and infinities that agree count as equal. Integers that only a double takes for equal
// (it holds them up to 2^53) are told apart.
double difference(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.numel() == 0) return 0;
  const auto whole = [](const torch::Tensor& t) { return at::isIntegralType(t.scalar_type(), /*includeBool=*/true); };
  const auto wide = a.is_complex() || b.is_complex() ? torch::kComplexDouble : torch::kFloat64;
  const auto x = a.to(wide), y = b.to(wide);
  if (!torch::allclose(x, y, 0, 0, /*equal_nan=*/true)) return (x - y).abs().max().item<double>();
  if (!whole(a) || !whole(b)) return 0;
  return (a.to(torch::kInt64) - b.to(torch::kInt64)).abs().max().item().toDouble();
}

int compare(const Words& words) {
  options::options_description visible(
      "usage: ivory weights compare FIRST SECOND\n\nExit code 0 when both hold the same tensors, else 1.\n\nOptions");
  visible.add_options()("first-prefix", options::value<std::string>()->default_value(""), "of FIRST: only below it")(
      "second-prefix", options::value<std::string>()->default_value(""), "of SECOND: only below it");
  const auto arguments = parse_arguments("ivory weights compare", visible, words, {"FIRST", "SECOND"});
  if (arguments.help) return 0;
  const auto load = [&](const char* file, const char* prefix) {
    return train::below(arguments.get(prefix), train::load_weights_file(arguments.get(file)).content.tensors);
  };
  const NamedTensors first = load("FIRST", "first-prefix"), others = load("SECOND", "second-prefix");
  std::map<std::string, torch::Tensor> second(others.begin(), others.end());
  int64_t equal = 0, differ = 0, reshaped = 0, missing = 0;
  for (const auto& [name, tensor] : first) {
    const auto found = second.extract(name);
    if (found.empty()) {
      ++missing;
      std::cout << name << ": only in the first\n";
    } else if (found.mapped().sizes() != tensor.sizes()) {
      ++reshaped;
      std::cout << name << ": " << shape_text(tensor) << " and " << shape_text(found.mapped()) << "\n";
    } else if (const double largest = difference(tensor, found.mapped()); largest != 0) {
      ++differ;
      std::cout << name << ": differs by at most " << largest << "\n";
    } else {
      ++equal;
    }
  }
  for (const auto& [name, tensor] : second) std::cout << name << ": only in the second\n";
  std::cout << equal << " equal, " << differ << " different, " << reshaped << " of another shape, " << missing
            << " only in the first, " << second.size() << " only in the second\n";
  const bool same = differ + reshaped + missing == 0 && second.empty();
  return static_cast<int>(same ? ExitCode::done : ExitCode::run_failed);
}

int import(const Words& words) {
  options::options_description visible(
      "usage: ivory weights import FILE OUT.safetensors --backbone NAME [OPTIONS]\n\nFinds the backbone's names below "
      "whatever prefix (state_dict.module., encoder., …), reports what matched, and writes its weights.\n\nOptions");
  add_backbone_options(visible);
  visible.add_options()("min-match", options::value<double>()->default_value(0.95),
                        "share of the parameters that must match")("prefix", options::value<std::string>(),
                                                                   "take this prefix instead of looking for one");
  const std::string command = "ivory weights import";
  const auto arguments = parse_arguments(command, visible, words, {"FILE", "OUT"});
  if (arguments.help) return 0;
  IVORY_CHECK(arguments.has("backbone"), command, ": --backbone is missing, as in --backbone resnet --option depth=50");
  const auto backbone = make_backbone(arguments, command);
  const std::string file = arguments.get("FILE");
  std::optional<std::string> prefix;
  if (arguments.has("prefix")) prefix = arguments.get("prefix");
  const auto mapped = train::load_mapped(*backbone, train::load_weights_file(file).content.tensors,
                                         arguments.get<double>("min-match"), prefix);
  for (const auto& name : mapped.report.missing) std::cout << "missing: " << name << "\n";
  for (const auto& name : mapped.report.unexpected) std::cout << "unexpected: " << name << "\n";
  for (const auto& name : mapped.report.mismatched) std::cout << "of another shape: " << name << "\n";
  std::cout << mapped.summary() << "\n";
  train::save_safetensors(arguments.get("OUT"),
                          {train::state_of(*backbone), {{"format", "pt"}, {"ivory.imported_from", file}}});
  return 0;
}

int export_file(const Words& words) {
  options::options_description visible(
      "usage: ivory weights export FILE OUT [OPTIONS]\n\ntorch: what Python's torch.load(weights_only=True) "
      "reads.\n\nOptions");
  visible.add_options()("format", options::value<std::string>()->default_value("safetensors"), "safetensors or torch")(
      "prefix", options::value<std::string>()->default_value(""),
      "only what is below it, without it: --prefix intra. gives torchvision's names");
  const std::string command = "ivory weights export";
  const auto arguments = parse_arguments(command, visible, words, {"FILE", "OUT"});
  if (arguments.help) return 0;
  const std::string format = arguments.get("format"), prefix = arguments.get("prefix");
  IVORY_CHECK(format == "safetensors" || format == "torch", command, ": --format is safetensors or torch, got '",
              format, "'");
  const auto tensors = train::below(prefix, train::load_weights_file(arguments.get("FILE")).content.tensors);
  IVORY_CHECK(!tensors.empty(), command, ": ", arguments.get("FILE"), " has no tensor below '", prefix, "'");
  if (format == "torch") {
    train::save_torch(arguments.get("OUT"), tensors);
  } else {
    train::save_safetensors(arguments.get("OUT"), {tensors, {{"format", "pt"}}});
  }
  std::cout << "wrote " << tensors.size() << " tensors to " << arguments.get("OUT") << "\n";
  return 0;
}

}  // namespace

int run_weights(const std::vector<std::string>& arguments) {
  const Command commands[] = {
      {"show", "", show}, {"compare", "", compare}, {"import", "", import}, {"export", "", export_file}};
  if (arguments.empty() || arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h") {
    (arguments.empty() ? std::cerr : std::cout) << usage;
    return static_cast<int>(arguments.empty() ? ExitCode::bad_request : ExitCode::done);
  }
  for (const auto& command : commands) {
    if (arguments[0] == command.name) return command.run({arguments.begin() + 1, arguments.end()});
  }
  throw bad_request("ivory weights: unknown command '", arguments[0], "'; expected show, compare, import or export");
}

}  // namespace ivory::tools
