// The reader of ABI tags against files that are not what they seem. A small valid ELF file is made here, byte by byte.
#include <elf.h>
#include <gmock/gmock.h>
#include <ivory/random.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "plugin/registry.h"

namespace {

using ivory::AbiTag;
using testing::HasSubstr;

// Null, .dynstr, .dynsym and .rodata, the tag being the second symbol and lying at an offset within .rodata.
struct Elf {
  Elf64_Ehdr header{};
  char names[40] = "\0other\0ivory_abi_tag\0ivory_abi_tagged";
  Elf64_Sym symbols[3]{};
  char padding[16] = {};
  AbiTag tag = ivory::plugin::host_abi_tag();
  Elf64_Shdr sections[4]{};

  Elf() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
#if defined(__aarch64__)
    header.e_machine = EM_AARCH64;
#else
    header.e_machine = EM_X86_64;
#endif
    header.e_shoff = offsetof(Elf, sections);
    header.e_shnum = 4;
    header.e_shentsize = sizeof(Elf64_Shdr);
    sections[1] = {.sh_name = 0,
                   .sh_type = SHT_STRTAB,
                   .sh_flags = 0,
                   .sh_addr = 0,
                   .sh_offset = offsetof(Elf, names),
                   .sh_size = sizeof names,
                   .sh_link = 0,
                   .sh_info = 0,
                   .sh_addralign = 1,
                   .sh_entsize = 0};
    sections[2] = {.sh_name = 0,
                   .sh_type = SHT_DYNSYM,
                   .sh_flags = 0,
                   .sh_addr = 0,
                   .sh_offset = offsetof(Elf, symbols),
                   .sh_size = sizeof symbols,
                   .sh_link = 1,
                   .sh_info = 1,
                   .sh_addralign = 8,
                   .sh_entsize = sizeof(Elf64_Sym)};
    sections[3] = {.sh_name = 0,
                   .sh_type = SHT_PROGBITS,
                   .sh_flags = SHF_ALLOC,
                   .sh_addr = 0x4000,
                   .sh_offset = offsetof(Elf, padding),
                   .sh_size = sizeof padding + sizeof tag,
                   .sh_link = 0,
                   .sh_info = 0,
                   .sh_addralign = 8,
                   .sh_entsize = 0};
    symbols[1] = {.st_name = 1, .st_info = 0, .st_other = 0, .st_shndx = 3, .st_value = 0x4000, .st_size = 4};
    symbols[2] = {.st_name = 7,
                  .st_info = 0,
                  .st_other = 0,
                  .st_shndx = 3,
                  .st_value = 0x4000 + sizeof padding,
                  .st_size = sizeof tag};
  }
  std::string bytes() const {
    return {reinterpret_cast<const char*>(this), sizeof *this};
  }
};

class AbiParser : public testing::Test {
 protected:
  AbiParser() : file_(std::filesystem::temp_directory_path() / ("ivory_abi_" + std::to_string(::getpid()) + ".so")) {}
  ~AbiParser() override { std::filesystem::remove(file_); }

  AbiTag read(const std::string& bytes) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<int64_t>(bytes.size()));
    return ivory::plugin::read_abi_tag(file_);
  }
  std::string refusal(const std::string& bytes) {
    try {
      read(bytes);
    } catch (const ivory::Error& error) {
      EXPECT_EQ(error.code(), ivory::ExitCode::bad_request);
      EXPECT_THAT(error.what(), HasSubstr(file_.string()));
      return error.what();
    }
    return "";
  }

  std::filesystem::path file_;
};

TEST_F(AbiParser, ReadsTheTag) {
  Elf elf;
  std::strcpy(elf.tag.torch, "9.8.7");
  const AbiTag tag = read(elf.bytes());
  EXPECT_EQ(tag.magic, ivory::abi_magic);
  EXPECT_EQ(tag.api_version, ivory::plugin_api_version);
  EXPECT_STREQ(tag.torch, "9.8.7");
}

TEST_F(AbiParser, RefusesOtherFiles) {
  EXPECT_THAT(refusal(""), HasSubstr("not an ELF file"));
  EXPECT_THAT(refusal("#!/bin/sh\necho this is a script, long enough for a header\n"), HasSubstr("not an ELF file"));
  EXPECT_THROW(ivory::plugin::read_abi_tag("/no/such/file.so"), ivory::Error);
  EXPECT_THROW(ivory::plugin::read_abi_tag("/tmp"), ivory::Error);
}

TEST_F(AbiParser, RefusesOtherElfFiles) {
  Elf narrow, foreign, program;
  narrow.header.e_ident[EI_CLASS] = ELFCLASS32;
  foreign.header.e_machine = EM_S390;
  program.header.e_type = ET_EXEC;
  EXPECT_THAT(refusal(narrow.bytes()), HasSubstr("expected a 64-bit little-endian ELF file"));
  EXPECT_THAT(refusal(foreign.bytes()), HasSubstr("another processor"));
  EXPECT_THAT(refusal(program.bytes()), HasSubstr("not a shared library"));
}

