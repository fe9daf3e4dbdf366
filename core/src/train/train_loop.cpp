#include "train/train_loop.h"

#include <c10/util/StringUtil.h>
#include <ivory/error.h>
#include <ivory/random.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/heap.h"
#include "train/machine.h"

namespace ivory::train {
namespace {

using json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// Streams of the generators' seeds.
enum Stream : uint64_t { in_training_start = 1, in_epoch_start = 2, in_step = 3, in_loss = 4, in_step_end = 5 };

constexpr int64_t max_step_lines = 20'000;   // of metrics.jsonl
constexpr int64_t diagnoses_per_epoch = 50;  // they may need an SVD

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

NamedTensors with_prefix(const std::string& prefix, const NamedTensors& tensors) {
  NamedTensors named;
  for (const auto& [name, tensor] : tensors) named.emplace_back(prefix + name, tensor);
  return named;
}

NamedTensors joined(NamedTensors first, const NamedTensors& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

void copy_by_name(const NamedTensors& from, const NamedTensors& to, const std::string& where) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> sources(from.begin(), from.end());
  for (const auto& [name, target] : to) {
    const auto found = sources.find(name);
    if (found == sources.end()) throw run_failed("checkpoint ", where, " lacks tensor '", name, "'");
    if (found->second.sizes() != target.sizes()) {
      throw run_failed("checkpoint ", where, ": tensor '", name, "' is ", found->second.sizes(), ", expected ",
                       target.sizes());
    }
    torch::Tensor(target).copy_(found->second);
  }
}

// JSON has no NaN: a diagnostic that was one has been written as null.
double number(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

const char* not_finite(double value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "infinity" : "-infinity";
}

// Files that killed processes left half written.
void remove_unfinished(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (base::is_temporary(entry.path())) std::filesystem::remove(entry.path());
  }
}

std::string terms_text(const std::map<std::string, double>& values) {
  return base::joined(values, ", ", [](const auto& term) { return term.first + " " + base::number(term.second); });
}

}  // namespace

const Collective& NodeContext::processes() const {
  return group ? *group : Collective::alone();
}

void Means::add(const std::string& name, double value) {
  auto& [sum, count] = sums_[name];
  sum += value;
  ++count;
}

std::map<std::string, double> Means::values() const {
  std::map<std::string, double> means;
  for (const auto& [name, sum] : sums_) means[name] = sum.first / static_cast<double>(sum.second);
  return means;
}

json Means::to_json() const {
  return sums_;
}

void Means::from_json(const json& value) {
  sums_.clear();
  for (const auto& [name, sum] : value.items()) sums_[name] = {number(sum.at(0)), sum.at(1).get<int64_t>()};
}

TrainLoop::TrainLoop(Trainee& trainee, const config::TrainSpec& spec, const NodeContext& context)
    : trainee_(trainee),
      spec_(spec),
      context_(context),
      per_epoch_(trainee.steps_per_epoch()),
      total_(spec.steps > 0 ? spec.steps : spec.epochs * per_epoch_),
      group_(context.processes()),
      optimiser_(make_optimiser(spec.optimiser, trainee.parameters())),
      schedule_(spec.schedule, peak_learning_rate(spec.optimiser, spec.batch_size), per_epoch_, total_),
      progress_(context.label, total_) {
  IVORY_CHECK(!optimiser_->parameters().empty(), context.label, ": nothing is trainable");
  for (const config::FrozenSpec& frozen : spec.frozen) {
    frozen_.emplace_back(frozen.epochs > 0 ? frozen.epochs : std::numeric_limits<int64_t>::max(),
                         named_by(frozen.names, optimiser_->parameters(), context.label + ": frozen"));
  }
  IVORY_CHECK(spec.accumulate >= 1 && spec.batch_size % spec.accumulate == 0, context.label,
              ": accumulate = ", spec.accumulate, " must divide batch_size = ", spec.batch_size);
  IVORY_CHECK(spec.precision == "fp32" || spec.precision == "bf16", context.label, ": precision '", spec.precision,
              "' is unknown; known are: fp32, bf16");
  if (!context.folder.empty()) {
    checkpoints_.emplace(context.folder / "checkpoints", context.identity, spec.keep_last);
    remove_unfinished(context.folder);
  }
  if (context.device.is_cpu()) data::keep_freed_memory();
}

TrainLoop::~TrainLoop() = default;

Position TrainLoop::position() const {
  return {.step = step_, .epoch = step_ / per_epoch_};
}

double TrainLoop::elapsed() const {
  return seconds_before_ + seconds_since(began_);
}

std::string TrainLoop::last_good() const {
  return checkpoints_ ? checkpoints_->last_good() : "none";
}

void TrainLoop::seed(uint64_t stream, int64_t index) const {
  torch::manual_seed(mix(mix(context_.seed, stream), static_cast<uint64_t>(index)));
}

LoopResult TrainLoop::run() {
  began_ = Clock::now();
  if (group_.world_size() > 1) share_state();  // initial weights: only the first process has read them
  seed(Stream::in_training_start, 0);
  trainee_.before_training(position());
  resume();
  if (group_.world_size() > 1) begin_together();
  epoch_began_ = elapsed();
  epoch_first_step_ = step_;
  if (closing_) close_epoch();
  if (step_ < total_) trainee_.seek(step_);
  while (step_ < total_) {
    if (context_.until_epoch > 0 && step_ >= context_.until_epoch * per_epoch_) pause();
    train_epoch();
    close_epoch();
    if (any(stop_requested(), group_) && step_ < total_) stop();
  }
  return {.steps = step_, .seconds = elapsed(), .last = last_, .best = best_};
}

void TrainLoop::resume() {
  if (!checkpoints_) return;
  const auto checkpoint = checkpoints_->newest();
  if (checkpoint) {
    restore(*checkpoint, optimiser_state(checkpoint->step));
    const json& state = checkpoint->state;
    step_ = saved_step_ = checkpoint->step;
    seconds_before_ = state.at("seconds");
    means_.from_json(state.at("means"));
    epoch_begun_ = state.value("epoch_begun", step_ % per_epoch_ != 0);
    closing_ = state.value("closing", false);
    for (const auto& [name, mean] : state.at("last").items()) last_[name] = number(mean);
    if (state.contains("best")) {
      best_ = Best{state["best"].at("score"), state["best"].at("epoch"), state["best"].at("step")};
      checkpoints_->mark_best(best_->step);
    }
    spdlog::info("{}: goes on from step {} of {} ({})", context_.label, step_, total_, checkpoint->path.string());
  }
  metrics_ = std::make_unique<MetricsLog>(context_.folder, step_);
}

// Everybody continues from where the first process, which has read the checkpoint, stands.
void TrainLoop::begin_together() {
  torch::Tensor position = torch::tensor({step_, int64_t{epoch_begun_}, int64_t{closing_}}, torch::kLong);
  group_.broadcast(position);
  step_ = saved_step_ = position[0].item<int64_t>();
  epoch_begun_ = position[1].item<int64_t>() != 0;
  closing_ = position[2].item<int64_t>() != 0;
  share_state();
  average_ = average_gradients(group_, optimiser_->parameters());
}

// The first process's state becomes that of all.
void TrainLoop::share_state() {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] :
       joined(joined(state_of(trainee_.model()), trainee_.extra_state()), optimiser_->state())) {
    torch::Tensor same = tensor.detach();
    group_.broadcast(same);
  }
}

