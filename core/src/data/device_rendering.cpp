#include "data/device_rendering.h"

#include <ivory/error.h>

#include "plugin/library.h"

namespace ivory::data {

void check_view_type(torch::ScalarType type) {
  IVORY_CHECK(type == torch::kFloat32 || type == torch::kBFloat16, "views of type ", c10::toString(type),
              ", expected float32 or bfloat16");
}

torch::Tensor host_bytes(int64_t count, torch::Device device) {
  return torch::empty({count}, torch::TensorOptions(torch::kUInt8).pinned_memory(device.is_cuda()));
}

ViewRoom::ViewRoom(int64_t values, const LoaderOptions& options)
    : out(torch::empty({values}, torch::TensorOptions(options.type).device(options.device))),
      scratch(torch::empty({2 * values}, torch::TensorOptions(torch::kFloat32).device(options.device))) {}

ViewTarget ViewRoom::target() const {
  return {
      .out = out.data_ptr(), .scratch = scratch.data_ptr<float>(), .bfloat16 = out.scalar_type() == torch::kBFloat16};
}

ViewKernels loop_kernels() {
  return {.slices =
              [](int, const SliceJob* jobs, int64_t count, const uint8_t* pixels, const ViewTarget& target) {
                for (int64_t i = 0; i < count; ++i) view_math::make_slice_view(LoopBlock{}, jobs[i], pixels, target);
              },
          .volumes =
              [](int, const VolumeJob* jobs, int64_t count, int64_t frames, const float* voxels, const float* normal,
                 const ViewTarget& target) {
                for (int64_t i = 0; i < count; ++i)
                  for (int64_t frame = 0; frame < frames; ++frame)
                    view_math::make_volume_frame(LoopBlock{}, jobs[i], frame, voxels, normal, target);
              }};
}

ViewKernels device_kernels() {
  using Kernels = ViewKernels;
  return {.slices = plugin::load_symbol<std::remove_pointer_t<decltype(Kernels::slices)>>("libivory_cuda.so",
                                                                                          "ivory_cuda_slice_views"),
          .volumes = plugin::load_symbol<std::remove_pointer_t<decltype(Kernels::volumes)>>("libivory_cuda.so",
                                                                                            "ivory_cuda_volume_views")};
}

}  // namespace ivory::data
