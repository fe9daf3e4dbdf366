#pragma once
// The commands of `ivory`: each one file, each returns an exit code (ivory::ExitCode) or throws ivory::Error.

#include <string>
#include <vector>

namespace ivory::tools {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(const std::vector<std::string>& arguments);
};

int run_cache(const std::vector<std::string>& arguments);     // cache build|info|verify
int run_store(const std::vector<std::string>& arguments);     // store list|show|verify|gc
int run_report(const std::vector<std::string>& arguments);    // report RUN [--serve]
int run_data(const std::vector<std::string>& arguments);      // data list|describe
int run_plugins(const std::vector<std::string>& arguments);   // plugins list|describe|new
int run_weights(const std::vector<std::string>& arguments);   // weights show|compare|import|export
int run_language(const std::vector<std::string>& arguments);  // language [PAGE]
int run_features(const std::vector<std::string>& arguments);
int run_score(const std::vector<std::string>& arguments);  // score masks|boxes|auc|froc

}  // namespace ivory::tools