TEST_F(AbiParser, RefusesLibrariesWithoutATag) {
  Elf elf;
  elf.symbols[2].st_name = 21;  // "ivory_abi_tagged": a longer name is another name
  EXPECT_THAT(refusal(elf.bytes()), HasSubstr("exports no 'ivory_abi_tag'"));
  Elf stripped;
  stripped.header.e_shnum = 0;
  EXPECT_THAT(refusal(stripped.bytes()), HasSubstr("no section table"));
}

TEST_F(AbiParser, RefusesTagsThatAreNotPlainData) {
  Elf undefined, zeroes, sized, outside, before, magic;
  undefined.symbols[2].st_shndx = SHN_UNDEF;
  zeroes.sections[3].sh_type = SHT_NOBITS;
  sized.symbols[2].st_size = sizeof(AbiTag) + 4;
  outside.symbols[2].st_value += 1;
  before.symbols[2].st_value = 0x3fff;
  magic.tag.magic = 0;
  EXPECT_THAT(refusal(undefined.bytes()), HasSubstr("not defined in it"));
  EXPECT_THAT(refusal(zeroes.bytes()), HasSubstr("no bytes in the file"));
  EXPECT_THAT(refusal(sized.bytes()), HasSubstr("expected 96"));
  EXPECT_THAT(refusal(outside.bytes()), HasSubstr("outside its section"));
  EXPECT_THAT(refusal(before.bytes()), HasSubstr("outside its section"));
  EXPECT_THAT(refusal(magic.bytes()), HasSubstr("magic number"));
}

TEST_F(AbiParser, RefusesOffsetsThatWrapAround) {
  Elf table, section, names, symbols;
  table.header.e_shoff = ~uint64_t{0} - 8;
  section.sections[3].sh_offset = ~uint64_t{0} - 20;
  names.sections[1].sh_size = ~uint64_t{0};
  symbols.sections[2].sh_size = ~uint64_t{0} - 7;
  for (const Elf* elf : {&table, &section, &names, &symbols}) {
    EXPECT_THAT(refusal(elf->bytes()), HasSubstr("outside the file"));
  }
}

TEST_F(AbiParser, RefusesEveryTruncation) {
  const std::string whole = Elf().bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(refusal(whole.substr(0, length)), "") << "of " << length << " bytes";
  }
}

// Any corruption either leaves the tag readable or is refused; the sanitizer build sees every read outside the buffers.
TEST_F(AbiParser, SurvivesRandomCorruption) {
  const std::string whole = Elf().bytes();
  ivory::CounterRandom random(1, 0, 0, 0);
  int refused = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    std::string bytes = whole;
    for (int64_t i = random.below(8); i >= 0; --i) {
      bytes[static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())))] = static_cast<char>(random.bits());
    }
    refused += !refusal(bytes).empty();
  }
  EXPECT_GT(refused, 400);
  EXPECT_LT(refused, 4000);
}

TEST(Abi, TheHostMatchesItself) {
  EXPECT_NO_THROW(ivory::plugin::check_abi(ivory::plugin::host_abi_tag(), "libx.so"));
}

TEST(Abi, AMismatchNamesBothSides) {
  AbiTag tag = ivory::plugin::host_abi_tag();
  std::strcpy(tag.torch, "1.13.1");
  std::strcpy(tag.compiler, "clang \x01");
  tag.api_version = 99;
  try {
    ivory::plugin::check_abi(tag, "/somewhere/libx.so");
    FAIL() << "a mismatch was accepted";
  } catch (const ivory::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'/somewhere/libx.so' was built with plugin API 99, LibTorch 1.13.1, clang ?"));
    EXPECT_THAT(error.what(), HasSubstr("this Ivory has plugin API " + std::to_string(ivory::plugin_api_version) +
                                        ", LibTorch " TORCH_VERSION));
  }
}

TEST(Abi, EveryFieldCounts) {
  const auto refused = [](auto&& change) {
    AbiTag tag = ivory::plugin::host_abi_tag();
    change(tag);
    EXPECT_THROW(ivory::plugin::check_abi(tag, "libx.so"), ivory::Error);
  };
  refused([](AbiTag& tag) { tag.api_version += 1; });
  refused([](AbiTag& tag) { tag.cxx11_abi ^= 1; });
  refused([](AbiTag& tag) { tag.torch[0] = '9'; });
  refused([](AbiTag& tag) { tag.compiler[0] = 'x'; });
  refused([](AbiTag& tag) { std::memset(tag.build_type, 'x', sizeof tag.build_type); });  // not even terminated
}

}  // namespace
