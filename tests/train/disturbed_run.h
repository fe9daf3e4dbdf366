#pragma once
// run-experiment in a process of its own, to be disturbed; and what the same experiment gives undisturbed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "support/paths.h"
#include "support/read.h"

namespace ivory::train::testing {

namespace fs = std::filesystem;
using nlohmann::json;
using test::read;

// All that draws numbers or keeps state: a queue, multi-crops, dropout, LARC, AdamW, augmentation, model selection;
// and what changes how sums are made: two threads, bf16, accumulation.
inline const char* const experiment = R"toml(
[experiment]
name = "tiny"
seed = 3
threads = 2
output = "OUTPUT"
[data.scans]
layout = "phantom"
phantom = { volumes = 5, size = [8, 24, 24], labels = [1], seed = 1 }
[model]
slice_backbone = { name = "resnet", depth = 18, in_channels = 1 }
volume_backbone = { name = "deformable-transformer", layers = 1, heads = 2, groups = 2, downsampling = 2, kernel = 4, ffn = 16, dropout = 0.1 }
token_width = 16
frames = 8

[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 6, head_width = 16, embedding_width = 8, freeze_steps = 1, queue_length = 8 }]
epochs = 3
batch_size = 8
workers = WORKERS
keep_last = 1
[stage.views.slice]
crops = [{ count = 2, size = 16, scale = [0.4, 1.0] }, { count = 1, size = 12, scale = [0.2, 0.5] }]
[stage.optimiser]
name = "sgd"
lr = 0.05
larc = true

[[stage]]
name = "masked"
from = "slices"
data = ["scans"]
objectives = [{ name = "masked-embedding", mask_ratio = 0.2 }]
steps = 4
batch_size = 2
accumulate = 2
workers = WORKERS
[stage.views.volume]
size = 16
[stage.optimiser]
name = "adamw"
lr = 0.001

[[stage]]
name = "volumes"
from = "masked"
data = ["scans"]
objectives = [{ name = "agreement-3d", prototypes = 2, freeze_steps = 1 }]
steps = 4
batch_size = 2
clip_norm = 2.0
precision = "bf16"
workers = WORKERS
[stage.views.volume]
size = 32
[stage.optimiser]
name = "sgd"
lr = 0.01

[[task]]
name = "organ"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 4, 4] }
from = ["volumes"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
size = 32
epochs = 3
batch_size = 8
workers = WORKERS
keep_last = 1
[task.optimiser]
name = "sgd"
lr = 0.05
)toml";

