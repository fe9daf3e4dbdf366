// Downstream tasks.
#include "config/keys.h"

namespace ivory::config {

void keys(Fields& v, ClassSpec& s) {
  v("name", s.name, {.help = "", .needs = "the name of the class"});
  const bool named = !s.label_names.empty();
  v("labels", s.labels,
    {.help = "label ids that make the class, or [their names](data.md#labels-and-splits); a label belongs to one class",
     .range = between(0, 32767),
     .needs = "the label ids of the data set that make this class",
     .written = named ? Written::never : Written::always});
  v("labels", s.label_names,
    {.help = "", .identity = InIdentity::changed, .identity_key = "label_names", .written = Written::given});
}

void keys(Fields& v, SplitSpec& s) {
  if (v.lists({"train", "validation", "test"}, !s.train.empty())) {
    const std::string all = "each of train, validation and test lists volumes";
    v("train", s.train, {.help = "", .needs = all});
    v("validation", s.validation, {.help = "", .needs = all});
    v("test", s.test, {.help = "", .needs = all});
    v("allow_shared_patients", s.allow_shared_patients,
      {.help = "", .identity = InIdentity::never, .written = Written::given});
    return;
  }
  v("train", s.train_share,
    {.help = "share of the patients, or a list of volumes", .range = inside(0, 1), .identity_key = "train_share"});
  v("validation", s.validation_share,
    {.help = "the same; the rest are the test set, or `test`",
     .range = inside(0, 1),
     .identity_key = "validation_share"});
  v("seed", s.seed, {.help = "of the permutation of patients"});
  v("redraw", s.redraw,
    {.help = "every repetition draws its own patients, the same for every `from`", .identity = InIdentity::changed});
}

void keys(Fields& v, TaskSpec& s) {
  constexpr auto never = InIdentity::never;
  v("name", s.name,
    {.help = "", .needs = "a name that tables and --set can refer to", .text = Text::name, .identity = never});
  v.plugin("plugin", s.plugin, plugin::Kind::task, {.help = "", .needs = "a table such as {name = \"segmentation\"}"});
  v("from", s.from,
    {.help = "weights that it begins with, a row of the table each: stages, `\"weights\"` (the file of `[model]`, or "
             "`\"weights:NAME\"`), `\"scratch\"` (fresh, or `\"scratch:NAME\"` of a `[model.NAME]`)",
     .needs = "a list of stages, or \"scratch\"",
     .each = "stage",
     .identity = never});
  v("data", s.data, {.help = "a `[data.NAME]`", .needs = "the name of a [data.NAME]", .identity = never});
  v.tables("classes", s.classes,
           {.help = "see below", .needs = "a list such as [{name = \"atrium\", labels = [420]}]"});
  v.table("splits", s.splits, {.help = "see below", .fallback = "shares 0.6, 0.2"});
  v("size", s.size, {.help = "in the plane", .range = between(8, 4096), .unit = "pixels"});
  v("evaluate_every", s.evaluate_every, {.help = "on validation", .range = at_least(1), .unit = "epochs"});
  v("augment", s.augment,
    {.help = "training samples are flipped, rotated, scaled and changed in tone "
             "([deviations.md](deviations.md#downstream-tasks)); false for labels that mean left or right"});
  v("repetitions", s.repetitions,
    {.help = "with different seeds",
     .range = at_least(1),
     .fallback = "the experiment's",
     .alias = "trials",
     .identity = never,
     .written = Written::given});
  v.group("train", s.train);
}

}  // namespace ivory::config