void TrainLoop::restore(const Checkpoint& checkpoint, const NamedTensors& optimiser) {
  const std::string where = checkpoint.path.string();
  copy_by_name(checkpoint.weights, state_of(trainee_.model()), where);
  copy_by_name(checkpoint.extra, joined(trainee_.extra_state(), optimiser), where);
}

// The optimiser's, which no step needs after the last.
NamedTensors TrainLoop::optimiser_state(int64_t step) const {
  return step < total_ ? with_prefix("optimiser.", optimiser_->state()) : NamedTensors();
}

void TrainLoop::restore_best() {
  restore(checkpoints_->best(), {});
}

base::HashedFile TrainLoop::hand_over() const {
  return checkpoints_->hand_over(best_ ? best_->step : step_, context_.folder / weights_name);
}

void TrainLoop::train_epoch() {
  if (!epoch_begun_) {
    seed(Stream::in_epoch_start, step_);
    trainee_.before_epoch(position());
    epoch_begun_ = true;
  }
  do {
    if (any(stop_requested(), group_)) stop();
    train_step();
  } while (step_ % per_epoch_ != 0 && step_ < total_);
}

void TrainLoop::train_step() {
  const auto begin = Clock::now();
  trainee_.load();
  waited_ += seconds_since(begin);
  seed(Stream::in_step, step_);
  trainee_.before_step(position());
  const double loss = forward_backward();
  trainee_.after_backward(position());
  drop_frozen();
  double gradient_norm = 0;
  if (spec_.clip_norm > 0) {
    const auto clip = spec_.clip_each ? clip_each_gradient : clip_gradients;
    gradient_norm = clip(optimiser_->parameters(), spec_.clip_norm);
    if (!std::isfinite(gradient_norm)) {
      throw JointFailure(c10::str(context_.label, ": the gradient's norm is ", not_finite(gradient_norm), " at step ",
                                  step_ + 1, "; the last good checkpoint: ", last_good()));
    }
  }
  const double lr = schedule_.at(step_);
  optimiser_->step(lr, weight_decay_at(spec_.optimiser, step_, total_));
  optimiser_->zero_grad();
  const Position trained = position();
  ++step_;
  trainee_.after_step({.step = step_, .epoch = trained.epoch});
  if (metrics_) log_step(loss, lr, gradient_norm);
}

