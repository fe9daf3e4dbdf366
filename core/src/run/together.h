#pragma once
// What the processes of one run tell each other between the stages that they train together.

#include <map>
#include <string>

#include "run/run.h"

namespace ivory::experiment {

// The caches: the first process builds what is missing, the others wait for it.
OpenData open_together(const config::Experiment& experiment, const Collective& group);

// The first process's decision on a part, in all of them. Throws run_failed where another process's part has another
// identity: it sees other data or files.
bool agree(bool mine, const std::string& identity, const Collective& group);

// Label → reason, of all processes.
std::map<std::string, std::string> join_failures(const std::map<std::string, std::string>& mine,
                                                 const Collective& group);

}  // namespace ivory::experiment
