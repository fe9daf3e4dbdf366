// ivory report: a report written anew, of a run and of a sweep, and served while the experiment goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <regex>

#include "base/json_text.h"
#include "base/lock.h"
#include "plan/store.h"
#include "report/devtools.h"
#include "support/command.h"
#include "support/paths.h"
#include "support/read.h"

namespace ivory::experiment {
namespace {

namespace fs = std::filesystem;
using test::read;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const char* const sweep = R"toml(
[experiment]
name = "grid"
trials = 2

[data.scans]
layout = "phantom"
phantom = { volumes = 2, size = [12, 32, 32], labels = [1, 2], seed = 1 }

[model]
slice_backbone = { name = "resnet", depth = 18 }

[[stage]]
name = "slices"
data = ["scans"]
objectives = [{ name = "swav", prototypes = 4, head_width = 16, embedding_width = 8 }]
steps = 2
batch_size = 4
[stage.views.slice]
crops = [{ count = 2, size = 32, scale = [0.4, 1.0] }]

[[task]]
name = "organs"
plugin = { name = "segmentation", decoder_channels = [16, 8, 8, 8, 8] }
from = ["slices", "scratch"]
data = "scans"
classes = [{ name = "organ", labels = [1] }]
splits = { train = ["phantom-000:0-4"], validation = ["phantom-000:5-7"], test = ["phantom-000:8-11", "phantom-001"], allow_shared_patients = true }
size = 32
batch_size = 4

[table]
caption = "Tiny"
rows = [{ label = "Pre-trained", from = "slices" }, { label = "From scratch", from = "scratch" }]
columns = [{ label = "IoU", task = "organs", score = "iou" }]

[sweep.parameters]
"stage.slices.optimiser.lr" = [0.1, 0.01]
"task.organs.epochs" = [1, 2]
)toml";

test::Answer run(const std::string& command) {
  return test::answer_of("timeout 300 " + test::build_dir() + "/bin/" + command + " 2>&1");
}

struct Sweep {
  fs::path folder, runs;
  test::Answer answer;
  ~Sweep() { fs::remove_all(folder); }
};

const Sweep& tiny_sweep() {
  static const Sweep made = [] {
    const fs::path folder = fs::path(::testing::TempDir()) / ("ivory-report-" + std::to_string(getpid()));
    fs::create_directories(folder);
    ::setenv("IVORY_CACHE", (folder / "caches").c_str(), 1);
    ::setenv("HOME", folder.c_str(), 1);
    std::ofstream(folder / "grid.toml") << sweep;
    const fs::path runs = folder / "runs";
    return Sweep{folder, runs, run("run-experiment " + (folder / "grid.toml").string() + " --output " + runs.string())};
  }();
  return made;
}

class RunReport : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(tiny_sweep().answer.code, 0) << tiny_sweep().answer.text; }

  // The folder of the first point, and of its task's first repetition.
  static fs::path point_of(const fs::path& base) {
    return base / base::read_json_file(base / "sweep.json")->at(0).at("folder").get<std::string>();
  }
  static fs::path repetition_of(const fs::path& point) {
    return fs::canonical(point / "nodes" / "task-organs-slices-1");
  }

  const fs::path runs_ = tiny_sweep().runs, base_ = runs_ / "grid", point_ = point_of(base_),
                 repetition_ = repetition_of(point_);
};

// A part that is not done, as long as this lives.
class Unfinished {
 public:
  explicit Unfinished(const fs::path& part) : record_(part / "done.json") { fs::rename(record_, aside()); }
  ~Unfinished() { finish(); }
  void finish() {
    if (fs::exists(aside())) fs::rename(aside(), record_);
  }

 private:
  fs::path aside() const { return record_.string() + ".aside"; }
  const fs::path record_;
};

