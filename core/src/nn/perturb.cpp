#include <ivory/error.h>
#include <ivory/nn/perturb.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "nn/perturb_draws.h"

namespace ivory::nn {
namespace {

using draws::between;
using draws::unit;

constexpr float normal_mean = 0.5F, normal_deviation = 0.25F;  // as View::pixels says
constexpr double next_box = 0.95;                              // the probability of a further box
constexpr int64_t paint_margin = 3;                            // voxels between boxes and the border

int64_t offset(const Cube& cube, int64_t z, int64_t y, int64_t x) {
  return (z * cube.sides[1] + y) * cube.sides[2] + x;
}

std::vector<float>& scratch(size_t size) {
  thread_local std::vector<float> values;
  values.resize(size);
  return values;
}

std::string text_of(const std::array<int64_t, 3>& sides) {
  return c10::str(sides[0], " x ", sides[1], " x ", sides[2]);
}

void check_sides(const Cube& cube, int64_t least, const char* what) {
  for (const int64_t side : cube.sides)
    IVORY_CHECK(side >= least, what, " needs cubes with sides of at least ", least, " voxels, but got ",
                text_of(cube.sides));
}

// use(first element of a row of the box).
template <class Use>
void each_row(const Cube& cube, const CubeBox& box, Use use) {
  for (int64_t z = box.start[0]; z < box.start[0] + box.sides[0]; ++z)
    for (int64_t y = box.start[1]; y < box.start[1] + box.sides[1]; ++y) use(offset(cube, z, y, box.start[2]));
}

// A box with a side e ~ low … high and a corner margin … X − e − margin per axis.
CubeBox draw_box(const Cube& cube, const std::array<int64_t, 3>& low, const std::array<int64_t, 3>& high,
                 CounterRandom& random) {
  CubeBox box;
  for (size_t i = 0; i < 3; ++i) box.sides[i] = between(random, low[i], high[i]);
  for (size_t i = 0; i < 3; ++i)
    box.start[i] = between(random, paint_margin, cube.sides[i] - box.sides[i] - paint_margin);
  return box;
}

std::array<int64_t, 3> parts(const Cube& cube, int64_t times, int64_t of) {
  return {cube.sides[0] * times / of, cube.sides[1] * times / of, cube.sides[2] * times / of};
}

// Writes the value of output voxel (z, y, x) from input voxel origin + Σ step.
void permute(Cube cube, int64_t origin, const std::array<int64_t, 3>& step) {
  std::vector<float>& in = scratch(cube.voxels.size());
  std::ranges::copy(cube.voxels, in.begin());
  float* out = cube.voxels.data();
  for (int64_t z = 0; z < cube.sides[0]; ++z)
    for (int64_t y = 0; y < cube.sides[1]; ++y) {
      const float* row = in.data() + origin + z * step[0] + y * step[1];
      for (int64_t x = 0; x < cube.sides[2]; ++x) *out++ = row[x * step[2]];
    }
}

}  // namespace

Cube cube_of(const torch::Tensor& tensor) {
  IVORY_CHECK(tensor.scalar_type() == torch::kFloat32 && tensor.is_cpu() && tensor.is_contiguous() && tensor.dim() >= 2,
              "perturbations need contiguous float32 cubes of the CPU, but got ", tensor.toString(), " of shape ",
              tensor.sizes());
  const int64_t columns = tensor.size(-1), rows = tensor.size(-2);
  const int64_t slices = rows * columns > 0 ? tensor.numel() / (rows * columns) : 0;
  return {{slices, rows, columns}, {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())}};
}

torch::Tensor grey_views(const Sample& sample, const std::string& who) {
  IVORY_CHECK(!sample.views.empty(), who, " needs views, but a sample has none");
  std::vector<int64_t> shape = sample.views[0].pixels.sizes().vec();  // [1, …]
  shape.insert(shape.begin(), static_cast<int64_t>(sample.views.size()));
  torch::Tensor all = torch::empty(shape, torch::kFloat32);
  float* to = all.data_ptr<float>();
  for (const View& view : sample.views) {
    IVORY_CHECK(view.pixels.sizes() == sample.views[0].pixels.sizes(), who, " needs views of one size, but got ",
                view.pixels.sizes(), " beside ", sample.views[0].pixels.sizes());
    const torch::Tensor pixels = view.pixels.contiguous();
    const bool half = pixels.scalar_type() == torch::kBFloat16;
    const float* single = half ? nullptr : pixels.data_ptr<float>();
    const c10::BFloat16* bfloat = half ? pixels.data_ptr<c10::BFloat16>() : nullptr;
    for (int64_t i = 0; i < pixels.numel(); ++i, ++to) {
      *to = (half ? static_cast<float>(bfloat[i]) : single[i]) * normal_deviation + normal_mean;
      IVORY_CHECK(std::isfinite(*to), who, ": voxel ", i, " of a view of sample ", sample.index, " is ", *to,
                  ", expected a number");
    }
  }
  return all;
}

