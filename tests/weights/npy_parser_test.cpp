#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "support/errors.h"
#include "weights/npy.h"

namespace ivory::train {
namespace {

using testing::HasSubstr;

class Npy : public testing::Test {
 protected:
  ~Npy() override { std::filesystem::remove(file_); }
  std::string error(const std::string& header, const std::string& data) {
    std::ofstream out(file_, std::ios::binary | std::ios::trunc);
    out << "\x93NUMPY" << '\x01' << '\0' << static_cast<char>(header.size()) << '\0' << header << data;
    out.close();
    return test::bad_request_of([&] { load_npy(file_); });
  }
  std::filesystem::path file_ =
      std::filesystem::temp_directory_path() / ("ivory-npy-" + std::to_string(::getpid()) + ".npy");
};

TEST_F(Npy, ComesBack) {
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kInt64, torch::kUInt8}) {
    const auto written = torch::arange(6).view({2, 3}).to(type);
    save_npy(file_, written);
    const auto read = load_npy(file_);
    EXPECT_EQ(read.scalar_type(), type);
    EXPECT_TRUE(torch::equal(read, written));
  }
}

TEST_F(Npy, Mistakes) {
  EXPECT_EQ(error("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", std::string(8, '\0')), "");
  EXPECT_THAT(error("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", std::string(8, '\0')),
              HasSubstr("its shape needs 12 bytes, the file has 8"));
  EXPECT_THAT(error("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "x"),
              HasSubstr("its type '|O' is none"));
  EXPECT_THAT(error("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", "1234"), HasSubstr("Fortran order"));
  EXPECT_THAT(error("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,), }", ""),
              HasSubstr("beyond 10^15"));
  EXPECT_THAT(error("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999999, 999999999999999), }", ""),
              HasSubstr("its shape overflows"));
  EXPECT_THAT(error("__import__('os')", ""), HasSubstr("its header is malformed"));
}

}  // namespace
}  // namespace ivory::train
