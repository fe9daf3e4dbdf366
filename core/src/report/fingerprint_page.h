#pragma once
// fingerprint.html: what a cache holds, as one file that needs nothing else.

#include <string>

#include "data/fingerprint.h"

namespace ivory::experiment {

// "0.7", or "0.7 … 2.5 (median 1)"; of three axes with × between.
std::string text_of(const data::Spread& spread);
std::string text_of(const std::array<data::Spread, 3>& axes);

// `name`: of the data, for the title.
std::string fingerprint_page(const data::Fingerprint& fingerprint, const std::string& name);

}  // namespace ivory::experiment
