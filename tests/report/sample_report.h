#pragma once
// A report with every part, of made-up numbers and pictures: what the report's tests read and a browser shows.
#include <cmath>
#include <filesystem>
#include <string>

#include "eval/png.h"
#include "report/report.h"

namespace ivory::test {

// A grey disc with a coloured ring, `panels` times side by side.
inline std::filesystem::path sample_picture(const std::filesystem::path& folder, int64_t number, int64_t panels) {
  const auto axis = torch::arange(96).to(torch::kFloat32) - 48;
  const auto radius = (axis.unsqueeze(0).square() + axis.unsqueeze(1).square()).sqrt();  // [96, 96]
  const auto grey = ((42 - radius).clamp(0, 12) * 14 + 10 * (radius / (3 + number)).sin()).clamp(0, 255);
  const auto plain = grey.expand({3, -1, -1});
  const auto ring = (radius - 16 - 2 * number).abs() < 1.5;
  const auto colour = torch::tensor({230.0, 159.0, 0.0}).view({3, 1, 1});
  std::vector<torch::Tensor> row = {plain};
  for (int64_t panel = 1; panel < panels; ++panel) row.push_back(torch::where(ring, colour, plain));
  const auto file = folder / ("sample_" + std::to_string(panels) + "_" + std::to_string(number) + ".png");
  eval::write_png(file, torch::cat(row, 2).to(torch::kUInt8));
  return file;
}

inline experiment::LineChart sample_curve() {
  experiment::LineChart chart{.title = "SwAV: loss", .x_label = "step", .y_label = "nats"};
  experiment::Series loss{.name = "swav", .x = {}, .y = {}}, entropy{.name = "code entropy", .x = {}, .y = {}};
  for (int step = 0; step < 900; ++step) {
    const double noise = 0.25 * std::sin(step * 12.9898) * std::sin(step * 78.233);
    loss.x.push_back(step);
    loss.y.push_back(5.6 + 2.4 * std::exp(-step / 220.0) + noise);
    entropy.x.push_back(step);
    entropy.y.push_back(4.2 + 1.8 * std::exp(-step / 400.0) + 0.3 * noise);
  }
  chart.series = {loss, entropy};
  chart.references = {{"ln H", std::log(3000)}};
  return chart;
}

inline experiment::Report sample_report(const std::filesystem::path& folder) {
  using namespace experiment;
  Report report;
  report.title = "Quickstart: joint image–volume pre-training";
  report.subtitle = "Started 2026-11-24 00:10 UTC · 2 cores, no GPU · Ivory 0.1.0 (commit 1a2b3c4)";
  report.note =
      "Three stages of self-supervised pre-training on four public volumes, then segmentation of a T1 head from the "
      "pre-trained weights and from scratch.\n\nAngle brackets <b>and \"quotes\" & ampersands</b> are text here.";
  report.caveat = "Four subjects show that the pipeline works, not which method is better.";
  report.table = {.caption = "Segmentation of the T1 head, test slices.",
                  .notes = {"The test set was read once, after model selection on validation."},
                  .columns = {"IoU", "Dice", "LUNA AUC"},
                  .rows = {"scratch", "slices", "joint"},
                  .cells = {{{{0.502, 0.531, 0.488}, ""}, {{0.66, 0.69, 0.65}, ""}, {{}, "its data set is missing"}},
                            {{{0.561, 0.590, 0.572}, ""}, {{0.71, 0.735, 0.72}, ""}, {{}, "its data set is missing"}},
                            {{{0.613, 0.587, 0.634}, ""}, {{0.75}, ""}, {{}, "not finished"}}}};

  ReportSection slices{.title = "stage slices"};
  slices.facts = {{"objective", "swav"}, {"steps", "900"}, {"batch", "32"}, {"training", "3 min 12 s"}};
  slices.remarks = {{"The loss fell from 8.0 to 5.6, 2.4 nats below ln H = 8.0: the codes are not uniform."},
                    {"Prototype perplexity is 61 of 3,000: many prototypes are not used.", true}};
  LineChart sparse{.title = "Prototype perplexity", .x_label = "epoch", .y_label = "prototypes in use"};
  sparse.series = {{"perplexity", {1, 2, 3, 4, 5, 6}, {12, 25, std::nan(""), 41, 55, 61}}};
  slices.curves = {sample_curve(), sparse};
  PictureGroup prototypes{.title = "Prototypes and their nearest slices",
                          .text = "Each picture is the slice whose embedding is nearest to one prototype."};
  for (int64_t n = 0; n < 6; ++n) {
    prototypes.pictures.push_back({sample_picture(folder, n, 1), "prototype " + std::to_string(17 * n + 3)});
  }
  slices.pictures = {prototypes};

  ReportSection volumes{.title = "stage volumes"};
  DotChart sampled{.title = "Slices that deformable attention samples", .x_label = "slice", .low = 0, .high = 63};
  for (int layer = 1; layer <= 2; ++layer) {
    for (int group = 1; group <= 4; ++group) {
      DotChart::Row row{"layer " + std::to_string(layer) + ", group " + std::to_string(group), {}};
      for (int key = 0; key < 16; ++key) row.values.push_back(4 * key + 1.5 + 2 * std::sin(key * group + layer));
      sampled.rows.push_back(row);
    }
  }
  volumes.dots = {sampled};

  ReportSection task{.title = "task head, from joint"};
  PictureGroup masks{.title = "Test slices", .text = "Image, truth and prediction."};
  for (int64_t n = 0; n < 2; ++n) {
    masks.pictures.push_back({sample_picture(folder, n, 3), "ch2, slice " + std::to_string(80 + 10 * n) +
                                                                ": image, truth, prediction (thalamus orange)"});
  }
  masks.pictures.push_back({folder / "nowhere.png", "a picture that is not there"});
  task.pictures = {masks};
  ScatterChart cases{.title = "Test cases", .x_label = "scratch, percent", .y_label = "the other row, percent"};
  cases.groups = {{"slices", {{41, 52, "a"}, {60, 58, "b"}, {33, 47, "c"}}}, {"joint", {{41, 59, "a"}, {60, 66, "b"}}}};
  task.scatters = {cases};
  LineChart loss{.title = "Training loss: every repetition (thin), mean and standard deviation", .spread = true};
  for (int repetition = 0; repetition < 3; ++repetition) {
    Series series{.name = "joint", .x = {}, .y = {}};
    for (int epoch = 1; epoch <= 8; ++epoch) {
      series.x.push_back(epoch);
      series.y.push_back(1.0 / (epoch + repetition));
    }
    loss.series.push_back(series);
  }
  task.curves = {loss};
  ReportSection sweep{.title = "sweep"};
  ParallelChart settings{.title = "IoU over the settings", .score = "IoU", .axes = {"lr", "epochs"}};
  HeatMap map{.title = "IoU", .x_label = "lr", .y_label = "epochs", .columns = {"0.01", "0.1"}, .rows = {"1", "2"}};
  map.values = {{50.2, 56.1}, {61.3, std::nan("")}};
  settings.lines = {{{"0.01", "1"}, 50.2}, {{"0.1", "1"}, 56.1}, {{"0.01", "2"}, 61.3}};
  sweep.parallels = {settings};
  sweep.heat_maps = {map};
  report.plan.title = "Stages, and the tasks that begin from them";
  report.plan.parts = {
      {PartKind::stage, "slices", "", "stage slices", {PartState::done}},
      {PartKind::stage, "joint", "slices", "stage joint", {PartState::running}},
      {PartKind::task, "head", "slices", "task head, from slices, repetition 1", {PartState::done}},
      {PartKind::task, "head", "slices", "task head, from slices, repetition 2", {PartState::failed, "NaN"}},
      {PartKind::task, "head", "joint", "task head, from joint, repetition 1", {PartState::missing}}};
  report.progress = "2 of 5 parts done, 1 running, 1 failed, 1 to do";
  report.sections = {slices, volumes, task, sweep};
  report.provenance = {{"command", "run-experiment experiments/quickstart.toml --set data.source=\"phantom\""},
                       {"commit", "1a2b3c4d5e6f, with uncommitted changes"},
                       {"LibTorch", "2.11.0"},
                       {"device", "CPU, 2 threads"}};
  report.toml = "[experiment]\nname = \"quickstart\"  # <not a tag>\nseed = 1\n\n[[stage]]\nname = \"slices\"\n";
  return report;
}

}  // namespace ivory::test
