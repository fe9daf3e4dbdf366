// ivory-dicom: reads DICOM files for the readers of libivory_ingest, in a process of its own. It answers requests on
// its standard input and output, a socket, until that is closed. Not for users; the messages are
// ingest/dicom_message.h's.
#include <fcntl.h>
#include <gdcmTrace.h>
#include <ivory/error.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "dicom_file.h"

namespace ivory::dicom {
namespace {

using namespace ingest;

constexpr int channel = 0;
const int complaints = ::memfd_create("complaints", MFD_CLOEXEC);  // what libraries print
constexpr unsigned longest = 3600;                                 // seconds of a request, should whoever asked be gone

bool read_whole(void* to, size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::read(channel, at, bytes);
    if (got <= 0) return false;
    at += got;
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

void write_whole(const void* from, size_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t put = ::send(channel, at, bytes, MSG_NOSIGNAL);
    if (put <= 0) std::_Exit(0);  // nobody listens any more
    at += put;
    bytes -= static_cast<size_t>(put);
  }
}

void answer(const Message& message) {
  const auto size = static_cast<uint32_t>(message.bytes().size());
  write_whole(&size, sizeof size);
  write_whole(message.bytes().data(), message.bytes().size());
}

void refuse(const std::string& reason) {
  Message message;
  message.put(int64_t{0});
  message.put(reason);
  answer(message);
}

// libjpeg only prints that it has lost pixels, and fills them with grey.
void check_complaints(const std::string& path) {
  std::string text(1 << 16, '\0');
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, ::pread(complaints, text.data(), text.size(), 0))));
  for (const char* lost : {"Corrupt JPEG data", "Premature end", "Inconsistent progression"})
    IVORY_CHECK(text.find(lost) == std::string::npos, path, ": its compressed pixels are damaged");
}

void serve(DicomRequest request, const std::string& path) {
  const DicomFile file(path);
  Message message;
  message.put(int64_t{1});
  if (request == DicomRequest::header) {
    put(message, file.header());
    return answer(message);
  }
  DicomPixels about;
  const auto bytes = file.pixels(about, request == DicomRequest::labels);
  check_complaints(path);
  about.bytes = static_cast<int64_t>(bytes.size());
  put(message, about);
  answer(message);
  write_whole(bytes.data(), bytes.size());
}

// GDCM and the libraries in it have nothing to say to users: what matters is found out here.
void be_quiet() {
  gdcm::Trace::DebugOff();
  gdcm::Trace::WarningOff();
  gdcm::Trace::ErrorOff();
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nowhere, 1);
  ::dup2(complaints, 2);
  const rlimit none = {0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  std::signal(SIGINT, SIG_IGN);  // it ends with the process that asks
}

int run() {
  be_quiet();
  uint32_t size = 0;
  while (read_whole(&size, sizeof size)) {
    std::string bytes(size, '\0');
    if (!read_whole(bytes.data(), bytes.size())) break;
    ::alarm(longest);
    if (::ftruncate(complaints, 0) == 0) ::lseek(complaints, 0, SEEK_SET);
    try {
      Message message(std::move(bytes));
      const auto request = static_cast<DicomRequest>(message.integer());
      const std::string path = message.text();
      serve(request, path);
    } catch (const std::exception& error) {
      refuse(error.what());
    }
    ::alarm(0);
  }
  return 0;
}

}  // namespace
}  // namespace ivory::dicom

int main() {
  return ivory::dicom::run();
}
