#pragma once
// Where the checkout and the build folder are. One object file knows them (tests/paths.cpp), so that no other compiler
// command holds an absolute path and the compiler cache serves every checkout.

#include <string>

namespace ivory::test {

std::string source_dir();
std::string build_dir();

}  // namespace ivory::test
