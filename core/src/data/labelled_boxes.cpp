#include "data/labelled_boxes.h"

#include <ivory/error.h>
#include <ivory/random.h>

#include <algorithm>
#include <cmath>

#include "data/labelled_recipes.h"
#include "data/resample.h"

namespace ivory::data {
namespace {

// The box around all pixels of a class that can be reached from one.
class Regions {
 public:
  Regions(std::span<const int16_t> labels, int64_t rows, int64_t columns, const ClassTable& classes)
      : labels_(labels), rows_(rows), columns_(columns), classes_(classes), seen_(labels.size(), false) {}

  std::vector<MarkedBox> find(int64_t slice) {
    std::vector<MarkedBox> found;
    for (int64_t place = 0; place < rows_ * columns_; ++place) {
      if (class_at(place) == 0 || seen_[static_cast<size_t>(place)]) continue;
      found.push_back({slice, labels_[static_cast<size_t>(place)], around(place)});
    }
    return found;
  }

 private:
  int64_t class_at(int64_t place) const { return classes_[labels_[static_cast<size_t>(place)]]; }

  std::array<double, 4> around(int64_t first) {
    int64_t left = columns_, top = rows_, right = 0, bottom = 0;
    std::vector<int64_t> open = {first};
    seen_[static_cast<size_t>(first)] = true;
    while (!open.empty()) {
      const int64_t place = open.back(), y = place / columns_, x = place % columns_;
      open.pop_back();
      left = std::min(left, x), top = std::min(top, y), right = std::max(right, x + 1),
      bottom = std::max(bottom, y + 1);
      for (int64_t row = std::max<int64_t>(0, y - 1); row <= std::min(y + 1, rows_ - 1); ++row) {
        for (int64_t column = std::max<int64_t>(0, x - 1); column <= std::min(x + 1, columns_ - 1); ++column) {
          const int64_t next = row * columns_ + column;
          if (seen_[static_cast<size_t>(next)] || class_at(next) != class_at(first)) continue;
          seen_[static_cast<size_t>(next)] = true;
          open.push_back(next);
        }
      }
    }
    return {static_cast<double>(left), static_cast<double>(top), static_cast<double>(right),
            static_cast<double>(bottom)};
  }

  std::span<const int16_t> labels_;
  int64_t rows_, columns_;
  const ClassTable& classes_;
  std::vector<bool> seen_;
};

// A part [first, first + extent) of `length` pixels that holds [low, high].
std::pair<int64_t, int64_t> draw_part(CounterRandom& random, double low, double high, int64_t length) {
  const auto first = static_cast<int64_t>(std::floor(low * random.uniform()));
  const double end = high + (static_cast<double>(length) - high) * random.uniform();
  const auto last = std::clamp(static_cast<int64_t>(std::ceil(end)), first + 1, length);
  return {first, last - first};
}

class LabelledBoxRecipe : public Recipe<TaskBatch> {
 public:
  LabelledBoxRecipe(std::shared_ptr<const DataSet> data, const LabelledSamples& samples, const LoaderOptions& options)
      : data_(std::move(data)), samples_(samples), options_(options), classes_(samples.classes) {
    IVORY_CHECK(!samples_.slices.empty(), "the split holds no slices, expected at least one");
    const auto [slices, rows, columns] = samples_.size;
    IVORY_CHECK(rows > 0 && rows == columns, "slices of ", rows, " x ", columns,
                " pixels, expected a positive number, twice the same");
    for (const auto& [volume, slice] : samples_.slices)
      boxes_.push_back(boxes_of_slice(*data_, volume, slice, classes_));
    repeat();
  }

  int64_t batches() const override { return batch_count(static_cast<int64_t>(places_.size()), options_); }

  std::vector<Draw> draws(int64_t epoch) const override {
    return share(epoch_order(static_cast<int64_t>(places_.size()), options_, epoch), options_);
  }

  int64_t bytes(int64_t samples) const override {
    return samples * size() * size() * static_cast<int64_t>(sizeof(float));
  }

  TaskBatch allocate(std::span<const Draw> draws) const override {
    const auto count = static_cast<int64_t>(draws.size());
    TaskBatch batch;
    batch.images.pixels = torch::empty({count, 1, size(), size()});
    batch.volume = torch::empty({count}, torch::kInt64);
    batch.position = torch::empty({count}, torch::kInt64);
    batch.boxes.resize(draws.size());
    for (int64_t i = 0; i < count; ++i) {
      const auto& [volume, slice] = samples_.slices[place_of(draws[static_cast<size_t>(i)])];
      batch.volume.data_ptr<int64_t>()[i] = volume;
      batch.position.data_ptr<int64_t>()[i] = slice;
    }
    return batch;
  }

  void fill(TaskBatch& batch, int64_t position, const Draw& draw, int64_t epoch) const override {
    const size_t place = place_of(draw);
    const auto& [volume, slice] = samples_.slices[place];
    const VolumeInfo& info = data_->info(volume);
    BoxAugmentation augmentation{.part = {0, 0, info.rows, info.columns}, .tone = {}};
    if (samples_.augment) {
      CounterRandom random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
                           view_stream(draw, 0));
      augmentation = draw_box_augmentation(random, boxes_[place], info.rows, info.columns);
    }
    float* image = batch.images.pixels.data_ptr<float>() + position * size() * size();
    const DecodedSlice decoded = data_->cache(volume).decode(data_->volumes[static_cast<size_t>(volume)].volume, slice);
    resample([&](int64_t row, int64_t first, std::span<float> values) { decoded.read(row, first, values); },
             augmentation.part, {.rows = size(), .columns = size(), .flip = augmentation.flip}, image);
    tone_and_normalise(augmentation.tone, {image, static_cast<size_t>(size() * size())});
    batch.boxes[static_cast<size_t>(position)] = place_boxes(boxes_[place], classes_, augmentation, size());
  }

