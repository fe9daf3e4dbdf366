// How stages and tasks are trained.
#include "config/keys.h"

namespace ivory::config {

namespace {

constexpr auto changed = InIdentity::changed;

void names(Fields& v, std::vector<std::string>& s) {
  v("names", s,
    {.help = "of tensors, with `*` for any letters: `model.encoder.*`, `*.bias`",
     .needs = "a list of names of tensors, such as [\"*.bias\"]",
     .each = "name"});
}

}  // namespace

void keys(Fields& v, GroupSpec& s) {
  names(v, s.names);
  v("lr_factor", s.lr_factor, {.help = "times the learning rate", .range = at_least(0)});
  v("decay_factor", s.decay_factor, {.help = "times the weight decay", .range = at_least(0)});
}

void keys(Fields& v, FrozenSpec& s) {
  names(v, s.names);
  v("epochs", s.epochs, {.help = "the first ones in which they stay as they are; 0: all", .range = at_least(0)});
}

void keys(Fields& v, OptimiserSpec& s) {
  v("name", s.name, {.help = "", .choices = {"sgd", "adamw", "lars"}});
  const std::string other = "is not used by \"" + s.name + "\"";
  const std::string sgd = s.name == "sgd" ? "" : other, adamw = s.name == "adamw" ? "" : other;
  const std::string not_adamw = s.name == "adamw" ? other : "";
  v("lr", s.lr, {.help = "peak learning rate", .range = above(0)});
  v("scale_lr", s.scale_lr, {.help = "the peak is `lr` · batch / 256"});
  v("weight_decay", s.weight_decay, {.help = "", .range = at_least(0)});
  v("final_weight_decay", s.final_weight_decay,
    {.help = "the weight decay at the end, reached along half a cosine",
     .range = at_least(0),
     .fallback = "`weight_decay`",
     .identity = changed,
     .written = Written::given});
  v("decay_vectors", s.decay_vectors,
    {.help = "weight decay of biases and other tensors of one dimension; never by `lars`",
     .unused = s.name == "lars" ? other : "",
     .identity = changed});
  v("momentum", s.momentum, {.help = "`sgd`, `lars`", .range = from_up_to_below(0, 1), .unused = not_adamw});
  v("nesterov", s.nesterov, {.help = "`sgd`: Nesterov's momentum", .unused = sgd, .identity = changed});
  v("larc", s.larc, {.help = "`sgd`: layer-wise rates", .unused = sgd});
  v("trust", s.trust, {.help = "LARC's and LARS's coefficient", .range = above(0), .unused = not_adamw});
  v("betas", s.betas, {.help = "`adamw`", .range = from_up_to_below(0, 1), .unused = adamw});
  v.tables("groups", s.groups,
           {.help = "tensors that are trained otherwise than the rest; the first group that names a tensor has it",
            .fallback = "none",
            .identity = changed,
            .written = Written::given});
}

void keys(Fields& v, ScheduleSpec& s) {
  v("name", s.name, {.help = "", .choices = {"cosine", "constant", "steps"}});
  const std::string other = "is not used by \"" + s.name + "\"";
  v("warmup_epochs", s.warmup_epochs,
    {.help = "linear from `start_lr` to the peak, per step", .range = at_least(0), .unit = "epochs"});
  v("start_lr", s.start_lr, {.help = "learning rate of the first step with a warm-up", .range = at_least(0)});
  v("final_factor", s.final_factor,
    {.help = "`cosine` ends at peak · `final_factor`",
     .range = between(0, 1),
     .unused = s.name == "cosine" ? "" : other});
  v("whole_course", s.whole_course,
    {.help = "`cosine` runs over all steps, of which the warm-up covers the first, in place of those after it",
     .unused = s.name == "cosine" ? "" : other,
     .identity = changed});
  v("milestones", s.milestones,
    {.help = "`steps`: epochs at which the rate is multiplied by `factor`",
     .range = at_least(0),
     .unused = s.name == "steps" ? "" : other,
     .identity = changed,
     .written = Written::given});
  v("factor", s.factor,
    {.help = "`steps`", .range = between(0, 1), .unused = s.name == "steps" ? "" : other, .identity = changed});
}

void keys(Fields& v, TrainSpec& s) {
  const bool both = v.has("epochs", false) && v.has("steps", false);
  v.expect(!both, "steps", "left out where there is 'epochs': one of them ends the training");
  v("epochs", s.epochs,
    {.help = "passes over the data; or `steps`",
     .range = at_least(1),
     .written = s.steps > 0 ? Written::never : Written::always});
  v("steps", s.steps,
    {.help = "optimiser steps, in place of `epochs`",
     .range = at_least(1),
     .fallback = "–",
     .written = Written::given});
  v("batch_size", s.batch_size, {.help = "samples per optimiser step", .range = at_least(1)});
  v("accumulate", s.accumulate, {.help = "micro-batches per step, a divisor of `batch_size`", .range = at_least(1)});
  v.expect(s.accumulate > 0 && s.batch_size % s.accumulate == 0, "accumulate",
           "a divisor of the batch size " + std::to_string(s.batch_size));
  v("clip_norm", s.clip_norm, {.help = "largest norm of the gradient; 0: none", .range = at_least(0)});
  v("clip_each", s.clip_each,
    {.help = "`clip_norm` bounds each tensor's gradient by itself, not their joint norm", .identity = changed});
  v.tables(
      "frozen", s.frozen,
      {.help = "tensors that stay as they are", .fallback = "none", .identity = changed, .written = Written::given});
  v("precision", s.precision, {.help = "bf16: autocast", .choices = {"fp32", "bf16"}});
  v("channels_last", s.channels_last, {.help = "memory layout of convolutions"});
  v("checkpoint_every", s.checkpoint_every,
    {.help = "", .range = at_least(1), .unit = "epochs", .identity = InIdentity::never});
  v("keep_last", s.keep_last,
    {.help = "checkpoints that are kept during training; in the end the weights stay",
     .range = at_least(1),
     .identity = InIdentity::never});
  v("workers", s.workers, {.help = "loader threads", .range = between(0, 1024), .identity = InIdentity::never});
  v("prefetch_mib", s.prefetch_mib,
    {.help = "memory for batches that are read ahead, at most 4 a worker",
     .range = at_least(1),
     .unit = "MiB",
     .identity = InIdentity::never});
  v.table("optimiser", s.optimiser, {.help = "", .block = true});
  v.table("schedule", s.schedule, {.help = "", .block = true});
}

}  // namespace ivory::config