// One experiment in a folder of its own.
class Session {
 public:
  Session(const fs::path& root, const std::string& name, int workers, std::string text = experiment)
      : folder_(root / name) {
    fs::create_directories(folder_);
    const auto replace = [&](const std::string& word, const std::string& by) {
      for (size_t at; (at = text.find(word)) != std::string::npos;) text.replace(at, word.size(), by);
    };
    replace("OUTPUT", folder_.string());
    replace("WORKERS", std::to_string(workers));
    std::ofstream(folder_ / "tiny.toml") << text;
  }
  ~Session() {
    if (child_ > 0) finish(SIGKILL);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start() { start({test::build_dir() + "/bin/run-experiment", file().string()}); }
  // With `preparation` run by a shell before.
  void start_after(const std::string& preparation) {
    start({"/bin/sh", "-c",
           preparation + "; exec '" + test::build_dir() + "/bin/run-experiment' '" + file().string() + "'"});
  }
  void start(const std::vector<std::string>& command) {
    child_ = ::fork();
    if (child_ != 0) return;
    const int log = ::open((folder_ / "output.txt").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  // Sends the signal when `moment` is there, checked on a process that stands still; then waits for the end. False when
  // the moment did not come.
  bool interrupt(int signal, const std::function<bool()>& moment) {
    for (;;) {
      if (moment()) {
        ::kill(child_, SIGSTOP);
        int status = 0;
        ::waitpid(child_, &status, WUNTRACED);
        if (!WIFSTOPPED(status)) return child_ = -1, status_ = status, false;
        const bool still = moment();
        if (still) ::kill(child_, signal);
        ::kill(child_, SIGCONT);
        if (still) return finish(), true;
      }
      if (::waitpid(child_, &status_, WNOHANG) == child_) return child_ = -1, false;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  // Of the process, when it has ended; -1 when a signal ended it.
  int finish(int signal = 0) {
    if (signal != 0) ::kill(child_, signal);
    if (child_ > 0) ::waitpid(child_, &status_, 0);
    child_ = -1;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
  }

  const fs::path& folder() const { return folder_; }
  fs::path file() const { return folder_ / "tiny.toml"; }
  std::string output() const { return read(folder_ / "output.txt"); }
  // The node's folder in the store, or an empty path.
  fs::path node(const std::string& name) const {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder_ / "store", ignored)) {
      if (entry.path().filename().string().rfind(name + "-", 0) == 0) return entry.path();
    }
    return {};
  }
  std::vector<std::string> checkpoints(const std::string& name) const {
    std::vector<std::string> names;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(node(name) / "checkpoints", ignored)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  // Moments: so many lines of metrics; a checkpoint that is being written (and holds that file already).
  std::function<bool()> lines(const std::string& name, int64_t count) const {
    return [this, name, count] {
      const std::string text = read(node(name) / "metrics.jsonl");
      return std::count(text.begin(), text.end(), '\n') >= count;
    };
  }
  std::function<bool()> writing(const std::string& name, const std::string& file = "") const {
    return [this, name, file] {
      const auto found = checkpoints(name);
      return std::any_of(found.begin(), found.end(), [&](const std::string& entry) {
        return entry.rfind(".tmp-step", 0) == 0 && fs::exists(node(name) / "checkpoints" / entry / file);
      });
    };
  }

 private:
  fs::path folder_;
  pid_t child_ = -1;
  int status_ = 0;
};

inline const std::vector<std::string> nodes = {"stage-slices", "stage-masked", "stage-volumes", "task-organ"};

class DisturbedRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string pattern = (fs::temp_directory_path() / "ivory-resume-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    ::setenv("IVORY_CACHE", (root_ / "cache").c_str(), 1);
    undisturbed_ = std::make_unique<Session>(root_, "undisturbed", 1);
    undisturbed_->start();
    ASSERT_EQ(undisturbed_->finish(), 0) << undisturbed_->output();
  }
  static void TearDownTestSuite() {
    undisturbed_.reset();
    fs::remove_all(root_);
  }

  static void expect_the_same_end(const Session& run) {
    for (const std::string& name : nodes) {
      const std::string bytes = read(run.node(name) / "weights.safetensors");
      EXPECT_GT(bytes.size(), 1000U) << name;
      EXPECT_TRUE(bytes == read(undisturbed_->node(name) / "weights.safetensors")) << name << " differs";
      for (const auto& entry : fs::recursive_directory_iterator(run.node(name))) {
        EXPECT_EQ(entry.path().string().find("tmp-"), std::string::npos) << entry.path() << " was left behind";
      }
    }
    const auto record = [](const Session& of) { return json::parse(read(of.node("task-organ") / "done.json")); };
    for (const char* part : {"validation", "test", "best_epoch"}) {
      EXPECT_EQ(record(run)[part], record(*undisturbed_)[part]) << part;
    }
    EXPECT_EQ(steps(run, "task-organ"), steps(*undisturbed_, "task-organ"));
  }

  // Every line of the node's metrics, by kind and step. A line that was cut short may only be the last.
  static std::vector<std::string> steps(const Session& run, const std::string& name) {
    std::ifstream in(run.node(name) / "metrics.jsonl");
    std::vector<std::string> found;
    for (std::string line; std::getline(in, line) && !in.eof();) {
      const auto parsed = json::parse(line, nullptr, false);
      EXPECT_TRUE(parsed.is_object()) << line;
      if (parsed.is_object()) found.push_back(parsed["kind"].get<std::string>() + parsed["step"].dump());
    }
    return found;
  }

  inline static fs::path root_;
  inline static std::unique_ptr<Session> undisturbed_;
};

}  // namespace ivory::train::testing
