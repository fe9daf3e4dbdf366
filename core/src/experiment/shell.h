#pragma once
#include <string>

namespace ivory::experiment {

// As a shell reads it back.
std::string shell_word(const std::string& word);

}  // namespace ivory::experiment
