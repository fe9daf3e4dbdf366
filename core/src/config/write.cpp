#include <concepts>
#include <sstream>

#include "base/text.h"
#include "config/diagnostics.h"
#include "config/experiment.h"
#include "config/node.h"

namespace ivory::config {
namespace {

std::string toml(bool value) {
  return value ? "true" : "false";
}
template <std::integral T>
requires(!std::same_as<T, bool>) std::string toml(T value) {
  return std::to_string(value);
}
std::string toml(double value) {
  return written(value);
}
std::string toml(const std::string& value) {
  return written(value);
}
std::string toml(const char* value) {
  return written(std::string(value));
}
template <class Sequence>
requires requires(const Sequence& s) {
  s.begin();
}
std::string toml(const Sequence& values) {
  return "[" + base::joined(values, ", ", [](const auto& value) { return toml(value); }) + "]";
}

// An inline table: {a = 1, b = 2}.
class Inline {
 public:
  template <class T>
  Inline& add(const std::string& key, const T& value) {
    return raw(key, toml(value));
  }
  Inline& raw(const std::string& key, const std::string& written_value) {
    members_.push_back(key + " = " + written_value);
    return *this;
  }
  std::string text() const { return "{" + base::joined(members_) + "}"; }
  // As a table of its own.
  std::string lines() const { return base::joined(members_, "\n") + "\n"; }

 private:
  std::vector<std::string> members_;
};

// A list of inline tables, one a line.
template <class T, class Write>
std::string rows(const std::vector<T>& items, const Write& write) {
  std::string text = "[";
  for (const auto& item : items) text += "\n  " + write(item).text() + ",";
  return text + (items.empty() ? "]" : "\n]");
}

Inline toml_plugin(const PluginUse& use) {
  Inline table;
  table.add("name", use.name);
  for (const auto& [name, value] : use.options.values()) {
    std::visit([&, &key = name](const auto& held) { table.add(key, held); }, value);
  }
  return table;
}

class Writer {
 public:
  std::string write(const Experiment& experiment) {
    if (!experiment.sweep_point.empty()) out_ << "# Point of the sweep: " << experiment.sweep_point << "\n";
    key("plugins", experiment.plugins);
    header(experiment);
    for (const auto& spec : experiment.data) data(spec);
    if (has_own_model(experiment)) model(experiment.model, "[model]");
    for (const auto& spec : experiment.models) model(spec, "[model." + spec.name + "]");
    for (const auto& spec : experiment.stages) stage(spec);
    for (const auto& spec : experiment.tasks) task(spec);
    table(experiment.table);
    return out_.str();
  }

 private:
  void open(const std::string& title) { out_ << "\n" << title << "\n"; }
  void raw(const std::string& name, const std::string& text) { out_ << name << " = " << text << "\n"; }
  template <class T>
  void key(const std::string& name, const T& value) {
    raw(name, toml(value));
  }
  void text(const std::string& name, const std::string& value) {
    if (!value.empty()) key(name, value);
  }

  void header(const Experiment& experiment) {
    open("[experiment]");
    key("name", experiment.name);
    text("note", experiment.note);
    key("seed", experiment.seed);
    key("trials", experiment.trials);
    key("device", experiment.device);
    key("threads", experiment.threads);
    key("output", experiment.output);
    if (experiment.smoke) key("smoke", true);
  }

  void data(const DataSpec& spec) {
    open("[data." + spec.name + "]");
    key("layout", spec.layout);
    text("path", spec.path);
    text("modality", spec.modality);
    if (spec.window[0] < spec.window[1]) key("window", spec.window);
    key("spacing", spec.spacing);
    key("max_size", spec.max_size);
    if (!spec.only.whole()) raw("only", only(spec.only).text());
    text("patients", spec.patients);
    text("hint", spec.hint);
    text("cache", spec.cache);
    if (!spec.volumes.empty()) raw("volumes", rows(spec.volumes, [](const VolumeSource& v) { return volume(v); }));
    raw("phantom", Inline()
                       .add("volumes", spec.phantom.volumes)
                       .add("size", spec.phantom.size)
                       .add("labels", spec.phantom.labels)
                       .add("classes", spec.phantom.classes)
                       .add("seed", spec.phantom.seed)
                       .add("every", spec.phantom.every)
                       .text());
  }

  static Inline volume(const VolumeSource& source) {
    Inline table;
    table.add("name", source.name);
    if (!source.image.empty()) table.add("image", source.image);
    if (!source.label.empty()) table.add("label", source.label);
    if (!source.modality.empty()) table.add("modality", source.modality);
    if (source.channel) table.add("channel", *source.channel);
    return table.add("patient", source.patient);
  }

