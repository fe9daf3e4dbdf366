#include "train/online_probes.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "train/model_weights.h"
#include "weights/safetensors.h"

namespace ivory::train {

using nlohmann::json;

OnlineProbes::OnlineProbes(std::vector<OnlineProbe> probes, const config::ModelSpec& model,
                           const plugin::Registry& registry, const NodeContext& stage)
    : probes_(std::move(probes)), model_spec_(model), registry_(registry), stage_(stage) {
  for (const OnlineProbe& probe : probes_) {
    probe_task(*probe.task, build_model(model_spec_, registry_, stage_.seed), probe.data, registry_, context_of(probe),
               /*check_only=*/true);
  }
}

NodeContext OnlineProbes::context_of(const OnlineProbe& probe) const {
  return {.folder = {},
          .label = "probe " + probe.task->name + " of " + stage_.label,
          .identity = "",
          .seed = stage_.seed,
          .device = stage_.device};
}

std::shared_ptr<Model> OnlineProbes::copy_of(const Model& model) const {
  const torch::NoGradGuard no_grad;
  auto copy = build_model(model_spec_, registry_, stage_.seed);
  const NamedTensors from = state_of(model), to = state_of(*copy);
  for (size_t i = 0; i < to.size(); ++i) torch::Tensor(to[i].second).copy_(from[i].second);
  return copy;
}

json OnlineProbes::scores_of(const OnlineProbe& probe, const Model& model, int64_t epoch) const {
  const auto began = std::chrono::steady_clock::now();
  const NodeContext context = context_of(probe);
  const Scores scores = probe_task(*probe.task, copy_of(model), probe.data, registry_, context);
  if (scores.values.empty()) throw run_failed("task '", probe.task->plugin.name, "' gave no score");
  const Score& primary = scores.values.front();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  spdlog::info("{}: validation {} {:.4f} after epoch {} ({:.1f} s)", context.label, primary.name, primary.value,
               epoch + 1, seconds);
  json logged = {{"primary", primary.name}};
  for (const Score& score : scores.values) logged[score.name] = score.value;
  return logged;
}

json OnlineProbes::after_epoch(const Model& model, int64_t epoch, bool last) const {
  json all = json::object();
  for (const OnlineProbe& probe : probes_) {
    if ((epoch + 1) % probe.every != 0 && !last) continue;
    try {
      all[probe.task->name] = scores_of(probe, model, epoch);
    } catch (const Interrupted&) {
      throw;
    } catch (const c10::Error& error) {
      spdlog::warn("{}: no score: {}", context_of(probe).label, error.what_without_backtrace());
    } catch (const std::exception& error) {
      spdlog::warn("{}: no score: {}", context_of(probe).label, error.what());
    }
  }
  return all;
}

}  // namespace ivory::train
