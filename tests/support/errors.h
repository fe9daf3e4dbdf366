#pragma once
// What a piece of code throws.
#include <gmock/gmock.h>
#include <ivory/error.h>

#include <functional>
#include <string>

namespace ivory::test {

// The message of the bad_request that body throws; "" when it throws nothing.
inline std::string bad_request_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_request);
    return error.what();
  }
  return "";
}

}  // namespace ivory::test