  static Inline only(const PartSpec& spec) {
    if (spec.volumes > 0) return Inline().add("volumes", spec.volumes).add("seed", spec.seed);
    return Inline().add("parts", spec.parts).raw("splits", splits(spec.splits).text());
  }

  // Not where it is the only one of `models`.
  static bool has_own_model(const Experiment& experiment) {
    return !experiment.model.composition.name.empty() && experiment.model.name.empty();
  }

  void model(const ModelSpec& spec, const std::string& title) {
    open(title);
    out_ << model_keys(spec).lines();
    text("weights", spec.weights);
    if (!spec.weights.empty() || spec.min_match != ModelSpec().min_match) key("min_match", spec.min_match);
  }

  static Inline model_keys(const ModelSpec& spec) {
    Inline table = toml_plugin(spec.composition);
    for (const auto& [role, use] : spec.backbones) table.raw(role, toml_plugin(use).text());
    return table;
  }

  void stage(const StageSpec& spec) {
    open("[[stage]]");
    key("name", spec.name);
    text("from", spec.from);
    if (spec.model) text("model", spec.model->name);
    stage_data(spec);
    if (spec.shuffle_volumes > 0) key("shuffle_volumes", spec.shuffle_volumes);
    raw("objectives", rows(spec.objectives, [](const ObjectiveUse& use) { return objective(use); }));
    training(spec.train);
    key("volume_batch_size", spec.volume_batch_size);
    if (!spec.probes.empty()) {
      raw("probes", rows(spec.probes, [](const ProbeUse& probe) {
            return Inline().add("task", probe.task).add("every", probe.every);
          }));
    }
    if (spec.model && spec.model->name.empty()) model(*spec.model, "[stage.model]");
    slice_views(spec.slice_views);
    volume_views(spec.volume_views);
    open("[stage.views]");
    key("on", spec.views_on);
    key("output", spec.views_output);
    optimisation("stage", spec.train);
  }

  static Inline objective(const ObjectiveUse& use) {
    const std::string on = use.on == SampleKind::slice ? "slices" : "volumes";
    return toml_plugin(use.plugin).add("on", on).add("weight", use.weight);
  }

  void stage_data(const StageSpec& spec) {
    if (spec.data_weights.empty()) return key("data", spec.data);
    std::vector<Inline> uses;
    for (size_t i = 0; i < spec.data.size(); ++i)
      uses.push_back(Inline().add("name", spec.data[i]).add("weight", spec.data_weights[i]));
    raw("data", rows(uses, [](const Inline& use) { return use; }));
  }

  void slice_views(const SliceViewSpec& spec) {
    open("[stage.views.slice]");
    raw("crops", rows(spec.crops, [](const CropSpec& crop) {
          return Inline()
              .add("count", crop.count)
              .add("size", crop.size)
              .add("scale", std::vector<double>{crop.scale_min, crop.scale_max});
        }));
    key("flip", spec.flip);
    key("intensity", spec.intensity);
    key("blur", spec.blur);
    key("blur_sigma", spec.blur_sigma);
  }

  void volume_views(const VolumeViewSpec& spec) {
    open("[stage.views.volume]");
    key("count", spec.count);
    if (spec.extent == VolumeViewSpec::Extent::cube) {
      cube(spec);
    } else {
      key("frames", spec.size[0]);
      key("size", spec.size[1]);
    }
    key("flip", spec.flip);
    key("rotation", spec.rotation);
    key("scale", spec.scale);
    key("anisotropy", spec.anisotropy);
    key("noise", spec.noise);
    key("blur", spec.blur);
    key("bias_field", spec.bias_field);
    key("gamma", spec.gamma);
    key("anisotropy_factor", spec.anisotropy_factor);
    key("blur_sigma", spec.blur_sigma);
    key("gamma_range", spec.gamma_range);
    key("noise_deviation", spec.noise_deviation);
    key("bias_strength", spec.bias_strength);
  }

  void cube(const VolumeViewSpec& spec) {
    key("extent", "cube");
    key("size", spec.size);
    if (spec.spacing[0] > 0) key("spacing", spec.spacing);
    key("overlap", spec.overlap);
    key("most_air", spec.most_air);
    key("air_below", spec.air_below);
    key("pad", spec.pad);
  }

