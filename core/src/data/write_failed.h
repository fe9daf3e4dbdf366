#pragma once
// Why something could not be written.

#include <ivory/error.h>

#include <cerrno>
#include <system_error>

namespace ivory::data {

// A full disk, a used-up quota or a limit on the size of files is exit code 3: room is missing, as data would be, and
// the same command goes on once there is some.
inline ExitCode write_failure_code(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG ? ExitCode::missing_data : ExitCode::run_failed;
}

// The parts, ": ", and what errno says.
template <class... Parts>
Error write_failed(const Parts&... parts) {
  const int error = errno;
  return Error(write_failure_code(error),
               joined({MessagePart(parts)..., ": ", std::generic_category().message(error)}));
}

}  // namespace ivory::data
