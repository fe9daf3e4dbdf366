#pragma once
// Errors of writing: what could not be written, and the system's reason.

#include <ivory/error.h>

#include <cerrno>
#include <system_error>

namespace ivory::base {

// A full disk, a used-up quota or a limit on the size of files is exit code 3: room is missing, as data would be, and
// the same command continues once there is some.
inline ExitCode write_failure_code(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG ? ExitCode::missing_data : ExitCode::run_failed;
}

// The parts, ": ", and the system's reason.
template <class... Parts>
Error write_failed_by(const std::error_code& error, const Parts&... parts) {
  return Error(write_failure_code(error.value()), joined({MessagePart(parts)..., ": ", error.message()}));
}

// The same with the reason in errno.
template <class... Parts>
Error write_failed(const Parts&... parts) {
  return write_failed_by(std::error_code(errno, std::generic_category()), parts...);
}

// A folder that cannot be used: a wrong folder is a wrong request, a full disk is none.
template <class... Parts>
Error unusable(int error, const Parts&... parts) {
  const bool full = write_failure_code(error) == ExitCode::missing_data;
  return Error(full ? ExitCode::missing_data : ExitCode::bad_request,
               joined({MessagePart(parts)..., ": ", std::generic_category().message(error)}));
}

}  // namespace ivory::base