void TrainLoop::drop_frozen() {
  for (const auto& [until, indices] : frozen_) {
    if (position().epoch >= until) continue;
    for (const size_t i : indices) optimiser_->parameters()[i].second.mutable_grad().reset();
  }
}

// Sums the gradients of every part over the micro-batches, graph by graph, and leaves the mean terms in terms_. Of
// several processes, all have the mean of all.
double TrainLoop::forward_backward() {
  terms_.clear();
  double total = 0;
  const auto count = spec_.accumulate;
  if (average_) {
    average_->before_forward();
    seed(Stream::in_loss, step_ * group_.world_size() + group_.rank());
  }
  for (int64_t micro = 0; micro < count; ++micro) {
    for (size_t part = 0; part < trainee_.parts(); ++part) {
      LossTerms terms;
      {
        const Autocast autocast(context_.device, spec_.precision == "bf16");
        terms = trainee_.loss(part, micro, count);
      }
      torch::Tensor sum;
      for (const auto& [name, term] : terms) {
        const double value = term.item<double>();
        if (!average_) check_term(name, value);
        terms_[name] += value / static_cast<double>(count);
        sum = sum.defined() ? sum + term : term;
      }
      const double weight = trainee_.weight(part) / static_cast<double>(count);
      const bool trained = sum.defined() && sum.requires_grad();
      if (trained) total += weight * sum.item<double>();
      backward(trained ? sum * weight : torch::Tensor(), micro + 1 == count && part + 1 == trainee_.parts());
    }
  }
  if (average_) {
    total = average_terms(total);
    seed(Stream::in_step_end, step_);
  }
  return total;
}

// `last`: of this step. Undefined: a loss that reaches no parameter, which is still the others' turn to average.
void TrainLoop::backward(const torch::Tensor& loss, bool last) {
  if (!average_ || !last) {
    if (loss.defined()) loss.backward();
    return;
  }
  const auto nothing = [&] { return optimiser_->parameters().front().second.sum() * 0; };
  average_->last_backward(loss.defined() ? loss : nothing());
}

// Returns the mean of `loss`. All processes must have the same terms.
double TrainLoop::average_terms(double loss) {
  std::vector<double> values = {loss};
  for (const auto& [name, value] : terms_) values.push_back(value);
  torch::Tensor sums = torch::tensor(values, torch::kDouble) / static_cast<double>(group_.world_size());
  group_.all_reduce_sum(sums);
  int64_t i = 1;
  for (auto& [name, value] : terms_) {
    value = sums[i++].item<double>();
    check_term(name, value);
  }
  return sums[0].item<double>();
}

// Nothing that is done already.
std::string TrainLoop::what_may_help() const {
  std::vector<std::string> advice = {"a lower learning rate",
                                     spec_.schedule.warmup_epochs > 0 ? "a longer warm-up" : "a warm-up"};
  if (spec_.clip_norm == 0) advice.emplace_back("clip_norm");
  if (spec_.precision != "fp32") advice.emplace_back("precision = \"fp32\"");
  const std::string last = advice.back();
  advice.pop_back();
  return base::joined(advice, ", ") + " or " + last + " may help";
}

void TrainLoop::check_term(const std::string& name, double value) const {
  if (std::isfinite(value)) return;
  throw JointFailure(c10::str(context_.label, ": loss term '", name, "' is ", not_finite(value), " at step ", step_ + 1,
                              " (epoch ", position().epoch + 1, "); the last good checkpoint: ", last_good(), "; ",
                              what_may_help()));
}

void TrainLoop::log_step(double loss, double lr, double gradient_norm) {
  means_.add("loss", loss);
  for (const auto& [name, value] : terms_) means_.add(name, value);
  json diagnostics = json::object();
  const int64_t in_epoch = (step_ - 1) % per_epoch_;
  if (in_epoch % std::max<int64_t>(1, per_epoch_ / diagnoses_per_epoch) == 0) {
    for (const auto& [name, value] : trainee_.diagnostics()) {
      diagnostics[name] = value;
      means_.add(name, value);
    }
  }
  const double in_session = elapsed() - epoch_began_;
  const auto steps = static_cast<double>(step_ - epoch_first_step_);
  const double rate = steps * static_cast<double>(trainee_.images_per_step()) / std::max(in_session, 1e-9);
  progress_.update(step_, in_session / steps * static_cast<double>(total_ - step_), rate, loss);
  if (step_ % std::max<int64_t>(1, total_ / max_step_lines) != 0) return;
  json line = {{"kind", "step"},      {"step", step_},   {"epoch", (step_ - 1) / per_epoch_},
               {"loss", loss},        {"terms", terms_}, {"lr", lr},
               {"images_per_s", rate}};
  if (!diagnostics.empty()) line["diagnostics"] = diagnostics;
  if (spec_.clip_norm > 0) line["gradient_norm"] = gradient_norm;
  metrics_->write(std::move(line));
}

