#pragma once
// Patients dealt by chance, the same way wherever it is done: for a task's splits, and for the part of a data set that
// pre-training may see.

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace ivory::data {

// In the order of a seeded permutation of their sorted names.
std::vector<std::string> permuted(const std::set<std::string>& patients, uint64_t seed);

// Train, validation and test: these shares of permuted(), what is left is test. Each has one patient at least, but
// validation with a share of 0. Throws bad_request where there are too few for that.
std::array<std::vector<std::string>, 3> deal(const std::set<std::string>& patients, double train, double validation,
                                             uint64_t seed);

}  // namespace ivory::data
