// How stages and tasks are trained.
#include "config/keys.h"

namespace ivory::config {

void keys(Fields& v, OptimiserSpec& s) {
  v("name", s.name, {.help = "", .choices = {"sgd", "adamw"}});
  const std::string sgd = s.name == "sgd" ? "" : "is not used by \"" + s.name + "\"";
  const std::string adamw = s.name == "adamw" ? "" : "is not used by \"" + s.name + "\"";
  v("lr", s.lr, {.help = "peak learning rate", .range = above(0)});
  v("scale_lr", s.scale_lr, {.help = "the peak is `lr` · batch / 256"});
  v("weight_decay", s.weight_decay, {.help = "", .range = at_least(0)});
  v("momentum", s.momentum, {.help = "`sgd`", .range = from_up_to_below(0, 1), .unused = sgd});
  v("larc", s.larc, {.help = "`sgd`: layer-wise rates", .unused = sgd});
  v("trust", s.trust, {.help = "`sgd`: LARC's coefficient", .range = above(0), .unused = sgd});
  v("betas", s.betas, {.help = "`adamw`", .range = from_up_to_below(0, 1), .unused = adamw});
}

void keys(Fields& v, ScheduleSpec& s) {
  v("name", s.name, {.help = "", .choices = {"cosine", "constant"}});
  v("warmup_epochs", s.warmup_epochs,
    {.help = "linear from `start_lr` to the peak, per step", .range = at_least(0), .unit = "epochs"});
  v("start_lr", s.start_lr, {.help = "learning rate of the first step with a warm-up", .range = at_least(0)});
  v("final_factor", s.final_factor,
    {.help = "`cosine` ends at peak · `final_factor`",
     .range = between(0, 1),
     .unused = s.name == "cosine" ? "" : "is not used by \"" + s.name + "\""});
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
