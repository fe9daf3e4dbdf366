#pragma once
// Reads a pickle as a tree of what it says, and does none of it: a call is a node with a name and arguments.

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ivory::train {

struct PickleNode {
  enum class Kind { none, boolean, integer, real, text, list, tuple, dict, global, call, persistent };
  using Ref = const PickleNode*;

  Kind kind = Kind::none;
  int64_t integer = 0;                       // boolean, integer (saturated beyond 64 bits)
  double real = 0;                           // real
  std::string text;                          // text and bytes; of global and call: "module.name"
  std::vector<Ref> items;                    // list, tuple; arguments of call and persistent
  std::vector<std::pair<Ref, Ref>> entries;  // dict; also what was put into a called object
  Ref state = nullptr;                       // what BUILD would have given to a called object
};

// Nodes refer to one another: cycles are possible, so walk with a limit.
struct Pickle {
  std::deque<PickleNode> nodes;
  const PickleNode* root = nullptr;
  size_t bytes = 0;                  // up to and with STOP
  std::vector<std::string> globals;  // every name that is looked up, once, in order
};

// Protocols 2 to 5. Throws bad_request, with the byte's number, on anything malformed; and on a name that runs
// programs or code (os.system, builtins.eval, …), which no weights file needs. `where` begins every message.
Pickle parse_pickle(std::string_view bytes, const std::string& where);

}  // namespace ivory::train
