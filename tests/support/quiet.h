#pragma once
// Nothing is logged while it lives.
#include <spdlog/spdlog.h>

namespace ivory::test {

class Quiet {
 public:
  Quiet() { spdlog::set_level(spdlog::level::off); }
  ~Quiet() { spdlog::set_level(before_); }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  spdlog::level::level_enum before_ = spdlog::get_level();
};

}  // namespace ivory::test