void normalise(Cube cube) {
  for (float& v : cube.voxels) v = (v - normal_mean) / normal_deviation;
}

void copy_box(Cube from, Cube to, const CubeBox& box) {
  each_row(to, box,
           [&](int64_t first) { std::copy_n(from.voxels.data() + first, box.sides[2], to.voxels.data() + first); });
}

void flip(Cube cube, const Flips& flips) {
  if (!flips[0] && !flips[1] && !flips[2]) return;
  std::array<int64_t, 3> step = {cube.sides[1] * cube.sides[2], cube.sides[2], 1};
  int64_t origin = 0;
  for (size_t i = 0; i < 3; ++i) {
    if (!flips[i]) continue;
    origin += (cube.sides[i] - 1) * step[i];
    step[i] = -step[i];
  }
  permute(cube, origin, step);
}

void quarter_turns(Cube cube, int64_t quarters, size_t from, size_t to) {
  quarters = ((quarters % 4) + 4) % 4;
  if (quarters == 0) return;
  IVORY_CHECK(from < 3 && to < 3 && from != to && (quarters == 2 || cube.sides[from] == cube.sides[to]),
              "a turn by 90 degrees needs two equal sides, but the cube has ", text_of(cube.sides));
  std::array<int64_t, 3> step = {cube.sides[1] * cube.sides[2], cube.sides[2], 1};
  const int64_t a = step[from], b = step[to], last = cube.sides[from] - 1;
  if (quarters == 2) {  // out[i, j] = in[n − 1 − i, m − 1 − j]
    step[from] = -a, step[to] = -b;
    return permute(cube, last * a + (cube.sides[to] - 1) * b, step);
  }
  if (quarters == 1) {  // out[i, j] = in[j, n − 1 − i]
    step[from] = -b, step[to] = a;
    return permute(cube, last * b, step);
  }
  step[from] = b, step[to] = -a;  // out[i, j] = in[n − 1 − j, i]
  permute(cube, last * a, step);
}

Flips draw_flips(CounterRandom& random, double probability, bool released) {
  Flips flips = {};
  for (int round = 0; round < 3 && random.chance(probability); ++round) {
    const auto axis = static_cast<size_t>(random.below(3));
    if (released && axis == 0) continue;              // the channels' axis
    const size_t along = released ? 3 - axis : axis;  // (channel, x, y)
    flips[along] = !flips[along];
  }
  return flips;
}

void shuffle(Cube cube, int64_t windows, CounterRandom& random) {
  check_sides(cube, 10, "local shuffling");
  thread_local std::vector<float> kept;
  kept.assign(cube.voxels.begin(), cube.voxels.end());
  std::vector<float>& window = scratch(static_cast<size_t>(cube.voxels.size() / 1000 + 1));
  const auto most = parts(cube, 1, 10);
  for (int64_t i = 0; i < windows; ++i) {
    CubeBox box;
    for (size_t axis = 0; axis < 3; ++axis) box.sides[axis] = between(random, 1, most[axis]);
    for (size_t axis = 0; axis < 3; ++axis) box.start[axis] = between(random, 0, cube.sides[axis] - box.sides[axis]);
    float* end = window.data();
    each_row(cube, box, [&](int64_t first) { end = std::copy_n(kept.data() + first, box.sides[2], end); });
    for (int64_t last = box.voxels() - 1; last > 0; --last)
      std::swap(window[static_cast<size_t>(last)], window[static_cast<size_t>(between(random, 0, last))]);
    const float* next = window.data();
    each_row(cube, box, [&](int64_t first) {
      std::copy_n(next, box.sides[2], cube.voxels.data() + first);
      next += box.sides[2];
    });
  }
}

std::vector<CubeBox> paint_in(Cube cube, int64_t least, int64_t most, CounterRandom& random, bool constant) {
  check_sides(cube, 9, "in-painting");
  std::vector<CubeBox> boxes;
  for (int64_t i = 0; i < most && (i < least || random.chance(next_box)); ++i) {
    const CubeBox box = boxes.emplace_back(draw_box(cube, parts(cube, 1, 6), parts(cube, 1, 3), random));
    const float value = constant ? unit(random) : 0;
    each_row(cube, box, [&](int64_t first) {
      for (int64_t x = first; x < first + box.sides[2]; ++x)
        cube.voxels[static_cast<size_t>(x)] = constant ? value : unit(random);
    });
  }
  return boxes;
}

