#pragma once
// A model is a composition of networks, itself a plugin: "image-volume" (the joint model), "encoder",
// "encoder-decoder", and networks that bring their own decoder.

#include <ivory/backbone.h>
#include <ivory/error.h>
#include <ivory/views.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ivory {

class Model : public torch::nn::Module {
 public:
  struct Context {
    // A fresh network that [model] names for one of the descriptor's roles; null where it names none.
    std::function<std::shared_ptr<Backbone>(const std::string& role, const Backbone::Context& context)> backbone;
    std::array<int64_t, 3> size = {0, 0, 0};  // voxels of the largest input, D, H, W; 0: not known
  };

  // Width of embed().pooled; 0: the model takes no samples of this kind.
  virtual int64_t width(SampleKind kind) const = 0;
  // [B, 1, H, W] or [B, 1, D, H, W]. Throws bad_request where the model takes no samples of this kind.
  virtual Features embed(const torch::Tensor& samples) = 0;
  // The backbone of samples of this kind, for tasks that build on it; null where there is none.
  virtual std::shared_ptr<Backbone> encoder(SampleKind kind) const = 0;
  // Dense features of embed()'s result, [B, C, H, W] or [B, C, D, H, W] at the size of the samples. Throws bad_request
  // where the composition has no decoder; dense_width() is 0 then, else C.
  virtual torch::Tensor decode(const Features& features);
  virtual int64_t dense_width() const { return 0; }
  // The parts that embed() uses for samples of this kind: what an objective on them trains unless it says otherwise.
  virtual std::vector<std::string> parts_for(SampleKind) const { return parts(); }

  // Names of the parts (children). Weights files, freezing, parameter groups and tables go by part.
  std::vector<std::string> parts() const;
  // Throws bad_request naming the parts there are.
  std::shared_ptr<torch::nn::Module> part(const std::string& name) const;
};

// The kind of a batch of samples by its dimensions: 4 or 5. Throws bad_request on any other.
SampleKind kind_of(const torch::Tensor& samples);

// The model as M; throws bad_request "WHO needs the model 'NAME'" when it is another composition.
template <class M>
M& model_as(Model& model, const std::string& who) {
  auto* wanted = dynamic_cast<M*>(&model);
  IVORY_CHECK(wanted, who, " needs the model '", M::plugin_name, "', but [model] is another one");
  return *wanted;
}
template <class M>
const M& model_as(const Model* model, const std::string& who) {
  const auto* wanted = dynamic_cast<const M*>(model);
  IVORY_CHECK(wanted, who, " needs the model '", M::plugin_name, "', but [model] is another one");
  return *wanted;
}

}  // namespace ivory
