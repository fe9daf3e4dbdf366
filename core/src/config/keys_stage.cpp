// Models and stages.
#include "config/keys.h"

namespace ivory::config {

void keys(Fields& v, ModelSpec& s) {
  v("name", s.composition.name,
    {.help = "the composition, a plugin of kind model: its options and its roles for backbones are further keys",
     .fallback = "`\"image-volume\"`"});
  v("weights", s.weights,
    {.help = "file that stages without `from`, and tasks from `\"weights\"`, begin with ([weights.md](weights.md))",
     .text = Text::path,
     .written = Written::given});
  v("min_match", s.min_match,
    {.help = "share of the parameters of each part that must match a weights file, else the run is refused; 0: what "
             "does not match keeps fresh weights",
     .range = between(0, 1),
     .identity = InIdentity::never});
}

void keys(Fields& v, ProbeUse& s) {
  v("task", s.task,
    {.help = "a `[[task]]` on frozen features, such as `knn` or `linear-probe`",
     .needs = "the name of a [[task]] on frozen features"});
  v("every", s.every, {.help = "", .range = at_least(1), .unit = "epochs"});
}

namespace {

// [stage.views], whose parts a stage holds by themselves.
struct Views {
  SliceViewSpec slice = {};
  VolumeViewSpec volume = {};
  std::string on = StageSpec{}.views_on, output = StageSpec{}.views_output;
};

void keys(Fields& v, Views& s, const std::string& precision) {
  v.table("slice", s.slice, {.help = "", .block = true, .identity_key = "slice_views"});
  v.table("volume", s.volume, {.help = "", .block = true, .identity_key = "volume_views"});
  v("on", s.on,
    {.help = "where views are made; `\"device\"`: the loader's threads read and decompress, kernels on the CUDA device "
             "make [the same views](data.md#how-views-are-made); a stage that is trained on the CPU makes them there",
     .choices = {"cpu", "device"},
     .identity = InIdentity::never});
  v("output", s.output,
    {.help = "`\"bf16\"`, with `precision = \"bf16\"`: views are rounded to nearest once they are made, and take half "
             "the memory and transfer; a network whose first layer is a convolution gives the same numbers, since "
             "autocast rounds there",
     .choices = {"fp32", "bf16"},
     .identity = InIdentity::changed,
     .identity_key = "views_output"});
  v.expect(s.output != "bf16" || precision == "bf16", "output", "\"fp32\" unless the stage has precision = \"bf16\"");
}

}  // namespace

void keys(Fields& v, StageSpec& s) {
  constexpr auto never = InIdentity::never;
  v("name", s.name,
    {.help = "not `scratch`, not `weights`",
     .needs = "a name that `from` and --set can refer to",
     .text = Text::name,
     .identity = never});
  v("from", s.from,
    {.help = "the stage whose weights it begins with; no cycles",
     .fallback = "the model's `weights`, else fresh",
     .identity = never,
     .written = Written::given});
  v.model(
      "model", s.model,
      {.help = "the name of a `[model.NAME]`, or a table of what differs from `[model]`, here and in all that begins "
               "from this stage; with `min_match = 0` parts of other shapes begin fresh",
       .fallback = "that of the stage it begins from, else `[model]`",
       .identity = never});
  v.weighted(
      "data", s.data, s.data_weights,
      {.help = "names of `[data.NAME]`, or `{name = \"NAME\", weight = 0.7}` with weights > 0 for all: see below",
       .needs = "a list of names of [data.NAME]",
       .identity_key = "data_weights"});
  v("shuffle_volumes", s.shuffle_volumes,
    {.help = "number of volumes whose slices are mixed at a time, for [slow storage](data.md#slow-storage) and "
             "objectives on slices; 0: any slice may follow any",
     .range = at_least(0),
     .identity = InIdentity::changed,
     .written = Written::given});
  v.objectives(
      "objectives", s.objectives,
      {.help = "beside its options each has `on` (`\"slices\"` or `\"volumes\"`: what it learns from, by default "
               "the first that it can) and `weight` (> 0, default 1)",
       .needs = "a list such as [{name = \"swav\", weight = 1.0}]"});
  v.group("train", s.train);
  v("volume_batch_size", s.volume_batch_size,
    {.help = "where slices and volumes are trained together; 0: `batch_size`", .range = at_least(0)});
  v.tables("probes", s.probes, {.help = "see below", .fallback = "none", .identity = never, .written = Written::given});
  Views views{s.slice_views, s.volume_views, s.views_on, s.views_output};
  v.table("views", views, {.help = "", .block = true, .flat = true}, s.train.precision);
  s.slice_views = std::move(views.slice);
  s.volume_views = views.volume;
  s.views_on = views.on;
  s.views_output = views.output;
}

}  // namespace ivory::config