std::vector<CubeBox> paint_out(Cube cube, int64_t most, CounterRandom& random) {
  check_sides(cube, 14, "out-painting");
  thread_local std::vector<float> kept;
  kept.assign(cube.voxels.begin(), cube.voxels.end());
  for (float& v : cube.voxels) v = unit(random);
  auto low = parts(cube, 4, 7), high = parts(cube, 3, 7);
  for (size_t i = 0; i < 3; ++i) low[i] = cube.sides[i] - low[i], high[i] = cube.sides[i] - high[i];
  std::vector<CubeBox> boxes;
  for (int64_t i = 0; i < most && (i == 0 || random.chance(next_box)); ++i) {
    const CubeBox box = boxes.emplace_back(draw_box(cube, low, high, random));
    copy_box({cube.sides, kept}, cube, box);
  }
  return boxes;
}

std::vector<CubeBox> draw_cut_outs(const std::array<int64_t, 3>& sides, double most_share, CounterRandom& random) {
  const double wanted = random.uniform(0, most_share) * static_cast<double>(sides[0] * sides[1] * sides[2]);
  std::array<int64_t, 3> least, most;
  for (size_t i = 0; i < 3; ++i) {
    IVORY_CHECK(sides[i] >= 8, "cut-outs need cubes with sides of at least 8 voxels, but got ", text_of(sides));
    least[i] = std::max<int64_t>(2, sides[i] / 20);  // below 40 the release's 1 would give boxes of one voxel
    most[i] = std::max(least[i], sides[i] / 4 - 1);
  }
  std::vector<CubeBox> boxes;
  double cut = 0;
  while (cut < wanted) {
    CubeBox& box = boxes.emplace_back();
    for (size_t i = 0; i < 3; ++i) box.start[i] = between(random, 0, sides[i] - least[i] - 1);
    for (size_t i = 0; i < 3; ++i) box.sides[i] = std::min(between(random, least[i], most[i]), sides[i] - box.start[i]);
    cut += static_cast<double>(box.voxels());
  }
  return boxes;
}

void fill_with_noise(Cube cube, const CubeBox& box, CounterRandom& random) {
  std::vector<float>& noise = scratch(static_cast<size_t>(box.voxels()));
  for (float& v : noise) v = static_cast<float>(random.normal());
  const auto [least, largest] = std::ranges::minmax(noise);
  const float range = largest - least;
  const float* next = noise.data();
  each_row(cube, box, [&](int64_t first) {
    for (int64_t x = first; x < first + box.sides[2]; ++x)
      cube.voxels[static_cast<size_t>(x)] = range > 0 ? (*next++ - least) / range : 0.5F;
  });
}

GenesisChain::GenesisChain(const Options& options)
    : flip(options.get<double>("flip")),
      shuffle(options.get<double>("shuffle")),
      bezier(options.get<double>("bezier")),
      paint(options.get<double>("paint")),
      paint_in(options.get<double>("paint_in")),
      shuffle_windows(options.get<int64_t>("shuffle_windows")),
      released_flips(options.get<std::string>("flips") == "released") {}

std::vector<Option> GenesisChain::options() {
  const auto probability = [](const std::string& name, double fallback, const std::string& help) {
    return Option{.name = name, .fallback = fallback, .help = help, .minimum = 0, .maximum = 1};
  };
  const GenesisChain usual;
  return {probability("flip", usual.flip, "Probability of each of up to three flips, of input and target alike."),
          {.name = "flips",
           .fallback = std::string("all"),
           .help = "'all': along z, y or x; 'released': among the channels' axis, x and y, as the public code does.",
           .choices = {"all", "released"}},
          probability("shuffle", usual.shuffle, "Probability of local shuffling."),
          {.name = "shuffle_windows",
           .fallback = usual.shuffle_windows,
           .help = "Windows in which voxels are permuted.",
           .minimum = 0,
           .maximum = 1e6},
          probability("bezier", usual.bezier, "Probability of a monotone change of intensities."),
          probability("paint", usual.paint, "Probability of in- or out-painting."),
          probability("paint_in", usual.paint_in, "Probability of in-painting where one of the two happens.")};
}

void GenesisChain::apply(Cube clean, Cube perturbed, CounterRandom& random) const {
  constexpr int64_t boxes = 5;
  nn::flip(clean, draw_flips(random, flip, released_flips));
  std::ranges::copy(clean.voxels, perturbed.voxels.begin());
  if (random.chance(shuffle)) nn::shuffle(perturbed, shuffle_windows, random);
  if (random.chance(bezier)) map_intensities(perturbed, Bezier::draw(random));
  if (!random.chance(paint)) return;
  if (random.chance(paint_in))
    nn::paint_in(perturbed, 0, boxes, random);
  else
    nn::paint_out(perturbed, boxes, random);
}

}  // namespace ivory::nn
