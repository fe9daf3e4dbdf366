// The joint model of images and volumes (Nguyen et al., AAAI 2023, Eq. 1–10): f_intra, the projection of its levels to
// tokens, f_inter. Its parts are "intra", "projection" and "inter"; the class is core's, because tasks and objectives
// of this method ask for it.
#include <ivory/image_volume.h>
#include <ivory/plugin.h>

namespace {

using namespace ivory;

std::shared_ptr<Model> image_volume(const Options& options, const Model::Context& context) {
  const auto token_width = options.get<int64_t>("token_width"), frames = options.get<int64_t>("frames");
  const auto levels = options.get<std::string>("levels") == "all" ? LevelUse::all : LevelUse::last;
  const auto intra = context.backbone("slice_backbone", {.size = {1, context.size[1], context.size[2]}});
  const auto inter = context.backbone("volume_backbone", {.size = {frames, 0, 0}, .token_width = token_width});
  return std::make_shared<ImageVolumeModel>(intra, inter, levels, token_width, frames);
}

}  // namespace

IVORY_PLUGIN(registrar) {
  registrar.add(Descriptor<Model>{
      .name = ImageVolumeModel::plugin_name,
      .summary = "The joint model: a backbone of slices, a projection to tokens, a backbone of a volume's tokens.",
      .source = "Nguyen et al., Joint Self-Supervised Image-Volume Representation Learning, AAAI 2023",
      .options =
          {{.name = "levels",
            .fallback = std::string("all"),
            .help = "Levels of f_intra that make a slice's token: 'all' of its token levels and the pooled feature, or "
                    "the pooled feature alone ('last').",
            .choices = {"all", "last"},
            .source = "Table 6"},
           {.name = "token_width", .fallback = int64_t{640}, .help = "Width of a token, D.", .minimum = 1},
           {.name = "frames", .fallback = int64_t{64}, .help = "Slices of a volume, F.", .minimum = 1}},
      .roles = {{.name = "slice_backbone", .inputs = {Input::image}, .help = "f_intra: a slice -> features."},
                {.name = "volume_backbone",
                 .inputs = {Input::tokens},
                 .required = false,
                 .help = "f_inter: tokens -> tokens and holistic feature; objectives on volumes need it."}},
      .create = image_volume});
}
