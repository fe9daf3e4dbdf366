#include "weights/pickle.h"

#include <ivory/error.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_map>
#include <unordered_set>

namespace ivory::train {
namespace {

using Node = PickleNode;
using Kind = Node::Kind;

// A node takes about 200 bytes: what a pickle of a gigantic model holds, and no more.
constexpr size_t max_nodes = 4'000'000;
constexpr size_t max_arguments = 4 * max_nodes;  // over all calls: one tuple may be given to many of them

constexpr std::string_view refused_modules[] = {
    "os",     "posix",     "nt",     "subprocess", "pty",      "sys",        "shutil",  "runpy",
    "socket", "importlib", "ctypes", "commands",   "platform", "webbrowser", "asyncio", "multiprocessing"};
constexpr std::string_view refused_builtins[] = {"eval", "exec", "execfile", "compile", "open", "__import__", "apply"};

bool is_refused(const std::string& module, const std::string& name) {
  const auto holds = [](const auto& list, std::string_view word) {
    return std::find(std::begin(list), std::end(list), word) != std::end(list);
  };
  if (module == "builtins" || module == "__builtin__") return holds(refused_builtins, name);
  return holds(refused_modules, std::string_view(module).substr(0, module.find('.')));
}

// A name from a foreign file, fit for one line of text.
std::string printable(std::string name) {
  for (char& c : name) {
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?';
  }
  return name.size() > 80 ? name.substr(0, 80) + "…" : name;
}

class Machine {
 public:
  Machine(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  Pickle run() {
    while (!done_) {
      begin_ = at_;
      step(static_cast<uint8_t>(take(1)[0]));
    }
    pickle_.bytes = at_;
    return std::move(pickle_);
  }

 private:
  void step(uint8_t code);
  bool step_scalar(uint8_t code);
  bool step_container(uint8_t code);
  bool step_memo(uint8_t code);
  bool step_object(uint8_t code);

  [[noreturn]] void fail(const std::string& what) const {
    throw bad_request(where_, "its pickle is damaged: ", what, " at byte ", begin_);
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) fail("it ends too early");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  uint64_t number(size_t width) {  // little-endian
    uint64_t value = 0;
    const auto raw = take(width);
    for (size_t i = 0; i < width; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(raw[i])) << (8 * i);
    return value;
  }
  std::string line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("a line has no end");
    const std::string text(take(end - at_));
    take(1);
    return text;
  }
  int64_t long_integer(uint64_t width) {  // two's complement, little-endian
    const auto raw = take(width);
    if (width == 0) return 0;
    const bool negative = (static_cast<uint8_t>(raw.back()) & 0x80U) != 0;
    if (width > 8) return negative ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = width; i-- > 0;) value = (value << 8) | static_cast<uint8_t>(raw[i]);
    return static_cast<int64_t>(value);
  }