 private:
  int64_t size() const { return samples_.size[1]; }
  size_t place_of(const Draw& draw) const { return static_cast<size_t>(places_[static_cast<size_t>(draw.sample)]); }

  // Images of rare classes several times: Gupta et al., LVIS, CVPR 2019, with whole numbers.
  void repeat() {
    std::vector<std::vector<int64_t>> present;  // classes of each image
    std::map<int64_t, double> images;           // with a class
    for (const auto& boxes : boxes_) {
      auto& here = present.emplace_back();
      for (const MarkedBox& box : boxes) {
        const int64_t c = classes_[static_cast<int16_t>(box.label)];
        if (c != 0 && !std::ranges::count(here, c)) here.push_back(c);
      }
      for (const int64_t c : here) images[c] += 1;
    }
    for (size_t i = 0; i < boxes_.size(); ++i) {
      double factor = 1;
      for (const int64_t c : present[i]) {
        const double share = images[c] / static_cast<double>(boxes_.size());
        if (samples_.repeat_below > 0) factor = std::max(factor, std::sqrt(samples_.repeat_below / share));
      }
      places_.insert(places_.end(), static_cast<size_t>(std::ceil(factor)), static_cast<int64_t>(i));
    }
  }

  std::shared_ptr<const DataSet> data_;
  LabelledSamples samples_;
  LoaderOptions options_;
  ClassTable classes_;
  std::vector<std::vector<MarkedBox>> boxes_;  // of each of samples_.slices
  std::vector<int64_t> places_;                // of an epoch's samples in samples_.slices
};

}  // namespace

std::vector<MarkedBox> boxes_of_slice(const DataSet& data, int64_t volume, int64_t slice, const ClassTable& classes) {
  const VolumeInfo& info = data.info(volume);
  if (!info.boxes) {
    check_labels(data, volume);
    return Regions(read_labels(data, volume, slice), info.rows, info.columns, classes).find(slice);
  }
  std::vector<MarkedBox> here;
  std::ranges::copy_if(*info.boxes, std::back_inserter(here), [&](const MarkedBox& box) {
    return box.slice == slice && classes[static_cast<int16_t>(box.label)] != 0;
  });
  return here;
}

BoxAugmentation draw_box_augmentation(CounterRandom& random, const std::vector<MarkedBox>& boxes, int64_t rows,
                                      int64_t columns) {
  constexpr double given_up = 0.2, tone_strength = 0.3;
  BoxAugmentation augmentation{.part = {}, .flip = random.chance(0.5), .tone = draw_tone(random, tone_strength)};
  auto left = static_cast<double>(columns), top = static_cast<double>(rows), right = 0.0, bottom = 0.0;
  for (const MarkedBox& box : boxes) {
    const auto& [x1, y1, x2, y2] = box.corners;
    const double across = given_up * (x2 - x1), down = given_up * (y2 - y1);
    left = std::min(left, x1 + across), right = std::max(right, x2 - across);
    top = std::min(top, y1 + down), bottom = std::max(bottom, y2 - down);
  }
  if (boxes.empty()) {  // as if one lay in the middle
    left = given_up * static_cast<double>(columns), right = (1 - given_up) * static_cast<double>(columns);
    top = given_up * static_cast<double>(rows), bottom = (1 - given_up) * static_cast<double>(rows);
  }
  std::tie(augmentation.part.column, augmentation.part.columns) = draw_part(random, left, right, columns);
  std::tie(augmentation.part.row, augmentation.part.rows) = draw_part(random, top, bottom, rows);
  return augmentation;
}

Boxes place_boxes(const std::vector<MarkedBox>& boxes, const ClassTable& classes, const BoxAugmentation& augmentation,
                  int64_t size) {
  constexpr float least = 0.5F;
  const auto side = static_cast<double>(size);
  const Box& part = augmentation.part;
  std::vector<float> corners;
  std::vector<int64_t> found;
  for (const MarkedBox& box : boxes) {
    const int64_t c = classes[static_cast<int16_t>(box.label)];
    const auto x = [&](double at) {
      return std::clamp((at - static_cast<double>(part.column)) * side / static_cast<double>(part.columns), 0.0, side);
    };
    const auto y = [&](double at) {
      return static_cast<float>(
          std::clamp((at - static_cast<double>(part.row)) * side / static_cast<double>(part.rows), 0.0, side));
    };
    double left = x(box.corners[0]), right = x(box.corners[2]);
    if (augmentation.flip) std::tie(left, right) = std::pair(side - right, side - left);
    const auto x1 = static_cast<float>(left), x2 = static_cast<float>(right), y1 = y(box.corners[1]),
               y2 = y(box.corners[3]);
    if (c == 0 || x2 - x1 < least || y2 - y1 < least) continue;
    corners.insert(corners.end(), {x1, y1, x2, y2});
    found.push_back(c);
  }
  return {torch::tensor(corners, torch::kFloat32).view({-1, 4}), torch::tensor(found, torch::kInt64)};
}

TaskRecipe make_labelled_boxes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                               const LoaderOptions& options) {
  return std::make_unique<LabelledBoxRecipe>(std::move(data), samples, options);
}

}  // namespace ivory::data
