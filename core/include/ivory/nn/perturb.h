#pragma once
// Perturbations of cubes for objectives that restore them (Models Genesis, TransVW, PCRL, Swin UNETR's pre-training).
// Every number comes from the stream that is given, in a fixed order, and nothing runs on LibTorch's threads: loaders
// call these from several threads at once (Objective::prepare) and get the same bits with any number of them.

#include <ivory/options.h>
#include <ivory/random.h>
#include <ivory/sample.h>

#include <array>
#include <span>
#include <string>
#include <vector>

namespace ivory::nn {

// Grey values in [0, 1], [D, H, W] = [z, y, x].
struct Cube {
  std::array<int64_t, 3> sides = {};
  std::span<float> voxels;
};

// The voxels of a contiguous float32 tensor of the CPU with D × H × W elements; of images D is 1.
Cube cube_of(const torch::Tensor& tensor);
// The sample's views as grey values in [0, 1], [V, 1, …], float32: a copy. Throws bad_request, naming `who` and the
// sample, where a voxel is no number, or where views differ in size.
torch::Tensor grey_views(const Sample& sample, const std::string& who);
// Grey values as networks see them: (x − 0.5) / 0.25.
void normalise(Cube cube);

struct CubeBox {
  std::array<int64_t, 3> start = {}, sides = {};
  int64_t voxels() const { return sides[0] * sides[1] * sides[2]; }
};
// The box of `from`, a cube of the same sides, into `to`.
void copy_box(Cube from, Cube to, const CubeBox& box);

// --- Symmetries ------------------------------------------------------------------------------------------------------

using Flips = std::array<bool, 3>;  // along z, y, x
void flip(Cube cube, const Flips& flips);
// As torch.rot90(cube, quarters, {from, to}); axes 0, 1, 2 are z, y, x. The two sides must be equal, or the turn a
// half.
void quarter_turns(Cube cube, int64_t quarters, size_t from, size_t to);

// Models Genesis: up to three rounds while u < probability, each along an axis of three; two along one axis cancel. The
// release draws among (channel, x, y), so that one round in three changes nothing and z is never flipped.
Flips draw_flips(CounterRandom& random, double probability, bool released);

// Where the voxels of a moved cube lie: turned by `angle` (radians, about z, y, x, in voxels) and enlarged by `scale`
// about the middle, then flipped. Trilinear, the border repeated.
struct Affine {
  Flips flips = {};
  std::array<double, 3> angle = {};
  double scale = 1;
};
void move(Cube cube, const Affine& affine);

// `to` becomes the box start … start + length of `from`, in voxels, resized: trilinear, the border repeated.
void cut(Cube from, const std::array<double, 3>& start, const std::array<double, 3>& length, Cube to);

// --- Intensities -----------------------------------------------------------------------------------------------------

// A monotone map of [0, 1]: the cubic Bézier curve (X(s), Y(s)) from (0, 0) over (x1, y1) and (x2, y2) to (1, 1), as
// X(s) -> Y(s), or falling as X(s) -> Y(1 − s). Values outside are clamped, NaN stays NaN.
struct Bezier {
  double x1 = 0, y1 = 0, x2 = 1, y2 = 1;
  bool falling = false;

  static Bezier draw(CounterRandom& random);  // all four uniform in [0, 1], falling with probability ½
};
void map_intensities(Cube cube, const Bezier& curve);

// Gaussian of σ voxels along every axis, cut off at 4 σ, the border mirrored; σ = 0: nothing.
void blur(Cube cube, double sigma);

// --- Local structure -------------------------------------------------------------------------------------------------

// `windows` boxes of sides 1 … a tenth of the cube's, anywhere, are read from the cube as it was, their voxels
// permuted, and written: where boxes overlap the later one stays.
void shuffle(Cube cube, int64_t windows, CounterRandom& random);

// `least` boxes and up to `most`, each further one only while u < 0.95, of sides X/6 … X/3, are filled with U(0, 1) per
// voxel, or each with one constant. Returns the boxes.
std::vector<CubeBox> paint_in(Cube cube, int64_t least, int64_t most, CounterRandom& random, bool constant = false);
// All voxels become U(0, 1) but for one box and up to `most` − 1 further ones, each only while u < 0.95, of sides
// X − 4X/7 … X − 3X/7. Returns the boxes.
std::vector<CubeBox> paint_out(Cube cube, int64_t most, CounterRandom& random);

// Displacements along y and x alone: U(−1, 1) per voxel, smoothed by a Gaussian of σ voxels (cut off at 4 σ, zero
// outside) and multiplied by `amplitude`; linear, the border mirrored.
void elastic(Cube cube, double amplitude, double sigma, CounterRandom& random);

// Boxes of sides X/20 … X/4 − 1 (two voxels at least), cut at the border, until they hold a share u of the cube's
// voxels, u ~ U(0, most_share); what lies in two boxes counts twice.
std::vector<CubeBox> draw_cut_outs(const std::array<int64_t, 3>& sides, double most_share, CounterRandom& random);
// Normal numbers, mapped to [0, 1] by their least and largest in the box.
void fill_with_noise(Cube cube, const CubeBox& box, CounterRandom& random);

// --- Models Genesis' chain -------------------------------------------------------------------------------------------

struct GenesisChain {
  double flip = 0.4, shuffle = 0.5, bezier = 0.9, paint = 0.9, paint_in = 0.2;  // probabilities
  int64_t shuffle_windows = 10000;
  bool released_flips = false;

  // flip, shuffle, bezier, paint, paint_in, shuffle_windows, flips.
  static std::vector<Option> options();
  explicit GenesisChain(const Options& options);
  GenesisChain() = default;
  // Flips `clean`, copies it to `perturbed` and perturbs that: shuffled, mapped, painted. Throws bad_request where a
  // side is too short.
  void apply(Cube clean, Cube perturbed, CounterRandom& random) const;
};

}  // namespace ivory::nn
