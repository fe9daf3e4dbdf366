#include "commands.h"
int ivory::tools::run_cache(const std::vector<std::string>&) { return 2; }
