#pragma once
// The process in which GDCM reads DICOM files: its crash, or its silence, costs one file and not the build.

#include <filesystem>
#include <functional>
#include <string>

#include "ingest/dicom_message.h"

namespace ivory::ingest {

class DicomProcess {
 public:
  // Nothing is started yet. An answer has to begin, and go on, within `seconds`, and a second more for each megabyte of
  // the file.
  DicomProcess(std::filesystem::path program, double seconds);
  ~DicomProcess();
  DicomProcess(const DicomProcess&) = delete;
  DicomProcess& operator=(const DicomProcess&) = delete;

  // Both throw bad_request with one sentence where the file cannot be read, the process dies of it, hangs, or answers
  // nonsense. The next request starts another process.
  DicomHeader header(const std::filesystem::path& file);
  // Calls room(about) for memory of about.bytes bytes, and fills it.
  DicomPixels pixels(const std::filesystem::path& file, bool labels,
                     const std::function<void*(const DicomPixels&)>& room);

 private:
  Message ask(DicomRequest request, const std::filesystem::path& file);
  void start();
  std::string end(bool dying);  // how it has ended: "was ended by signal 6 (Aborted)"
  template <class Request>
  auto guarded(const std::filesystem::path& file, const Request& request);  // turns its end into one sentence
  void send_whole(const std::string& bytes);
  void read_whole(void* to, size_t bytes);

  std::filesystem::path program_;
  double seconds_, limit_ = 0;
  int socket_ = -1, pid_ = -1;
};

// This thread's process: ivory-dicom beside this library or in the folder bin beside its folder, or the program that
// IVORY_DICOM names.
DicomProcess& dicom_process();

}  // namespace ivory::ingest
