// How samples are cropped and transformed.
#include "config/keys.h"

namespace ivory::config {
namespace {

const Range side = between(8, 4096);          // pixels
const Range blur_range = above_up_to(0, 10);  // pixels
const Range probability = between(0, 1);
constexpr auto changed = InIdentity::changed;

// What whole volumes and cubes have in common.
void transformation(Fields& v, VolumeViewSpec& s) {
  v("flip", s.flip, {.help = "probability per axis", .range = probability});
  v("rotation", s.rotation, {.help = "about each axis, uniform in ±", .range = between(0, 180), .unit = "degrees"});
  v("scale", s.scale, {.help = "relative, uniform in ±", .range = from_up_to_below(0, 1)});
  v("anisotropy", s.anisotropy, {.help = "probability of thicker slices", .range = probability});
  v("noise", s.noise, {.help = "probability of Gaussian noise", .range = probability});
  v("blur", s.blur, {.help = "probability of a Gaussian blur in the plane", .range = probability});
  v("bias_field", s.bias_field,
    {.help = "probability that voxels are multiplied by a smooth field, quadratic in z, y, x", .range = probability});
  v("gamma", s.gamma, {.help = "probability of an exponent on grey values in [0, 1]", .range = probability});
  v("anisotropy_factor", s.anisotropy_factor,
    {.help = "how much thicker slices become, uniform between them",
     .range = between(1, 16),
     .ascending = true,
     .identity = changed});
  v("blur_sigma", s.blur_sigma,
    {.help = "uniform between them",
     .range = blur_range,
     .unit = "pixels of the view",
     .ascending = true,
     .identity = changed});
  v("gamma_range", s.gamma_range,
    {.help = "the exponent, uniform between them", .range = between(0.5, 2), .ascending = true, .identity = changed});
  v("noise_deviation", s.noise_deviation,
    {.help = "largest standard deviation of the noise",
     .range = between(0, 1),
     .unit = "of the window",
     .identity = changed});
  v("bias_strength", s.bias_strength,
    {.help = "the field lies within 1 ± x, x uniform up to it", .range = from_up_to_below(0, 1), .identity = changed});
}

}  // namespace

void keys(Fields& v, CropSpec& s) {
  v("count", s.count, {.help = "crops of a slice", .range = at_least(1)});
  v("size", s.size, {.help = "side of a crop", .range = side, .unit = "pixels"});
  v.ends("scale", s.scale_min, s.scale_max,
         {.help = "smallest and largest share of the slice's area", .range = above_up_to(0, 1)});
  v("blur", s.blur,
    {.help = "probability of a Gaussian blur of these crops",
     .range = probability,
     .fallback = "the slice views'",
     .identity = changed,
     .written = Written::given});
  v("solarise", s.solarise,
    {.help = "probability that grey values from half the window on are inverted, x to 1 − x",
     .range = probability,
     .identity = changed,
     .written = Written::given});
}

void keys(Fields& v, SliceViewSpec& s) {
  v.tables("crops", s.crops, {.help = "see below", .fallback = "2 × 224 of (0.14, 1), 6 × 96 of (0.05, 0.14)"});
  v.expect(!s.crops.empty(), "crops", "a list of at least one crop");
  v("flip", s.flip, {.help = "probability of a horizontal flip", .range = probability});
  v("intensity", s.intensity,
    {.help = "strength s of a change of tone with probability 0.8: brightness and contrast × (1 ± 0.8 s), exponent "
             "e^(± `gamma` s); 0 switches it off",
     .range = at_least(0)});
  v("gamma", s.gamma,
    {.help = "of the change of tone; 0: brightness and contrast alone, as in recipes of natural images",
     .range = between(0, 1),
     .identity = changed});
  v("blur", s.blur, {.help = "probability of a Gaussian blur", .range = probability});
  v("blur_sigma", s.blur_sigma,
    {.help = "uniform between them",
     .range = blur_range,
     .unit = "pixels of the view",
     .ascending = true,
     .identity = changed});
}

void keys(Fields& v, VolumeViewSpec& s) {
  using Extent = VolumeViewSpec::Extent;
  v("count", s.count, {.help = "views of a volume", .range = at_least(1)});
  v.choice("extent", s.extent, {{"whole", Extent::whole}, {"cube", Extent::cube}},
           {.help = "`\"whole\"`: the volume resampled; `\"cube\"`: a random box of it", .identity = changed});
  const bool cube = s.extent == Extent::cube;
  const std::string of_cube = cube ? "" : "belongs to extent = \"cube\"";
  constexpr auto used = InIdentity::used;
  v("frames", s.size[0],
    {.help = "slices that a whole volume is resampled to",
     .range = at_least(1),
     .fallback = "the model's `frames`, else 64",
     .unused = cube ? "belongs to extent = \"whole\"" : "",
     .identity = used});
  if (cube) {
    v("size", s.size,
      {.help = "voxels along D, H, W",
       .range = between(1, 4096),
       .unit = "voxels",
       .needs = "the voxels of a cube, [D, H, W] or one number for all",
       .per_axis = true});
  } else {
    v("size", s.size[1],
      {.help = "side in the plane; of a cube the voxels along D, H, W, or one number for all (required, 1 … 4096)",
       .range = side,
       .unit = "pixels"});
    s.size[2] = s.size[1];
  }
  v("spacing", s.spacing,
    {.help = "of the cube's voxels along D, H, W",
     .range = above(0),
     .unit = "mm",
     .fallback = "the volume's own",
     .unused = of_cube,
     .per_axis = true,
     .identity = used,
     .written = Written::given});
  v("overlap", s.overlap,
    {.help = "least share of the first cube of a sample that each further one covers",
     .range = from_up_to_below(0, 1),
     .unused = of_cube,
     .identity = used});
  v.expect(s.overlap == 0 || s.count > 1, "overlap", "0 where a sample has one cube: it is between cubes");
  v("most_air", s.most_air,
    {.help = "a cube with a larger share of air is drawn again",
     .range = above_up_to(0, 1),
     .unused = of_cube,
     .identity = used});
  v("air_below", s.air_below,
    {.help = "a voxel below this value is air",
     .range = between(0, 1),
     .unit = "of the window",
     .unused = of_cube,
     .identity = used});
  v("pad", s.pad,
    {.help = "a volume smaller than the cube is padded and counted; else it is refused",
     .unused = of_cube,
     .identity = used});
  v("iou", s.iou,
    {.help = "least intersection over union of the first cube of a sample and each further one",
     .range = from_up_to_below(0, 1),
     .unused = of_cube,
     .identity = changed});
  v.expect(s.iou == 0 || s.count > 1, "iou", "0 where a sample has one cube: it is between cubes");
  v("most_tissue", s.most_tissue,
    {.help = "a cube with a larger share of dense voxels is drawn again; those before a dense slice count half (Models "
             "Genesis: 0.15)",
     .range = above_up_to(0, 1),
     .unused = of_cube,
     .identity = changed});
  v("tissue_from", s.tissue_from,
    {.help = "a voxel from this value on is dense",
     .range = between(0, 1),
     .unit = "of the window",
     .unused = of_cube,
     .identity = changed});
  v("border", s.border,
    {.help = "what cubes keep off on either side of a volume, along D, H, W; less where a volume is too small",
     .range = between(0, 4096),
     .unit = "voxels of the volume",
     .unused = of_cube,
     .per_axis = true,
     .identity = changed});
  v.tables("sources", s.sources,
           {.help = "sizes as one of which each cube is cut, then resized to `size`; see below",
            .fallback = "none: as `size`",
            .unused = of_cube,
            .identity = changed,
            .written = Written::given});
  v.expect(s.overlap == 0 || s.sources.empty(), "sources",
           "left out with overlap, which is between cubes of one size: use iou");
  transformation(v, s);
}

void keys(Fields& v, CubeSource& s) {
  v("size", s.size,
    {.help = "voxels along D, H, W at the cubes' spacing",
     .range = between(1, 4096),
     .unit = "voxels",
     .needs = "the voxels of a cube, [D, H, W] or one number for all",
     .per_axis = true});
}

}  // namespace ivory::config