TEST_F(RunReport, ASweepHasAReportOfItsPoints) {
  const std::string html = read(base_ / "report.html");
  EXPECT_THAT(html, HasSubstr("grid · sweep of 4 points"));
  EXPECT_THAT(html, HasSubstr("IoU over the settings of the sweep"));
  EXPECT_THAT(html, HasSubstr("<title>IoU, Pre-trained</title>")) << "a heat map";
  EXPECT_THAT(html, HasSubstr("/report.html\">lr=0.1, epochs=1</a>"));
  EXPECT_THAT(html, HasSubstr("parts done"));
  EXPECT_LT(html.size(), 120'000u);
}

TEST_F(RunReport, ARunHasBandsCasesAndItsPlan) {
  const std::string html = read(point_ / "report.html");
  EXPECT_THAT(html, HasSubstr("Training loss: every repetition (thin), mean and standard deviation"));
  EXPECT_THAT(html, HasSubstr("Test cases: each row against Pre-trained, mean over repetitions"));
  EXPECT_THAT(html, HasSubstr("From scratch: higher in "));
  EXPECT_THAT(html, HasSubstr("5 of 5 parts done"));
  EXPECT_THAT(html, HasSubstr("<title>Stages, and the tasks that begin from them</title>"));
  EXPECT_THAT(html, Not(HasSubstr("connect-src"))) << "a file asks nobody";
  EXPECT_LT(html.size(), 300'000u) << "docs/report.md says so";
}

TEST_F(RunReport, IsWrittenAnewWithoutTheData) {
  const std::string before = read(point_ / "report.html");
  fs::remove(point_ / "report.html");
  const auto answer = run("ivory report " + point_.string() + "/");
  ASSERT_EQ(answer.code, 0) << answer.text;
  EXPECT_EQ(read(point_ / "report.html"), before) << "nothing has changed";
  const auto elsewhere = test::answer_of("cd / && IVORY_CACHE=/nowhere " + test::build_dir() + "/bin/ivory report " +
                                         point_.string() + " 2>&1");
  ASSERT_EQ(elsewhere.code, 0) << elsewhere.text;
  EXPECT_THAT(read(point_ / "report.html"), HasSubstr("5 of 5 parts done"));
  EXPECT_THAT(read(point_ / "report.html"), HasSubstr("Pre-trained, 2 repetitions"));
}

TEST_F(RunReport, SaysHowFarARunIs) {
  Unfinished part(repetition_);
  {
    const base::FolderLock worker(repetition_);
    ASSERT_EQ(run("ivory report " + point_.string()).code, 0);
    EXPECT_THAT(read(point_ / "report.html"), HasSubstr("4 of 5 parts done, 1 running"));
    EXPECT_THAT(read(point_ / "report.html"), HasSubstr("<rect class=\"box running\""));
  }
  std::ofstream(repetition_ / "failed.json")
      << R"({"identity": )" << base::read_json_file(point_ / "plan.json")->at(1).at("identity")
      << R"(, "reason": "a <reason>"})";
  ASSERT_EQ(run("ivory report " + point_.string()).code, 0);
  EXPECT_THAT(read(point_ / "report.html"), HasSubstr("4 of 5 parts done, 1 failed"));
  EXPECT_THAT(read(point_ / "report.html"), HasSubstr("a &lt;reason&gt;"));
  fs::remove(repetition_ / "failed.json");
  part.finish();
  ASSERT_EQ(run("ivory report " + point_.string()).code, 0);
  EXPECT_THAT(read(point_ / "report.html"), HasSubstr("5 of 5 parts done"));
}

TEST_F(RunReport, WrongRequestsAreOneSentence) {
  const auto folder = run("ivory report /nowhere");
  EXPECT_EQ(folder.code, 2);
  EXPECT_THAT(folder.text, HasSubstr("there is no folder /nowhere"));
  const auto no_run = run("ivory report " + runs_.string());
  EXPECT_EQ(no_run.code, 2);
  EXPECT_THAT(no_run.text, HasSubstr("is no folder of a run: it has no experiment.toml"));
  const auto port = run("ivory report " + point_.string() + " --port 80");
  EXPECT_EQ(port.code, 2);
  EXPECT_THAT(port.text, HasSubstr("--port is an option of --serve"));
  EXPECT_EQ(run("ivory report " + point_.string() + " --serve --port 65536").code, 2);
}

// --- --serve -------------------------------------------------------------------------------------------------------

class Server {
 public:
  explicit Server(const fs::path& folder) : log_(tiny_sweep().folder / "serve.txt") {
    fs::remove(log_);
    child_ = std::make_unique<Child>(
        std::vector<std::string>{test::build_dir() + "/bin/ivory", "report", folder.string(), "--serve", "--port", "0"},
        std::map<std::string, std::string>{}, log_);
    for (int i = 0; i < 300 && port_ == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      std::smatch match;
      const std::string said = read(log_);
      if (std::regex_search(said, match, std::regex("127.0.0.1:(\\d+)/"))) {
        port_ = static_cast<uint16_t>(std::stoi(match[1]));
      }
    }
    EXPECT_NE(port_, 0) << read(log_);
  }
  uint16_t port() const { return port_; }
  // Its exit code.
  int stop(int signal) {
    child_->signal(signal);
    for (;;) {
      if (const auto end = child_->poll()) return WIFEXITED(end->status) ? WEXITSTATUS(end->status) : -1;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

 private:
  const fs::path log_;
  std::unique_ptr<Child> child_;
  uint16_t port_ = 0;
};

TEST_F(RunReport, ServesThePageAsItIsNowAndNothingElse) {
  Unfinished part(repetition_);
  const auto written = fs::last_write_time(point_ / "report.html");
  Server server(point_);
  const auto first = test::request(server.port(), "/");
  EXPECT_EQ(first.status, 200u);
  EXPECT_EQ(first.type, "text/html; charset=utf-8");
  EXPECT_THAT(first.body, HasSubstr("4 of 5 parts done, 1 to do"));
  EXPECT_THAT(first.body, HasSubstr("connect-src 'self'"));
  const auto tag = test::request(server.port(), "/tag");
  EXPECT_THAT(first.body, HasSubstr("let shown = '" + tag.body + "'"));
  EXPECT_EQ(test::request(server.port(), "/tag").body, tag.body);
  part.finish();
  EXPECT_NE(test::request(server.port(), "/tag").body, tag.body);
  EXPECT_THAT(test::request(server.port(), "/report.html").body, HasSubstr("5 of 5 parts done"));

  EXPECT_EQ(test::request(server.port(), "/experiment.toml").status, 404u);
  EXPECT_EQ(test::request(server.port(), "/../../../../etc/passwd").status, 404u);
  EXPECT_EQ(test::request(server.port(), "/", "POST").status, 405u);
  EXPECT_EQ(test::request(server.port(), "/", "HEAD").status, 200u);
  EXPECT_EQ(test::request(server.port(), "/", "GET", "example.org").status, 421u) << "a name that leads here";
  EXPECT_EQ(fs::last_write_time(point_ / "report.html"), written) << "it writes nothing";

  const auto taken = run("ivory report " + point_.string() + " --serve --port " + std::to_string(server.port()));
  EXPECT_EQ(taken.code, 2);
  EXPECT_THAT(taken.text, HasSubstr("another program has it; choose one with --port"));
  EXPECT_EQ(std::count(taken.text.begin(), taken.text.end(), '\n'), 1) << taken.text;
  EXPECT_EQ(server.stop(SIGINT), 0);
}

TEST_F(RunReport, ServesASweepWithItsPoints) {
  Server server(base_);
  const auto whole = test::request(server.port(), "/");
  EXPECT_THAT(whole.body, HasSubstr("sweep of 4 points"));
  const auto one = test::request(server.port(), "/" + point_.filename().string() + "/report.html");
  EXPECT_EQ(one.status, 200u);
  EXPECT_THAT(one.body, HasSubstr("5 of 5 parts done"));
  EXPECT_EQ(test::request(server.port(), "/" + point_.filename().string() + "/tag").status, 200u);
  EXPECT_EQ(server.stop(SIGTERM), 0);
}

class ServedInBrowser : public RunReport {
 protected:
  void SetUp() override {
    if (std::system("command -v chromium > /dev/null") != 0) GTEST_SKIP() << "chromium is not installed";
    RunReport::SetUp();
  }
};

TEST_F(ServedInBrowser, ThePageFollowsTheExperimentAndKeepsItsReadersPlace) {
  Unfinished part(repetition_);
  Server server(point_);
  test::LivePage page("http://127.0.0.1:" + std::to_string(server.port()) + "/");
  const std::string progress = "document.querySelector('.progress').textContent";
  EXPECT_EQ(page.evaluate(progress), "4 of 5 parts done, 1 to do");
  page.click("#results ~ .scroll thead th:nth-child(1) button");
  page.evaluate("document.querySelector('details').open = true");
  EXPECT_EQ(page.evaluate("document.querySelector('table.results th').ariaSort"), "ascending");
  part.finish();
  EXPECT_TRUE(page.becomes_true(progress + " === '5 of 5 parts done'"));
  EXPECT_EQ(page.evaluate("document.querySelector('.live [role=status]').textContent"), "5 of 5 parts done");
  EXPECT_EQ(page.evaluate("document.querySelector('table.results th').ariaSort"), "ascending") << "still sorted";
  EXPECT_EQ(page.evaluate("document.querySelector('details').open"), true);
  EXPECT_EQ(page.evaluate("document.activeElement.textContent"), "From") << "the focus is where it was";
  page.click("#live");
  EXPECT_EQ(page.evaluate("document.querySelector('#live').getAttribute('aria-pressed')"), "true");
  EXPECT_EQ(page.console(), "");
  EXPECT_EQ(server.stop(SIGINT), 0);
}

}  // namespace
}  // namespace ivory::experiment
