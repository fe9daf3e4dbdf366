#include "train/metrics_log.h"

#include <fcntl.h>
#include <ivory/error.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json_text.h"
#include "base/write_failed.h"
#include "train/event_file.h"

namespace ivory::train {
namespace fs = std::filesystem;
namespace {

using json = nlohmann::json;

void add_scalars(EventFile& events, const std::string& tag, const json& value, int64_t step, double time) {
  if (value.is_number()) {
    events.scalar(tag, value.get<double>(), step, time);
  } else if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) add_scalars(events, tag + "/" + key, inner, step, time);
  }
}

void add_line(EventFile& events, const json& line) {
  for (const auto& [key, value] : line.items()) {
    if (key != "step" && key != "time" && key != "kind") {
      add_scalars(events, line.at("kind").get<std::string>() + "/" + key, value, line.at("step"), line.at("time"));
    }
  }
}

bool is_line(const json& line, int64_t last_step) {
  return line.is_object() && line.contains("kind") && line["kind"].is_string() && line.contains("time") &&
         line["time"].is_number() && line.contains("step") && line["step"].is_number_integer() &&
         line["step"].get<int64_t>() <= last_step;
}

// Bytes of the file's leading lines up to last_step, which also go to the event file.
uint64_t kept_bytes(const fs::path& path, int64_t last_step, EventFile& events) {
  std::ifstream in(path, std::ios::binary);
  uint64_t bytes = 0;
  for (std::string text; std::getline(in, text) && !in.eof(); bytes += text.size() + 1) {
    const json line = base::json_or_nothing(text).value_or(json());
    if (!is_line(line, last_step)) break;
    add_line(events, line);
  }
  return bytes;
}

void remove_event_files(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0) fs::remove(entry.path());
  }
}

}  // namespace

MetricsLog::MetricsLog(const fs::path& folder, int64_t last_step) : path_(folder / "metrics.jsonl") {
  remove_event_files(folder);
  events_ = std::make_unique<EventFile>(folder);
  const uint64_t bytes = kept_bytes(path_, last_step, *events_);
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
    throw bad_request("cannot write ", path_.string(), ": ", std::strerror(errno));
  }
}

MetricsLog::~MetricsLog() {
  ::close(descriptor_);
}

void MetricsLog::write(json line) {
  line["time"] = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const std::string text = base::dump(line) + "\n";
  base::write_all(descriptor_, text, path_);
  add_line(*events_, line);
  if (line.at("kind") == "epoch") events_->flush();
}

void MetricsLog::sync() {
  if (::fsync(descriptor_) != 0) throw base::write_failed("cannot write ", path_.string());
}

}  // namespace ivory::train
