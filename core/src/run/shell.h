#pragma once
#include <string>

namespace ivory::experiment {

// As a shell reads it back.
std::string shell_word(const std::string& word);

// What a command prints; throws run_failed with it when it fails.
std::string output_of(const std::string& command);

}  // namespace ivory::experiment
