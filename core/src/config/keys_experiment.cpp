// The experiment itself, its table, and which points of a sweep end early.
#include <algorithm>

#include "config/keys.h"

namespace ivory::config {

void keys(Fields& v, Experiment& s) {
  v("name", s.name, {.help = "not `store`", .fallback = "the file's", .text = Text::name});
  v("note", s.note, {.help = "printed under every table", .written = Written::given});
  v("seed", s.seed, {.help = ""});
  v("repetitions", s.repetitions,
    {.help = "of every task, with different seeds", .range = at_least(1), .alias = "trials"});
  v("device", s.device, {.help = "", .choices = {"auto", "cpu", "cuda"}});
  v("threads", s.threads, {.help = "0: all cores", .range = at_least(0)});
  v("output", s.output, {.help = "folder of the runs"});
  v("smoke", s.smoke, {.help = "set by `--smoke`: every output says that it is no result", .written = Written::given});
}

void keys(Fields& v, TableSpec& s) {
  v("caption", s.caption, {.help = "", .written = Written::given});
  v.choice("kind", s.kind, {{"scores", TableKind::scores}, {"parameters", TableKind::parameters}},
           {.help = "of trained tasks, or numbers of parameters of models"});
  const bool parameters = s.kind == TableKind::parameters;
  v("reference", s.reference,
    {.help = "file of a paper's figures, which stand beside the measured values with the difference",
     .fallback = "none",
     .text = Text::path,
     .written = Written::given});
  v.tables("rows", s.rows, {.help = "see below", .fallback = "one per distinct `from` of the tasks"}, s);
  v.tables("columns", s.columns,
           {.help = "see below",
            .fallback = "one per task",
            .unused = parameters ? "is not used here: a table of parameters has one column of its own" : ""},
           s);
  v("compare", s.compare,
    {.help = "`from` of the row that every other one is tested against, repetition by repetition",
     .fallback = "none",
     .written = Written::given});
}

void keys(Fields& v, TableRow& s, const TableSpec& table) {
  const bool parameters = table.kind == TableKind::parameters;
  v("label", s.label, {.help = "", .fallback = "`from`", .needs = parameters ? "the name of the model" : ""});
  v("from", s.from,
    {.help = "as of a task",
     .fallback = "required, but with `missing`",
     .unused = parameters ? "belongs to a table of scores" : "",
     .written = Written::given});
  v("missing", s.missing,
    {.help = "why it is not measured: a text that stands in its cells, such as \"not implemented yet\"",
     .fallback = "–",
     .written = Written::given});
  v("group", s.group, {.help = "a heading over the rows that share it", .written = Written::given});
  v.model("model", s.model,
          {.help = "of a table of parameters: the name of a `[model.NAME]`, or what differs from `[model]`",
           .fallback = "`[model]`",
           .unused = parameters ? "" : "belongs to a table of parameters"});
  v("reference", s.reference,
    {.help = "the name of its row in the file of figures; `\"none\"`: it has none",
     .fallback = "`label`",
     .unused = table.reference.empty() ? "needs table.reference, a file of figures" : ""});
}

void keys(Fields& v, TableColumn& s, const TableSpec& table) {
  std::vector<std::string> tasks = s.others;
  if (!s.task.empty()) tasks.insert(tasks.begin(), s.task);
  v("label", s.label, {.help = "", .fallback = "the task"});
  v.one_or_more("task", tasks,
                {.help = "a task, or a list of tasks whose repetitions it takes together",
                 .fallback = "required, but with `missing`"});
  s.task = tasks.empty() ? "" : tasks.front();
  s.others.assign(tasks.begin() + (tasks.empty() ? 0 : 1), tasks.end());
  v("score", s.score, {.help = "", .fallback = "the task's primary one", .written = Written::given});
  v("missing", s.missing, {.help = "as of a row", .fallback = "–", .written = Written::given});
  v("reference", s.reference,
    {.help = "as of a row, a column of the file",
     .fallback = "the first task, else `label`",
     .unused = table.reference.empty() ? "needs table.reference, a file of figures" : ""});
}

void keys(Fields& v, HalvingSpec& s) {
  v.expect(v.has("stage", true) != v.has("task", false), "", "compares one of 'stage' and 'task'");
  v("stage", s.stage, {.help = "the stage whose training is compared; or `task`", .fallback = "–"});
  v("task", s.task, {.help = "the task whose training is compared", .fallback = "–"});
  v("metric", s.metric,
    {.help = "of a stage: `\"loss\"`, a loss term or a diagnostic (mean over the epoch, as in `metrics.jsonl`), or "
             "`\"probes/TASK/SCORE\"`; of a task: a score on its validation split",
     .fallback = "of a stage `\"loss\"`; of a task required",
     .needs = s.task.empty() ? "" : "a score on the task's validation split, such as \"dice\""});
  if (!v.has("mode", true)) s.greater_is_better = !s.task.empty() || s.metric.starts_with("probes/");
  v.choice("mode", s.greater_is_better, {{"min", false}, {"max", true}},
           {.help = "which values are better", .fallback = "`\"min\"` of what a stage measures, `\"max\"` of scores"});
  v("rungs", s.rungs,
    {.help = "epochs after which the points are compared: ascending, before the end, where the score is evaluated",
     .range = at_least(1),
     .needs = "the epochs after which points are compared"});
  const bool ascend = std::ranges::adjacent_find(s.rungs, std::ranges::greater_equal()) == s.rungs.end();
  v.expect(!v.has("rungs", false) || (ascend && !s.rungs.empty()), "rungs", "a list of ascending epochs");
  v("keep", s.keep, {.help = "share of the points that continues, rounded up", .range = inside(0, 1)});
}

}  // namespace ivory::config
