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

// The parts, ": ", and what the system says.
template <class... Parts>
Error write_failed_by(const std::error_code& error, const Parts&... parts) {
  return Error(write_failure_code(error.value()), joined({MessagePart(parts)..., ": ", error.message()}));
}

// Likewise, of errno.
template <class... Parts>
Error write_failed(const Parts&... parts) {
  return write_failed_by(std::error_code(errno, std::generic_category()), parts...);
}

}  // namespace ivory::data
