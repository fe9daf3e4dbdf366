// Data sets.
#include <numeric>

#include "config/keys.h"
#include "config/layouts.h"

namespace ivory::config {
namespace {

constexpr auto given = Written::given;
const std::vector<std::string> modalities = {"ct", "mr", "xray"};

}  // namespace

void keys(Fields& v, VolumeSource& s, bool generated) {
  v("name", s.name, {.help = "that splits refer to, without `:`", .needs = "a name that splits can refer to"});
  v.expect(s.name.find(':') == std::string::npos, "name", "without ':' (it begins a range of slices)");
  v("image", s.image,
    {.help = "a file, or the folder of a DICOM series",
     .fallback = "required, but of generated data",
     .needs = generated ? "" : "a file, or the folder of a DICOM series",
     .text = Text::path,
     .written = given});
  v("label", s.label,
    {.help = "a file of label ids on the same grid", .fallback = "–", .text = Text::path, .written = given});
  v("modality", s.modality, {.help = "", .choices = modalities, .fallback = "the data set's", .written = given});
  if (s.patient.empty()) s.patient = s.name;
  v("patient", s.patient, {.help = "", .fallback = "the name"});
  v("channel", s.channel,
    {.help = "of a 4-D NIfTI file, from 0", .range = at_least(0), .fallback = "–", .written = given});
  if (!generated) return;
  s.image = s.label = "";
  s.channel.reset();
}

void keys(Fields& v, PartSpec& s) {
  const bool volumes = v.has("volumes", s.volumes > 0);
  const bool parts = v.has("parts", !volumes) || v.has("splits", !volumes);
  v.expect(volumes != parts, "", "needs either 'parts' with 'splits', or 'volumes'");
  if (volumes) {
    v("volumes", s.volumes,
      {.help = "number of volumes, patient after patient in the order of a seeded permutation",
       .range = at_least(1),
       .fallback = "–"});
    v("seed", s.seed, {.help = ""});
  }
  if (parts) {
    v("parts", s.parts,
      {.help = "of `splits`",
       .choices = {"train", "validation", "test"},
       .fallback = "–",
       .needs = "a list of \"train\", \"validation\", \"test\"",
       .each = "part"});
    v.table("splits", s.splits,
            {.help = "as of a task, of whole volumes and without `redraw`",
             .fallback = "–",
             .needs = "written as the splits of a task"});
  }
}

void keys(Fields& v, PhantomSpec& s, size_t named) {
  v("volumes", s.volumes,
    {.help = "number of volumes", .range = at_least(1), .fallback = "4, or as many as the data set names"});
  v.expect(named == 0 || s.volumes == static_cast<int64_t>(named), "volumes",
           std::to_string(named) + ", as many as the data set names");
  v("size", s.size,
    {.help = "slices, rows, columns; a radiograph has the rows and columns",
     .range = between(8, 4096),
     .unit = "voxels"});
  v("labels", s.labels,
    {.help = "label ids, one for each structure",
     .range = between(1, 32767),
     .fallback = "`[1, 2, 3]`, or 1, 2, … for as many as `classes`"});
  std::string all;
  for (const auto& name : phantom_classes()) all += (all.empty() ? "" : ", ") + name;
  v("classes", s.classes,
    {.help = "the structure that each id of `labels` marks",
     .choices = phantom_classes(),
     .fallback = all + ", in this order",
     .each = "structure",
     .identity = InIdentity::changed});
  if (!s.classes.empty() && !v.has("labels", true)) {
    s.labels.resize(s.classes.size());
    std::iota(s.labels.begin(), s.labels.end(), 1);
  }
  v.expect(s.classes.empty() || s.classes.size() == s.labels.size(), "classes",
           "a list of " + std::to_string(s.labels.size()) + " names, one for each label");
  v("seed", s.seed, {.help = ""});
  v("every", s.every,
    {.help = "only volumes whose number is a multiple of it have the labelled structures",
     .range = at_least(1),
     .identity = InIdentity::changed});
}

void keys(Fields& v, DataSpec& s) {
  const bool list = s.layout == "list", generated = s.layout == "phantom";
  const std::string not_of_list = "is not used by layout \"list\": each volume has its ";
  v("layout", s.layout,
    {.help = "a name of `ivory data list` ([data.md](data.md#layouts-layout))", .choices = layout_names()});
  v("path", s.path,
    {.help = "folder of the data set",
     .fallback = "required, but by `list` and `phantom`",
     .needs = list || generated ? "" : "the folder of the data set",
     .unused = list ? not_of_list + "image" : "",
     .text = Text::path,
     .written = Written::given});
  v.tables("volumes", s.volumes,
           {.help = "of layout `list`: see below",
            .needs = list ? "layout \"list\" names every volume" : "",
            .each = "volume",
            .unused = list || generated ? "" : "belongs to layout \"list\", but the layout is \"" + s.layout + "\"",
            .written = Written::given},
           generated);
  v.table("only", s.only,
          {.help = "[the part](data.md#a-part-of-a-data-set) of its volumes that is read: see below",
           .fallback = "everything",
           .identity = s.only.whole() ? InIdentity::never : InIdentity::always,
           .written = s.only.whole() ? Written::never : Written::always});
  v("patients", s.patients,
    {.help = "[table](data.md#whose-a-volume-is) of patients by volume",
     .fallback = "–",
     .unused = list ? not_of_list + "patient" : "",
     .text = Text::path,
     .identity = InIdentity::changed,
     .written = given});
  v("modality", s.modality,
    {.help = "of volumes that do not say their own", .choices = modalities, .fallback = "–", .written = given});
  v("window", s.window,
    {.help = "[low, high]: intensities of the file that become 0 and 1",
     .fallback = "the modality's",
     .written = given});
  v.expect(s.window[0] < s.window[1] || !v.has("window", false), "window", "[low, high] with low below high");
  v("spacing", s.spacing,
    {.help = "along x, y, z: volumes are resampled to it; 0 keeps the file's", .range = at_least(0), .unit = "mm"});
  v("max_size", s.max_size, {.help = "larger slices are shrunk; 0 keeps them", .range = at_least(0), .unit = "pixels"});
  v("hint", s.hint,
    {.help = "where to get the data, printed when they are missing", .identity = InIdentity::never, .written = given});
  v("cache", s.cache,
    {.help = "folder of the slice cache",
     .fallback = "under the cache root (`IVORY_CACHE`)",
     .text = Text::path,
     .identity = InIdentity::never,
     .written = given});
  if (!s.volumes.empty()) s.phantom.volumes = static_cast<int64_t>(s.volumes.size());
  v.table("phantom", s.phantom,
          {.help = "generated volumes: see below",
           .fallback = "see below",
           .identity = generated ? InIdentity::always : InIdentity::never},
          s.volumes.size());
  if (generated) s.path = s.patients = "";
}

}  // namespace ivory::config
