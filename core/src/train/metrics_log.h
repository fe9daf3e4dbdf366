#pragma once
// metrics.jsonl, the source of truth: one object per step and per epoch; TensorBoard's file is derived from it.

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>

namespace ivory::train {

class EventFile;

class MetricsLog {
 public:
  // Goes on after `last_step`: later lines, and a line that was cut short, are dropped, so that no step appears twice.
  // The event file is written anew from the lines that stay.
  MetricsLog(const std::filesystem::path& folder, int64_t last_step);
  ~MetricsLog();

  // Every line has "kind" and "step"; "time" (seconds since 1970) is added. Throws run_failed when it cannot be
  // written.
  void write(nlohmann::json line);
  // Makes the lines so far durable; called before a checkpoint that counts on them.
  void sync();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::unique_ptr<EventFile> events_;
};

}  // namespace ivory::train
