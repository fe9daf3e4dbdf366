// The reader of ABI tags against files that are not what they seem.
#include <elf.h>
#include <gmock/gmock.h>
#include <ivory/random.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "plugin/registry.h"

namespace {

using ivory::plugin::host_abi_tag;
using testing::HasSubstr;

// A header, names, a section table: as much of a library as the reader looks at.
struct Elf {
  Elf64_Ehdr header{};
  char names[120] = {};
  Elf64_Shdr sections[2]{};

  explicit Elf(const std::string& tag = host_abi_tag()) {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
#if defined(__aarch64__)
    header.e_machine = EM_AARCH64;
#else
    header.e_machine = EM_X86_64;
#endif
    header.e_shoff = offsetof(Elf, sections);
    header.e_shnum = 2;
    header.e_shentsize = sizeof(Elf64_Shdr);
    std::memcpy(names + 1, tag.data(), tag.size());
  }
  std::string bytes() const {
    return {reinterpret_cast<const char*>(this), sizeof *this};
  }
};

class AbiParser : public testing::Test {
 protected:
  AbiParser() : file_(std::filesystem::temp_directory_path() / ("ivory_abi_" + std::to_string(::getpid()) + ".so")) {}
  ~AbiParser() override { std::filesystem::remove(file_); }

  std::string read(const std::string& bytes) {
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
  EXPECT_EQ(read(Elf().bytes()), host_abi_tag());
  EXPECT_EQ(read(Elf("ivory_abi_9_anything").bytes()), "ivory_abi_9_anything");
  EXPECT_THAT(host_abi_tag(), HasSubstr("_torch_" + std::to_string(TORCH_VERSION_MAJOR) + "_"));
}

TEST_F(AbiParser, RefusesOtherFiles) {
  EXPECT_THAT(refusal(""), HasSubstr("not an ELF file"));
  EXPECT_THAT(refusal("#!/bin/sh\necho this is a script\n"), HasSubstr("not an ELF file"));
  EXPECT_THROW(ivory::plugin::read_abi_tag("/no/such/file.so"), ivory::Error);
  EXPECT_THROW(ivory::plugin::read_abi_tag("/tmp"), ivory::Error);
  Elf narrow, foreign, program;
  narrow.header.e_ident[EI_CLASS] = ELFCLASS32;
  foreign.header.e_machine = EM_S390;
  program.header.e_type = ET_EXEC;
  for (const Elf* elf : {&narrow, &foreign, &program}) EXPECT_THAT(refusal(elf->bytes()), HasSubstr("this processor"));
  EXPECT_THAT(refusal(Elf("ivory_ab").bytes()), HasSubstr("exports no ABI tag"));
  EXPECT_THAT(refusal(Elf("not_ivory_abi_2").bytes()), HasSubstr("exports no ABI tag"));
}

TEST_F(AbiParser, RefusesEveryTruncation) {
  const std::string whole = Elf().bytes();
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(refusal(whole.substr(0, length)), "") << "of " << length << " bytes";
  }
  Elf wrapped;
  wrapped.header.e_shoff = ~uint64_t{0} - 8;
  EXPECT_THAT(refusal(wrapped.bytes()), HasSubstr("truncated"));
}

// Any corruption either leaves a tag readable or is refused; the sanitizer build sees every read outside the bytes.
TEST_F(AbiParser, SurvivesRandomCorruption) {
  const std::string whole = Elf().bytes();
  ivory::CounterRandom random(1, 0, 0, 0);
  for (int trial = 0; trial < 2000; ++trial) {
    std::string bytes = whole;
    for (int64_t i = random.below(8); i >= 0; --i) {
      bytes[static_cast<size_t>(random.below(static_cast<int64_t>(bytes.size())))] = static_cast<char>(random.bits());
    }
    refusal(bytes);
  }
}

TEST(Abi, OnlyTheHostsOwnTagIsAccepted) {
  EXPECT_NO_THROW(ivory::plugin::check_abi(host_abi_tag(), "libx.so"));
  try {
    ivory::plugin::check_abi("ivory_abi_99_torch_1_13_1", "/somewhere/libx.so");
    FAIL() << "a mismatch was accepted";
  } catch (const ivory::Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'/somewhere/libx.so' was built with ivory_abi_99_torch_1_13_1"));
    EXPECT_THAT(error.what(), HasSubstr("this Ivory has " + host_abi_tag()));
  }
}

}  // namespace
