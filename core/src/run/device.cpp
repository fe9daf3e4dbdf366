#include "run/device.h"

#include <ivory/error.h>

#include <filesystem>

#include "plugin/library.h"

namespace ivory::experiment {
namespace {

int count_gpus(std::string& why) {
  if (!std::filesystem::exists("/dev/nvidiactl")) {
    why = "no NVIDIA device on this machine";
    return 0;
  }
  try {
    auto* count = plugin::load_symbol<int()>("libivory_cuda.so", "ivory_cuda_device_count");
    const int devices = count();
    if (devices == 0) why = "the CUDA driver reports no device";
    return devices;
  } catch (const Error& error) {
    why = error.what();
    return 0;
  }
}

}  // namespace

torch::Device choose_device(const std::string& wanted, int64_t number) {
  if (wanted == "cpu") return torch::kCPU;
  std::string why;
  if (const int gpus = count_gpus(why); gpus > 0) {
    IVORY_CHECK(number < gpus, "process ", number, " of this machine has no GPU: there are ", gpus,
                "; start as many processes");
    return torch::Device(torch::kCUDA, static_cast<torch::DeviceIndex>(number));
  }
  if (wanted == "cuda") throw bad_request("device = \"cuda\" was asked for, but ", why);
  return torch::kCPU;
}

}  // namespace ivory::experiment
