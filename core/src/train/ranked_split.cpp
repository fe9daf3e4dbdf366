#include "train/ranked_split.h"

#include <algorithm>

#include "data/labelled_slice.h"

namespace ivory::train {
namespace {

// Of each class, how many of the samples seen so far have it.
struct Counts {
  std::vector<int64_t> with;
  int64_t seen = 0;
  bool splits(size_t c) const { return with[c] > 0 && with[c] < seen; }
};

std::string names(const std::vector<config::ClassSpec>& classes, const std::vector<size_t>& some) {
  std::string text;
  for (const size_t c : some) text += (text.empty() ? "'" : ", '") + classes[c].name + "'";
  return text;
}

std::string missing(const Counts& counts, const std::vector<config::ClassSpec>& classes, const char* what, bool all) {
  std::vector<size_t> alike;
  for (size_t c = 0; c < counts.with.size(); ++c) {
    if (!counts.splits(c)) alike.push_back(c);
  }
  const std::string total = std::to_string(counts.seen);
  if (alike.empty() || (!all && alike.size() < counts.with.size())) return "";
  if (all) {
    return "of its " + total + " " + what + " none or all are of class " + names(classes, alike) +
           ", so its AUC is not defined; the split needs at least one of each class";
  }
  return "all of its " + total + " " + what + " agree on every class (" + names(classes, alike) +
         "), so no AUC is defined; the split needs " + what + " with and without";
}

// Looks at masks as evaluation shows them, until one class is found that tells samples apart.
class Masks {
 public:
  Masks(const data::DataSet& data, const data::LabelledSamples& samples, int64_t from)
      : data_(data), samples_(samples), from_(from), table_(samples.classes) {
    counts_.with.resize(samples.classes.size());
    mask_.resize(static_cast<size_t>(samples.size[1] * samples.size[2]));
  }

  Counts run() {
    if (samples_.unit == SampleKind::slice) {
      for (const auto& [volume, slice] : samples_.slices) {
        if (add(volume, slice)) break;
      }
      return counts_;
    }
    const int64_t frames = samples_.size[0];
    for (const int32_t volume : samples_.volumes) {
      for (int64_t frame = 0; frame < frames; ++frame) {
        if (add(volume, data::slice_of_frame(frame, frames, data_.info(volume).slices))) return counts_;
      }
    }
    return counts_;
  }

 private:
  // Whether a class is found now.
  bool add(int64_t volume, int64_t slice) {
    data::read_mask(data_, volume, slice, table_, samples_.size[1], samples_.size[2], mask_.data());
    std::vector<int64_t> pixels(counts_.with.size() + 1);
    for (const int64_t index : mask_) ++pixels[static_cast<size_t>(index)];
    ++counts_.seen;
    bool found = false;
    for (size_t c = 0; c < counts_.with.size(); ++c) {
      counts_.with[c] += pixels[c + 1] >= from_ ? 1 : 0;
      found = found || counts_.splits(c);
    }
    return found;
  }

  const data::DataSet& data_;
  const data::LabelledSamples& samples_;
  const int64_t from_;
  const data::ClassTable table_;
  std::vector<int64_t> mask_;
  Counts counts_;
};

}  // namespace

std::string unranked(const TaskNeeds& needs, const data::DataSet& data, const data::LabelledSamples& samples,
                     const std::vector<config::ClassSpec>& classes) {
  if (needs.ranks_from <= 0) return "";
  if (needs.target == Target::label) {
    Counts counts{.with = std::vector<int64_t>(classes.size()),
                  .seen = static_cast<int64_t>(samples.volume_labels.size())};
    for (const int64_t label : samples.volume_labels) ++counts.with[static_cast<size_t>(label)];
    return missing(counts, classes, "volumes", needs.ranks_every_class);
  }
  if (needs.target != Target::masks) return "";
  return missing(Masks(data, samples, needs.ranks_from).run(), classes, "slices", /*all=*/false);
}

}  // namespace ivory::train