  Node* make(Kind kind) {
    if (pickle_.nodes.size() >= max_nodes) fail("it holds more than 4,000,000 values");
    Node& node = pickle_.nodes.emplace_back();
    node.kind = kind;
    return &node;
  }
  Node* push(Kind kind) { return stack_.emplace_back(make(kind)); }
  void push_integer(Kind kind, int64_t value) { push(kind)->integer = value; }
  void push_text(uint64_t length) { push(Kind::text)->text = take(length); }
  Node* top() {
    if (stack_.size() <= floor()) fail("a value is missing on the stack");
    return stack_.back();
  }
  Node* pop() {
    Node* node = top();
    stack_.pop_back();
    return node;
  }
  std::vector<Node::Ref> pop(size_t count) {
    if (stack_.size() < floor() + count) fail("a value is missing on the stack");
    std::vector<Node::Ref> values(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }
  std::vector<Node::Ref> pop_mark() {
    if (marks_.empty()) fail("a mark is missing");
    auto values = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  void tuple(std::vector<Node::Ref> values) { push(Kind::tuple)->items = std::move(values); }
  void set_entries(Node* target, const std::vector<Node::Ref>& values) {
    if (target->kind != Kind::dict && target->kind != Kind::call) fail("entries for what is no dictionary");
    if (values.size() % 2 != 0) fail("a key without a value");
    for (size_t i = 0; i < values.size(); i += 2) target->entries.emplace_back(values[i], values[i + 1]);
  }
  void append(Node* target, const std::vector<Node::Ref>& values) {
    if (target->kind != Kind::list && target->kind != Kind::call) fail("items for what is no list");
    target->items.insert(target->items.end(), values.begin(), values.end());
  }
  void push_global(const std::string& module, const std::string& name) {
    const std::string whole = printable(module + "." + name);
    IVORY_CHECK(!is_refused(module, name), where_, "its pickle calls ", whole,
                ", which runs programs or code and has no place among weights; nothing was run");
    if (known_globals_.insert(whole).second) {
      if (pickle_.globals.size() >= 1000) fail("it names more than 1000 classes and functions");
      pickle_.globals.push_back(whole);
    }
    push(Kind::global)->text = whole;
  }
  void call(const Node* callee, const Node* arguments) {
    if (callee->kind != Kind::global && callee->kind != Kind::call) fail("a call of what is no function");
    Node* node = push(Kind::call);
    node->text = callee->text;
    node->items = copied(arguments);
  }
  const std::vector<Node::Ref>& copied(const Node* arguments) {
    arguments_ += arguments->items.size();
    if (arguments_ > max_arguments) fail("its calls have more than 16,000,000 arguments");
    return arguments->items;
  }
  void remember(uint64_t slot) { memo_[slot] = top(); }
  void recall(uint64_t slot) {
    const auto found = memo_.find(slot);
    if (found == memo_.end()) fail("a value that was never stored is read");
    stack_.push_back(found->second);
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0, begin_ = 0;
  bool done_ = false;
  Pickle pickle_;
  std::vector<Node*> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::unordered_map<uint64_t, Node*> memo_;
  std::unordered_set<std::string> known_globals_;
  size_t arguments_ = 0;
};

bool Machine::step_scalar(uint8_t code) {
  switch (code) {
    case 'N':
      push(Kind::none);
      return true;
    case 0x88:
      push_integer(Kind::boolean, 1);
      return true;
    case 0x89:
      push_integer(Kind::boolean, 0);
      return true;
    case 'K':
      push_integer(Kind::integer, static_cast<int64_t>(number(1)));
      return true;
    case 'M':
      push_integer(Kind::integer, static_cast<int64_t>(number(2)));
      return true;
    case 'J':
      push_integer(Kind::integer, static_cast<int32_t>(number(4)));
      return true;
    case 0x8a:
      push_integer(Kind::integer, long_integer(number(1)));
      return true;
    case 0x8b:
      push_integer(Kind::integer, long_integer(number(4)));
      return true;
    case 'G':
      push(Kind::real)->real = std::bit_cast<double>(__builtin_bswap64(number(8)));
      return true;
    case 'X':
    case 'B':
    case 'T':
      push_text(number(4));
      return true;
    case 0x8c:
    case 'C':
    case 'U':
      push_text(number(1));
      return true;
    case 0x8d:
    case 0x8e:
    case 0x96:
      push_text(number(8));
      return true;
    default:
      return false;
  }
}

bool Machine::step_container(uint8_t code) {
  switch (code) {
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case '}':
      push(Kind::dict);
      return true;
    case ']':
    case 0x8f:
      push(Kind::list);
      return true;
    case ')':
      push(Kind::tuple);
      return true;
    case 't':
      tuple(pop_mark());
      return true;
    case 'l':
    case 0x91: {
      auto values = pop_mark();
      push(Kind::list)->items = std::move(values);
      return true;
    }
    case 'd': {
      const auto values = pop_mark();
      set_entries(push(Kind::dict), values);
      return true;
    }
    case 0x85:
    case 0x86:
    case 0x87:
      tuple(pop(code - 0x84U));
      return true;
    case 's': {
      const auto pair = pop(2);
      set_entries(top(), pair);
      return true;
    }
    case 'u': {
      const auto values = pop_mark();
      set_entries(top(), values);
      return true;
    }
    case 'a': {
      const auto value = pop(1);
      append(top(), value);
      return true;
    }
    case 'e':
    case 0x90: {
      const auto values = pop_mark();
      append(top(), values);
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_memo(uint8_t code) {
  switch (code) {
    case 'q':
      remember(number(1));
      return true;
    case 'r':
      remember(number(4));
      return true;
    case 0x94:
      remember(memo_.size());
      return true;
    case 'h':
      recall(number(1));
      return true;
    case 'j':
      recall(number(4));
      return true;
    case '0':
      pop();
      return true;
    case '1':
      pop_mark();
      return true;
    case '2': {
      Node* node = top();
      stack_.push_back(node);
      return true;
    }
    default:
      return false;
  }
}

bool Machine::step_object(uint8_t code) {
  switch (code) {
    case 'c': {
      const std::string module = line();
      push_global(module, line());
      return true;
    }
    case 0x93: {
      const auto names = pop(2);
      if (names[0]->kind != Kind::text || names[1]->kind != Kind::text) fail("a global's name is no text");
      push_global(names[0]->text, names[1]->text);
      return true;
    }
    case 'Q': {
      const Node* id = pop();
      push(Kind::persistent)->items = copied(id);
      return true;
    }
    case 'R':
    case 0x81: {
      const auto parts = pop(2);
      call(parts[0], parts[1]);
      return true;
    }
    case 0x92: {
      const auto parts = pop(3);
      call(parts[0], parts[1]);
      return true;
    }
    case 'b': {
      const Node* state = pop();
      top()->state = state;
      return true;
    }
    default:
      return false;
  }
}

void Machine::step(uint8_t code) {
  if (code == '.') {
    pickle_.root = pop();
    done_ = true;
  } else if (code == 0x80) {
    const uint64_t protocol = number(1);
    if (protocol < 2 || protocol > 5) fail("protocol " + std::to_string(protocol) + ", expected 2 to 5,");
  } else if (code == 0x95) {
    number(8);  // a frame: its length says nothing that is needed
  } else if (!step_scalar(code) && !step_container(code) && !step_memo(code) && !step_object(code)) {
    fail("unknown instruction " + std::to_string(code));
  }
}

}  // namespace

Pickle parse_pickle(std::string_view bytes, const std::string& where) {
  return Machine(bytes, where).run();
}

}  // namespace ivory::train
