// The ABI tag of a library: a name in its table of symbols, found among its bytes. Nothing of it is mapped or run.
#include <elf.h>

#include <algorithm>
#include <cstring>

#include "base/files.h"
#include "plugin/registry.h"

namespace ivory::plugin {
namespace {

#if defined(__aarch64__)
constexpr uint16_t host_machine = EM_AARCH64;
#else
constexpr uint16_t host_machine = EM_X86_64;
#endif
constexpr std::string_view tag_begin("\0ivory_abi_", 11);
constexpr size_t longest_tag = 100;

// Why the loader should not even try; empty where it may. Of a file that was cut short the section table, which comes
// last, is missing.
std::string fault_of(const std::string& bytes) {
  Elf64_Ehdr header = {};
  std::memcpy(&header, bytes.data(), std::min(bytes.size(), sizeof header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "it is not an ELF file";
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != host_machine || header.e_type != ET_DYN) {
    return "expected a shared library for this processor";
  }
  const uint64_t table = uint64_t{header.e_shnum} * header.e_shentsize;
  const bool whole = table > 0 && table <= bytes.size() && header.e_shoff <= bytes.size() - table;
  return whole ? "" : "it is truncated";
}

}  // namespace

std::string read_abi_tag(const std::filesystem::path& library) {
  const auto reject = [&](const std::string& reason) {
    return bad_request("'", library.string(), "' is not a plugin for this Ivory: ", reason);
  };
  std::error_code none;
  if (!std::filesystem::is_regular_file(library, none)) throw reject("expected a file, found none or something else");
  const std::string bytes = base::read_text(library);
  if (const std::string fault = fault_of(bytes); !fault.empty()) throw reject(fault);
  const size_t at = bytes.find(tag_begin);
  if (at == std::string::npos)
    throw reject("it exports no ABI tag (expected IVORY_PLUGIN(registrar) { … } in its source)");
  std::string tag = bytes.substr(at + 1, longest_tag);
  return tag.substr(0, tag.find('\0'));
}

std::string host_abi_tag() {
#define IVORY_TEXT(name) IVORY_TEXT_OF(name)
#define IVORY_TEXT_OF(name) #name
  return IVORY_TEXT(IVORY_ABI_TAG);
}

void check_abi(const std::string& tag, const std::filesystem::path& library) {
  const std::string host = host_abi_tag();
  IVORY_CHECK(tag == host, "plugin '", library.string(), "' was built with ", tag, "; this Ivory has ", host,
              ": build the plugin again with this Ivory's SDK");
}

}  // namespace ivory::plugin
