#include "data/volume_views.h"

namespace ivory::data {
VolumeViews::VolumeViews(std::shared_ptr<const DataSet> data, const VolumeViewSpec& views, const LoaderOptions& options)
    : data_(std::move(data)), views_(views), seed_(options.seed) {
  check_volume_views(views_);
  if (views_.extent == VolumeViewSpec::Extent::cube) {
    cubes_ = std::make_unique<const CubeReader>(data_, views_, data_->stacks);
  } else {
    whole_ = std::make_unique<VolumeCache>(data_, views_.size, options.volume_cache_mib << 20);
  }
}

CounterRandom VolumeViews::stream(uint64_t seed, const Draw& draw, int64_t view, int64_t epoch) const {
  return {seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(draw.sample),
          view_stream(draw, static_cast<size_t>(view))};
}

void VolumeViews::draw(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const {
  if (cubes_)
    draw_cubes(draw, epoch, use);
  else
    draw_whole(draw, epoch, use);
}

void VolumeViews::draw_whole(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const {
  const auto volume = whole_->get(data_->stacks[static_cast<size_t>(draw.sample)]);
  for (int64_t number = 0; number < views_.count; ++number) {
    CounterRandom random = stream(seed_, draw, number, epoch);
    const VolumeTransform transform = draw_transform(random, views_);
    DrawnView view{.number = number,
                   .volume = volume.get(),
                   .kept = volume,
                   .transform = transform,
                   .job = volume_job(*volume, whole_box(volume->extent), transform, views_.size, random),
                   .random = random};
    use(view);
  }
}

void VolumeViews::draw_cubes(const Draw& draw, int64_t epoch, c10::function_ref<void(DrawnView&)> use) const {
  thread_local GreyVolume part;
  const int64_t volume = data_->stacks[static_cast<size_t>(draw.sample)];
  PlacedCube first;
  for (int64_t number = 0; number < views_.count; ++number) {
    CounterRandom random = stream(seed_, draw, number, epoch);
    CounterRandom places = stream(mix(seed_, cube_stream), draw, number, epoch);
    const VolumeTransform transform = draw_transform(random, views_);
    const auto next = [&] { return cubes_->place(volume, number == 0 ? nullptr : &first, places); };
    const PlacedCube cube = cubes_->draw(volume, transform, next, part);
    if (number == 0) first = cube;
    DrawnView view{.number = number,
                   .source = cube.source,
                   .volume = &part,
                   .kept = nullptr,
                   .transform = transform,
                   .job = volume_job(part, within(part, cube.box), transform, views_.size, random),
                   .random = random};
    use(view);
  }
}

int64_t VolumeViews::most_values() const {
  int64_t most = 0;
  for (const int32_t volume : data_->stacks) {
    const auto [slices, rows, columns] = shrunk_extent(data_->info(volume), views_.size);
    most = std::max(most, cubes_ ? views_.count * cubes_->most_values(volume) : slices * rows * columns);
  }
  return most;
}

}  // namespace ivory::data
