#include <ivory/image_volume.h>
#include <ivory/nn/clustering_objective.h>
#include <ivory/nn/token_start.h>
#include <ivory/nn/view_embedding.h>

#include <algorithm>

namespace ivory::nn {

std::vector<Option> cluster_embedding_options(const std::string& assignment_help) {
  auto options = projection_head_options();
  options.push_back(
      {.name = "assignment_crops", .fallback = int64_t{2}, .help = assignment_help, .minimum = 1, .source = "Eq. 3"});
  options.push_back({.name = "head",
                     .fallback = std::string("auto"),
                     .help = "Projection head on the pooled feature. auto: mlp, but none on volumes with the model "
                             "'image-volume', whose holistic feature lies on the prototypes as it is.",
                     .choices = {"auto", "mlp", "none"},
                     .source = "Eq. 11-12",
                     .added_later = true});
  options.push_back(standardise_tokens_option());
  options.back().added_later = true;
  return options;
}

bool has_projection_head(const Options& options, SampleKind on, bool image_volume) {
  const auto head = options.get<std::string>("head");
  return head == "auto" ? on == SampleKind::slice || !image_volume : head == "mlp";
}

ClusterEmbedding::ClusterEmbedding(const char* name, const Options& options, const Context& context)
    : name_(name), assignment_views_(options.get<int64_t>("assignment_crops")) {
  const bool joint = dynamic_cast<const ImageVolumeModel*>(context.model) != nullptr;
  const bool volumes = context.on == SampleKind::volume;
  IVORY_CHECK(context.views == 0 || assignment_views_ <= context.views, "assignment_crops = ", assignment_views_,
              " is more than the ", context.views, volumes ? " views of a volume" : " crops",
              " that the stage's views have");
  if (has_projection_head(options, context.on, joint)) {
    head = register_module("head", projection_head(context.width, options));
    embedding_width_ = options.get<int64_t>("embedding_width");
  } else {
    embedding_width_ = context.width;
    unit_pooled_ = joint && volumes;
  }
  if (options.get<bool>("standardise_tokens")) {
    IVORY_CHECK(joint && volumes, name, ": standardise_tokens is for volumes with the model 'image-volume'");
    tokens_standardised = register_buffer("tokens_standardised", torch::zeros({}, torch::kBool));
  }
}

std::string ClusterEmbedding::term() const {
  std::string term = name_;
  std::replace(term.begin(), term.end(), '-', '_');
  return term;
}

void ClusterEmbedding::before_training(Model& model, const StageContext& stage) {
  if (!tokens_standardised.defined() || tokens_standardised.item<bool>()) return;
  standardise_tokens(model_as<ImageVolumeModel>(model, name_ + ": standardise_tokens"), stage);
  tokens_standardised.fill_(true);
}

torch::Tensor ClusterEmbedding::embed(Model& model, const std::vector<torch::Tensor>& views) {
  if (head) return embed_views(model, head, views);
  const auto pooled = pooled_views(model, views);
  if (unit_pooled_) return pooled;
  const auto precise = pooled.to(torch::promoteTypes(torch::kFloat, pooled.scalar_type()));
  return torch::nn::functional::normalize(precise, torch::nn::functional::NormalizeFuncOptions().dim(1));
}

}  // namespace ivory::nn
