#include "config/sections.h"

namespace ivory::config {
namespace {

// A key that only some value of `name` uses.
void unused_unless(bool used, const Section& section, const std::string& key, const std::string& name) {
  if (!used && section.has(key)) section.error(key, "'" + section.path(key) + "' is not used by \"" + name + "\"");
}

void read_optimiser(Section& section, OptimiserSpec& spec) {
  section.read_choice("name", spec.name, {"sgd", "adamw"});
  section.read("lr", spec.lr, above(0));
  section.read("scale_lr", spec.scale_lr);
  section.read("weight_decay", spec.weight_decay, at_least(0));
  section.read("momentum", spec.momentum, from_up_to_below(0, 1));
  section.read("larc", spec.larc);
  section.read("trust", spec.trust, above(0));
  section.read("betas", spec.betas, from_up_to_below(0, 1));
  section.finish();
  const bool sgd = spec.name == "sgd";
  for (const char* key : {"momentum", "larc", "trust"}) unused_unless(sgd, section, key, spec.name);
  unused_unless(!sgd, section, "betas", spec.name);
}

void read_schedule(Section& section, ScheduleSpec& spec) {
  section.read_choice("name", spec.name, {"cosine", "constant"});
  section.read("warmup_epochs", spec.warmup_epochs, at_least(0));
  section.read("start_lr", spec.start_lr, at_least(0));
  section.read("final_factor", spec.final_factor, between(0, 1));
  section.finish();
  unused_unless(spec.name == "cosine", section, "final_factor", spec.name);
}

CropSpec read_crop(Section& section) {
  CropSpec spec;
  section.read("count", spec.count, at_least(1));
  section.read("size", spec.size, between(8, 4096));
  std::array<double, 2> scale = {spec.scale_min, spec.scale_max};
  if (section.read("scale", scale, {.minimum = 0, .maximum = 1, .above = true}) && scale[0] > scale[1]) {
    section.must_be("scale", "[smallest, largest] share of the slice's area");
  } else {
    spec.scale_min = scale[0];
    spec.scale_max = scale[1];
  }
  section.finish();
  return spec;
}

// [smallest, largest], both within `range`.
void read_pair(Section& section, const std::string& key, std::array<double, 2>& pair, const Range& range) {
  std::array<double, 2> read = pair;
  if (!section.read(key, read, range)) return;
  if (read[0] > read[1]) return section.must_be(key, "[smallest, largest]");
  pair = read;
}

constexpr Range blur_range = {.minimum = 0, .maximum = 10, .above = true};  // pixels

void read_slice_views(Section& section, SliceViewSpec& spec) {
  if (section.has("crops")) {
    spec.crops.clear();
    for (auto& crop : section.sections("crops")) spec.crops.push_back(read_crop(crop));
    const Member* crops = section.take("crops");
    if (crops->node.list() && crops->node.list()->empty()) section.must_be("crops", "a list of at least one crop");
  }
  section.take("crops");
  section.read("flip", spec.flip, between(0, 1));
  section.read("intensity", spec.intensity, at_least(0));
  section.read("blur", spec.blur, between(0, 1));
  read_pair(section, "blur_sigma", spec.blur_sigma, blur_range);
  section.finish();
}

// A number for all three axes, or one each.
template <class T>
void read_axes(Section& section, const std::string& key, std::array<T, 3>& target, const Range& range) {
  const Member* member = section.take(key);
  if (member && member->node.list()) {
    section.read(key, target, range);
  } else if (T all{}; section.read(key, all, range)) {
    target.fill(all);
  }
}

void expect_none_of(Section& section, const std::vector<std::string>& keys, const std::string& extent) {
  for (const auto& key : keys) {
    if (section.take(key)) section.error(key, "'" + section.path(key) + "' belongs to extent = \"" + extent + "\"");
  }
}

void read_whole(Section& section, VolumeViewSpec& spec) {
  section.read("frames", spec.size[0], at_least(1));
  if (section.read("size", spec.size[1], between(8, 4096))) spec.size[2] = spec.size[1];
  expect_none_of(section, {"spacing", "overlap", "most_air", "air_below", "pad"}, "cube");
}

void read_cube(Section& section, VolumeViewSpec& spec) {
  section.require("size", "the voxels of a cube, [D, H, W] or one number for all");
  read_axes(section, "size", spec.size, between(1, 4096));
  read_axes(section, "spacing", spec.spacing, above(0));
  section.read("overlap", spec.overlap, from_up_to_below(0, 1));
  if (spec.overlap > 0 && spec.count < 2) {
    section.error("overlap", "'" + section.path("overlap") + "' is between cubes of a sample, but there is only one");
  }
  section.read("most_air", spec.most_air, {.minimum = 0, .maximum = 1, .above = true});
  section.read("air_below", spec.air_below, between(0, 1));
  section.read("pad", spec.pad);
  expect_none_of(section, {"frames"}, "whole");
}

void read_volume_views(Section& section, VolumeViewSpec& spec) {
  section.read("count", spec.count, at_least(1));
  std::string extent = "whole";
  section.read_choice("extent", extent, {"whole", "cube"});
  if (extent == "cube") spec.extent = VolumeViewSpec::Extent::cube;
  extent == "cube" ? read_cube(section, spec) : read_whole(section, spec);
  section.read("rotation", spec.rotation, between(0, 180));
  section.read("scale", spec.scale, from_up_to_below(0, 1));
  section.read("flip", spec.flip, between(0, 1));
  section.read("anisotropy", spec.anisotropy, between(0, 1));
  section.read("noise", spec.noise, between(0, 1));
  section.read("blur", spec.blur, between(0, 1));
  section.read("bias_field", spec.bias_field, between(0, 1));
  section.read("gamma", spec.gamma, between(0, 1));
  read_pair(section, "anisotropy_factor", spec.anisotropy_factor, between(1, 16));
  read_pair(section, "blur_sigma", spec.blur_sigma, blur_range);
  read_pair(section, "gamma_range", spec.gamma_range, between(0.5, 2));
  section.read("noise_deviation", spec.noise_deviation, between(0, 1));
  section.read("bias_strength", spec.bias_strength, from_up_to_below(0, 1));
  section.finish();
}

}  // namespace

void read_training(Section& section, TrainSpec& spec) {
  section.read("epochs", spec.epochs, at_least(1));
  section.read("steps", spec.steps, at_least(1));
  if (section.has("epochs") && section.has("steps")) {
    section.error("steps", "'" + section.path() + "' has both 'epochs' and 'steps'; give the one that ends it");
  }
  section.read("batch_size", spec.batch_size, at_least(1));
  section.read("accumulate", spec.accumulate, at_least(1));
  if (spec.batch_size % spec.accumulate != 0) {
    section.must_be("accumulate", "a divisor of the batch size " + std::to_string(spec.batch_size));
  }
  section.read("clip_norm", spec.clip_norm, at_least(0));
  section.read_choice("precision", spec.precision, {"fp32", "bf16"});
  section.read("channels_last", spec.channels_last);
  section.read("checkpoint_every", spec.checkpoint_every, at_least(1));
  section.read("keep_last", spec.keep_last, at_least(1));
  section.read("workers", spec.workers, between(0, 1024));
  section.read("prefetch_mib", spec.prefetch_mib, at_least(1));
  if (auto optimiser = section.section("optimiser")) read_optimiser(*optimiser, spec.optimiser);
  if (auto schedule = section.section("schedule")) read_schedule(*schedule, spec.schedule);
}

void read_views(Section& stage, StageSpec& spec) {
  auto views = stage.section("views");
  if (!views) return;
  if (auto slice = views->section("slice")) read_slice_views(*slice, spec.slice_views);
  if (auto volume = views->section("volume")) read_volume_views(*volume, spec.volume_views);
  views->read_choice("on", spec.views_on, {"cpu", "device"});
  views->read_choice("output", spec.views_output, {"fp32", "bf16"});
  views->finish();
}

}  // namespace ivory::config
