// The ABI tag of a library, read as bytes: nothing of a foreign file is mapped, relocated or run.
#include <elf.h>

#include <cstring>
#include <fstream>

#include "plugin/registry.h"

namespace ivory::plugin {
namespace {

constexpr char tag_symbol[] = "ivory_abi_tag";
#if defined(__x86_64__)
constexpr uint16_t host_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t host_machine = EM_AARCH64;
#else
#error "the ABI tag's reader knows x86-64 and aarch64"
#endif

[[noreturn]] void reject(const std::filesystem::path& file, const std::string& reason) {
  throw bad_request("'", file.string(), "' is not a plugin for this Ivory: ", reason);
}

// Every range is checked against the size of the file before it is read.
class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& path) : path_(path), stream_(path, std::ios::binary) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) reject(path, "expected a file, found none or something else");
    size_ = std::filesystem::file_size(path, error);
    if (error || !stream_) reject(path, "it cannot be read");
  }

  std::vector<char> bytes(uint64_t begin, uint64_t skip, uint64_t count, const char* what) {
    if (begin > size_ || skip > size_ - begin || count > size_ - begin - skip) {
      reject(path_, std::string("its ") + what + " lies outside the file (truncated or corrupt ELF)");
    }
    std::vector<char> data(count);
    stream_.seekg(static_cast<std::streamoff>(begin + skip));
    if (!stream_.read(data.data(), static_cast<std::streamsize>(count))) reject(path_, "it cannot be read");
    return data;
  }

  template <class T>
  T value(uint64_t begin, uint64_t skip, const char* what) {
    T result;
    const auto data = bytes(begin, skip, sizeof(T), what);
    std::memcpy(&result, data.data(), sizeof(T));
    return result;
  }

  template <class T>
  std::vector<T> array(uint64_t begin, uint64_t count, const char* what) {
    if (count > size_ / sizeof(T)) reject(path_, std::string("its ") + what + " lies outside the file (corrupt ELF)");
    const auto data = bytes(begin, 0, count * sizeof(T), what);
    std::vector<T> result(count);
    if (count > 0) std::memcpy(result.data(), data.data(), data.size());
    return result;
  }

  [[noreturn]] void bad(const std::string& reason) const { reject(path_, reason); }
  uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  std::ifstream stream_;
  uint64_t size_ = 0;
};

Elf64_Ehdr read_header(ElfFile& file) {
  if (file.size() < EI_NIDENT) file.bad("it is not an ELF file");
  const auto ident = file.bytes(0, 0, EI_NIDENT, "header");
  if (std::memcmp(ident.data(), ELFMAG, SELFMAG) != 0) file.bad("it is not an ELF file");
  if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB) {
    file.bad("expected a 64-bit little-endian ELF file, found another kind");
  }
  const auto header = file.value<Elf64_Ehdr>(0, 0, "header");
  if (header.e_machine != host_machine) file.bad("it was built for another processor");
  if (header.e_type != ET_DYN) file.bad("it is an ELF file, but not a shared library");
  if (header.e_shnum == 0 || header.e_shentsize != sizeof(Elf64_Shdr)) file.bad("it has no section table");
  return header;
}

// File offset of the tag as (section, distance); rejects symbols that are not plain data of the tag's size.
AbiTag tag_at(ElfFile& file, const Elf64_Sym& symbol, const std::vector<Elf64_Shdr>& sections) {
  if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= sections.size()) file.bad("its ABI tag is not defined in it");
  const Elf64_Shdr& section = sections[symbol.st_shndx];
  if (section.sh_type != SHT_PROGBITS) file.bad("its ABI tag has no bytes in the file");
  if (symbol.st_size != sizeof(AbiTag)) {
    file.bad(c10::str("its ABI tag has ", symbol.st_size, " bytes, expected ", sizeof(AbiTag)));
  }
  const uint64_t distance = symbol.st_value - section.sh_addr;
  if (symbol.st_value < section.sh_addr || distance > section.sh_size || section.sh_size - distance < sizeof(AbiTag)) {
    file.bad("its ABI tag lies outside its section (corrupt ELF)");
  }
  return file.value<AbiTag>(section.sh_offset, distance, "ABI tag");
}

bool is_tag_name(const std::vector<char>& strings, uint64_t offset) {
  return offset < strings.size() && strings.size() - offset >= sizeof tag_symbol &&
         std::memcmp(strings.data() + offset, tag_symbol, sizeof tag_symbol) == 0;
}

template <size_t N>
std::string printable(const char (&field)[N]) {
  std::string text(field, strnlen(field, N));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

std::string describe(const AbiTag& tag) {
  return c10::str("plugin API ", tag.api_version, ", LibTorch ", printable(tag.torch), ", ", printable(tag.compiler),
                  ", C++11 ABI ", tag.cxx11_abi, ", ", printable(tag.build_type), " build");
}

}  // namespace

AbiTag read_abi_tag(const std::filesystem::path& library) {
  ElfFile file(library);
  const Elf64_Ehdr header = read_header(file);
  const auto sections = file.array<Elf64_Shdr>(header.e_shoff, header.e_shnum, "section table");
  for (const auto& section : sections) {
    if (section.sh_type != SHT_DYNSYM) continue;
    if (section.sh_entsize != sizeof(Elf64_Sym) || section.sh_link >= sections.size()) {
      file.bad("its table of dynamic symbols is malformed (corrupt ELF)");
    }
    const Elf64_Shdr& names = sections[section.sh_link];
    const auto strings = file.bytes(names.sh_offset, 0, names.sh_size, "table of symbol names");
    const auto symbols =
        file.array<Elf64_Sym>(section.sh_offset, section.sh_size / sizeof(Elf64_Sym), "table of dynamic symbols");
    for (const auto& symbol : symbols) {
      if (!is_tag_name(strings, symbol.st_name)) continue;
      const AbiTag tag = tag_at(file, symbol, sections);
      if (tag.magic != abi_magic) file.bad("its ABI tag does not begin with Ivory's magic number");
      return tag;
    }
  }
  file.bad("it exports no 'ivory_abi_tag' (expected IVORY_PLUGIN(registrar) { … } in its source)");
}

AbiTag host_abi_tag() {
  return IVORY_ABI_TAG;
}

void check_abi(const AbiTag& tag, const std::filesystem::path& library) {
  const std::string built = describe(tag), host = describe(host_abi_tag());
  IVORY_CHECK(built == host, "plugin '", library.string(), "' was built with ", built, "; this Ivory has ", host,
              ": build the plugin again with this Ivory's SDK");
}

}  // namespace ivory::plugin
