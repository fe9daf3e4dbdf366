#include "ingest/dicom_process.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <ivory/error.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

extern char** environ;

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t longest_answer = 1U << 30;

// The process is gone, or has nothing sensible to say.
struct Gone {
  std::string why;
};

fs::path program() {
  if (const char* named = std::getenv("IVORY_DICOM"); named && *named) return named;
  Dl_info here{};
  ::dladdr(reinterpret_cast<const void*>(&dicom_process), &here);
  std::error_code ignored;
  const fs::path folder = fs::canonical(here.dli_fname ? here.dli_fname : "/proc/self/exe", ignored).parent_path();
  for (const fs::path& file : {folder / "ivory-dicom", folder.parent_path() / "bin" / "ivory-dicom"}) {
    if (fs::exists(file, ignored)) return file;
  }
  return folder / "ivory-dicom";  // is missing: start() says so
}

}  // namespace

DicomProcess::DicomProcess(fs::path program, double seconds) : program_(std::move(program)), seconds_(seconds) {}

DicomProcess::~DicomProcess() {
  end(/*dying=*/false);
}

void DicomProcess::start() {
  if (pid_ > 0) return;
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw run_failed("no socket for the reader of DICOM: ", std::strerror(errno));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 0);  // a copy that lives on in the new program
  std::string name = program_.string();
  std::array<char*, 2> arguments = {name.data(), nullptr};
  const int error = ::posix_spawn(&pid_, name.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    pid_ = -1;
    throw run_failed("the reader of DICOM, ", name, ", cannot be started: ", std::strerror(error));
  }
  socket_ = ends[0];
}

std::string DicomProcess::end(bool dying) {
  if (pid_ <= 0) return "";
  ::close(socket_);
  int status = 0;
  bool ended = false;
  for (int i = 0; dying && !ended && i < 200; ++i) {  // its socket closes a moment before it can be waited for
    ended = ::waitpid(pid_, &status, WNOHANG) == pid_;
    if (!ended) ::usleep(10'000);
  }
  if (!ended) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  socket_ = pid_ = -1;
  if (!ended) return "was ended";
  return WIFSIGNALED(status)
             ? fmt::format("was ended by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)))
             : fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

void DicomProcess::send_whole(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t put = ::send(socket_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) throw Gone{""};
    at += static_cast<size_t>(put);
  }
}

void DicomProcess::read_whole(void* to, size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    pollfd waiting = {socket_, POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(limit_ * 1000));
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) throw Gone{fmt::format("gave no answer within {:.0f} s", limit_)};
    const ssize_t got = ::read(socket_, at, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Gone{""};
    at += got;
    bytes -= static_cast<size_t>(got);
  }
}

Message DicomProcess::ask(DicomRequest request, const fs::path& file) {
  start();
  std::error_code ignored;
  limit_ = seconds_ + static_cast<double>(fs::file_size(file, ignored)) / 1e6;
  if (ignored) limit_ = seconds_;
  Message question;
  question.put(static_cast<int64_t>(request));
  question.put(file.string());
  const auto size = static_cast<uint32_t>(question.bytes().size());
  send_whole(std::string(reinterpret_cast<const char*>(&size), sizeof size) + question.bytes());
  uint32_t length = 0;
  read_whole(&length, sizeof length);
  if (length > longest_answer) throw Gone{"answered nonsense"};
  std::string bytes(length, '\0');
  read_whole(bytes.data(), bytes.size());
  Message answer(std::move(bytes));
  std::string refusal;
  try {
    if (answer.integer() != 0) return answer;
    refusal = answer.text();
  } catch (const Error&) {
    throw Gone{"answered nonsense"};
  }
  throw bad_request(refusal);
}

template <class Request>
auto DicomProcess::guarded(const fs::path& file, const Request& request) {
  try {
    return request();
  } catch (const Gone& gone) {
    const std::string how = end(/*dying=*/gone.why.empty());
    throw bad_request(file.string(), ": cannot be read, the reader of DICOM ", gone.why.empty() ? how : gone.why);
  }
}

DicomHeader DicomProcess::header(const fs::path& file) {
  return guarded(file, [&] {
    Message answer = ask(DicomRequest::header, file);
    try {
      DicomHeader header = header_from(answer);
      answer.end();
      return header;
    } catch (const Error&) {
      throw Gone{"answered nonsense"};
    }
  });
}

DicomPixels DicomProcess::pixels(const fs::path& file, bool labels,
                                 const std::function<void*(const DicomPixels&)>& room) {
  return guarded(file, [&] {
    Message answer = ask(labels ? DicomRequest::labels : DicomRequest::pixels, file);
    DicomPixels about;
    try {
      about = pixels_from(answer);
      answer.end();
    } catch (const Error&) {
      throw Gone{"answered nonsense"};
    }
    void* to = nullptr;
    try {
      to = room(about);
    } catch (...) {
      end(/*dying=*/false);  // it would go on to send the pixels
      throw;
    }
    read_whole(to, static_cast<size_t>(about.bytes));
    return about;
  });
}

DicomProcess& dicom_process() {
  constexpr double seconds = 120;
  thread_local DicomProcess process(program(), seconds);
  return process;
}

}  // namespace ivory::ingest
