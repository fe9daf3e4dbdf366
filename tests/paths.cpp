#include "support/paths.h"

namespace ivory::test {

std::string source_dir() {
  return IVORY_SOURCE_DIR;
}
std::string build_dir() {
  return IVORY_BINARY_DIR;
}

}  // namespace ivory::test
