#include "guarded.h"

#include <ivory/error.h>

#include <iostream>

namespace ivory::tools {

int guarded(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  } catch (const c10::Error& error) {
    std::cerr << error.what_without_backtrace() << "\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
  }
  return static_cast<int>(ExitCode::run_failed);
}

}  // namespace ivory::tools
