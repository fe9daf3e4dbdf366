#pragma once
// What training asks of the process and of the torch runtime.

#include <ivory/torch.h>

#include <cstdint>

namespace ivory::train {

double rss_mib();  // resident memory of this process

// Parameters with four or five dimensions get channels-last strides.
void to_channels_last(torch::nn::Module& module);
// A copy of the images on the device, channels-last when they have four dimensions and it is asked for (volumes have
// one channel: no matter).
torch::Tensor to_device(const torch::Tensor& images, torch::Device device, bool channels_last);

// bf16 autocast of the device's kind while it lives.
class Autocast {
 public:
  Autocast(torch::Device device, bool enabled);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool enabled_;
  bool before_ = false;
  at::ScalarType type_before_ = at::kFloat;
};

}  // namespace ivory::train