  void task(const TaskSpec& spec) {
    open("[[task]]");
    key("name", spec.name);
    raw("plugin", toml_plugin(spec.plugin).text());
    key("from", spec.from);
    key("data", spec.data);
    raw("classes", rows(spec.classes, [](const ClassSpec& item) {
          Inline made;
          made.add("name", item.name);
          return item.label_names.empty() ? made.add("labels", item.labels) : made.add("labels", item.label_names);
        }));
    raw("splits", splits(spec.splits).text());
    key("size", spec.size);
    key("evaluate_every", spec.evaluate_every);
    key("augment", spec.augment);
    if (spec.trials > 0) key("trials", spec.trials);
    training(spec.train);
    optimisation("task", spec.train);
  }

  static Inline splits(const SplitSpec& spec) {
    if (spec.train.empty()) {
      return Inline()
          .add("train", spec.train_share)
          .add("validation", spec.validation_share)
          .add("seed", spec.seed)
          .add("redraw", spec.redraw);
    }
    Inline lists;
    lists.add("train", spec.train).add("validation", spec.validation).add("test", spec.test);
    if (spec.allow_shared_patients) lists.add("allow_shared_patients", true);
    return lists;
  }

  void training(const TrainSpec& spec) {
    if (spec.steps > 0) {
      key("steps", spec.steps);
    } else {
      key("epochs", spec.epochs);
    }
    key("batch_size", spec.batch_size);
    key("accumulate", spec.accumulate);
    key("clip_norm", spec.clip_norm);
    key("precision", spec.precision);
    key("channels_last", spec.channels_last);
    key("checkpoint_every", spec.checkpoint_every);
    key("keep_last", spec.keep_last);
    key("workers", spec.workers);
    key("prefetch_mib", spec.prefetch_mib);
  }

  void optimisation(const std::string& owner, const TrainSpec& spec) {
    const auto& [name, lr, scale_lr, momentum, weight_decay, larc, trust, betas] = spec.optimiser;
    open("[" + owner + ".optimiser]");
    key("name", name);
    key("lr", lr);
    key("scale_lr", scale_lr);
    key("weight_decay", weight_decay);
    if (name == "sgd") {
      key("momentum", momentum);
      key("larc", larc);
      key("trust", trust);
    } else {
      key("betas", betas);
    }
    open("[" + owner + ".schedule]");
    key("name", spec.schedule.name);
    key("warmup_epochs", spec.schedule.warmup_epochs);
    key("start_lr", spec.schedule.start_lr);
    if (spec.schedule.name == "cosine") key("final_factor", spec.schedule.final_factor);
  }

  void table(const TableSpec& spec) {
    if (spec.rows.empty() && spec.columns.empty()) return;
    const bool parameters = spec.kind == TableKind::parameters, paper = !spec.reference.empty();
    open("[table]");
    text("caption", spec.caption);
    if (parameters) key("kind", "parameters");
    text("reference", spec.reference);
    raw("rows", rows(spec.rows, [&](const TableRow& row) { return table_row(row, paper); }));
    if (!parameters) {
      raw("columns", rows(spec.columns, [&](const TableColumn& column) { return table_column(column, paper); }));
    }
    text("compare", spec.compare);
  }

  static Inline table_row(const TableRow& row, bool paper) {
    Inline made = Inline().add("label", row.label);
    if (!row.from.empty()) made.add("from", row.from);
    if (!row.group.empty()) made.add("group", row.group);
    if (!row.missing.empty()) made.add("missing", row.missing);
    if (row.model && !row.model->name.empty()) made.add("model", row.model->name);
    if (row.model && row.model->name.empty()) made.raw("model", model_keys(*row.model).text());
    if (paper) made.add("reference", row.reference.empty() ? "none" : row.reference);
    return made;
  }

  static Inline table_column(const TableColumn& column, bool paper) {
    Inline made = Inline().add("label", column.label);
    std::vector<std::string> tasks = {column.task};
    tasks.insert(tasks.end(), column.others.begin(), column.others.end());
    if (!column.task.empty() && column.others.empty()) made.add("task", column.task);
    if (!column.others.empty()) made.add("task", tasks);
    if (!column.score.empty()) made.add("score", column.score);
    if (!column.missing.empty()) made.add("missing", column.missing);
    if (paper) made.add("reference", column.reference.empty() ? "none" : column.reference);
    return made;
  }

  std::ostringstream out_;
};

}  // namespace

std::string to_toml(const Experiment& experiment) {
  return Writer().write(experiment);
}

}  // namespace ivory::config
