#pragma once
// Networks that bring their own decoder, as models with the parts "encoder" and "decoder".

#include <ivory/plugin.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ivory::nn {

// Dense features → one map per output, with the network's own layers.
class OutputHead : public torch::nn::Module {
 public:
  virtual torch::Tensor forward(const torch::Tensor& dense) = 0;  // [N, C, …] → [N, outputs, …]
};

// The decoding half of a network, with the parameter names of its reference.
class Decoder : public torch::nn::Module {
 public:
  virtual int64_t width() const = 0;  // channels of the dense features
  // The encoder's levels, shallow to deep, after the samples themselves where reads_samples() → [N, width(), …]
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& levels) = 0;
  virtual bool reads_samples() const { return false; }
  // What forward or the head gave, at the size of the samples: of decoders that work on smaller maps.
  virtual torch::Tensor enlarged(const torch::Tensor& x, at::IntArrayRef size) const;

  // The network's own head and its name.
  virtual std::string head_name() const = 0;
  virtual std::shared_ptr<OutputHead> head(int64_t outputs) const = 0;
};

// embed() gives the encoder's levels, after the samples themselves where the decoder reads those: .back() is the
// deepest.
class OwnDecoder : public Model {
 public:
  // `name` of the network, for messages.
  OwnDecoder(std::string name, std::shared_ptr<Backbone> encoder, std::shared_ptr<Decoder> decoder);

  int64_t width(SampleKind kind) const override;
  int64_t dense_width() const override { return decoder_->width(); }
  std::shared_ptr<Backbone> encoder(SampleKind kind) const override;
  Features embed(const torch::Tensor& samples) override;
  torch::Tensor decode(const Features& features) override;

  std::string head_name() const { return decoder_->head_name(); }
  std::shared_ptr<OutputHead> head(int64_t outputs) const { return decoder_->head(outputs); }
  // The whole network: [N, outputs, …] at the size of the samples.
  torch::Tensor logits(const Features& features, OutputHead& head);

 private:
  std::vector<int64_t> size_of_samples(const Features& features) const;

  std::string name_;
  std::shared_ptr<Backbone> encoder_;
  std::shared_ptr<Decoder> decoder_;
};

struct NetworkInfo {
  std::string name, summary, source;
  std::vector<Option> options;
  std::function<std::string(const Options&)> check = nullptr;
};

// Registers a network under its name twice: as a backbone, its encoder alone, and as a model with its own decoder. Both
// classes are made from the options.
template <class EncoderOf, class DecoderOf>
void add_network(Registrar& registrar, const NetworkInfo& about) {
  registrar.add(
      Descriptor<Backbone>{.name = about.name,
                           .summary = about.summary + " The encoder alone.",
                           .source = about.source,
                           .options = about.options,
                           .check = about.check,
                           .create = [](const Options& options, const Backbone::Context&) -> std::shared_ptr<Backbone> {
                             return std::make_shared<EncoderOf>(options);
                           }});
  registrar.add(Descriptor<Model>{
      .name = about.name,
      .summary = about.summary + " The encoder and its own decoder.",
      .source = about.source,
      .options = about.options,
      .check = about.check,
      .create = [name = about.name](const Options& options, const Model::Context&) -> std::shared_ptr<Model> {
        return std::make_shared<OwnDecoder>(name, std::make_shared<EncoderOf>(options),
                                            std::make_shared<DecoderOf>(options));
      }});
}

// A head of one convolution of one voxel, with bias, under this name ("final_conv", "conv.conv").
std::shared_ptr<OutputHead> pointwise_head(const std::string& name, int64_t width, int64_t outputs);

}  // namespace ivory::nn