void TrainLoop::close_epoch() {
  progress_.clear();
  const double seconds = elapsed() - epoch_began_;
  last_ = means_.values();
  const int64_t epoch = (step_ - 1) / per_epoch_;
  const bool last = step_ == total_;
  EpochEnd end;
  bool interrupted = false;
  closing_ = true;
  try {
    seed(Stream::in_epoch_start, ~step_);
    end = trainee_.after_epoch({.step = step_, .epoch = epoch}, last_, last);
  } catch (const Interrupted&) {
    interrupted = true;
  }
  if (any(interrupted, group_)) stop();
  closing_ = epoch_begun_ = false;
  means_.clear();
  const bool better = end.score && std::isfinite(*end.score) && (!best_ || *end.score > best_->score);
  if (better) best_ = Best{*end.score, epoch, step_};
  if (metrics_) log_epoch(end, seconds);
  if (better || last || (epoch + 1) % std::max<int64_t>(1, spec_.checkpoint_every) == 0) save(better);
  epoch_began_ = elapsed();
  epoch_first_step_ = step_;
  waited_ = 0;
}

void TrainLoop::log_epoch(const EpochEnd& end, double seconds) {
  const int64_t epoch = (step_ - 1) / per_epoch_;
  const auto steps = static_cast<double>(step_ - epoch_first_step_);
  const double rate = steps * static_cast<double>(trainee_.images_per_step()) / std::max(seconds, 1e-9);
  const double left = elapsed() / static_cast<double>(step_) * static_cast<double>(total_ - step_);
  json line = {{"kind", "epoch"},      {"step", step_},
               {"epoch", epoch},       {"means", last_},
               {"seconds", seconds},   {"images_per_s", rate},
               {"rss_mib", rss_mib()}, {"waiting", waited_ / std::max(seconds, 1e-9)}};
  if (!end.metrics.is_null()) line.update(end.metrics);
  if (!end.warnings.empty()) line["warnings"] = end.warnings;
  const int64_t epochs = (total_ + per_epoch_ - 1) / per_epoch_;
  const std::string score = end.score ? fmt::format(", validation {:.4f}", *end.score) : "";
  spdlog::info("{}: epoch {}/{}, step {}/{}, {}{}, {:.1f} images/s, {:.0f} MiB, {} left", context_.label, epoch + 1,
               epochs, step_, total_, terms_text(last_), score, rate, line["rss_mib"].get<double>(),
               base::duration_text(left));
  for (const std::string& warning : end.warnings) spdlog::warn("{}: {}", context_.label, warning);
  metrics_->write(std::move(line));
}

// A gradient can overflow behind a loss that is finite.
void TrainLoop::check_finite() const {
  for (const auto& [name, p] : optimiser_->parameters()) {
    if (p.isfinite().all().item<bool>()) continue;
    throw JointFailure(c10::str(context_.label, ": parameter '", name, "' holds NaN or infinity at step ", step_,
                                "; the last good checkpoint: ", last_good(), "; ", what_may_help()));
  }
}

void TrainLoop::save(bool best) {
  check_finite();
  if (!checkpoints_) return;
  json state = {{"epoch", step_ / per_epoch_}, {"batch", step_ % per_epoch_},
                {"epoch_begun", epoch_begun_}, {"closing", closing_},
                {"seed", context_.seed},       {"seconds", elapsed()},
                {"means", means_.to_json()},   {"last", last_}};
  if (best_) state["best"] = {{"score", best_->score}, {"epoch", best_->epoch}, {"step", best_->step}};
  metrics_->sync();
  checkpoints_->save({.step = step_,
                      .state = std::move(state),
                      .weights = state_of(trainee_.model()),
                      .extra = joined(trainee_.extra_state(), optimiser_state(step_)),
                      .path = {}},
                     best);
  saved_step_ = step_;
}

void TrainLoop::stop() {
  progress_.clear();
  if (saved_step_ != step_ && step_ > 0) save(false);
  if (!checkpoints_) throw Interrupted(context_.label + ": stopped");
  const std::string saved = step_ > 0 ? "saved " + last_good() : "nothing to save yet";
  throw Interrupted(fmt::format("{}: stopped at step {} of {}, {}; run the same command again to continue",
                                context_.label, step_, total_, saved));
}

void TrainLoop::pause() {
  if (saved_step_ != step_) save(false);
  throw Paused(
      fmt::format("{}: waits after epoch {}, step {} of {}", context_.label, context_.until_epoch, step_, total_));
}

}  // namespace ivory::train
