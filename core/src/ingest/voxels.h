#pragma once
// Values of a scan, whatever their type.

#include <ivory/error.h>
#include <ivory/torch.h>

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ivory::ingest {

// Calls f(std::span<const T>) with the values of a contiguous CPU tensor of any real type.
template <class F>
decltype(auto) with_values(const torch::Tensor& tensor, F&& f) {
  const auto values = [&]<class T>(T) {
    return std::span(static_cast<const T*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.numel()));
  };
  switch (tensor.scalar_type()) {
    case torch::kUInt8:
      return f(values(uint8_t()));
    case torch::kInt8:
      return f(values(int8_t()));
    case torch::kInt16:
      return f(values(int16_t()));
    case torch::kUInt16:
      return f(values(uint16_t()));
    case torch::kInt32:
      return f(values(int32_t()));
    case torch::kUInt32:
      return f(values(uint32_t()));
    case torch::kInt64:
      return f(values(int64_t()));
    case torch::kUInt64:
      return f(values(uint64_t()));
    case torch::kFloat32:
      return f(values(float()));
    case torch::kFloat64:
      return f(values(double()));
    default:
      throw run_failed("voxels of type ", tensor.scalar_type(), " are not handled");
  }
}

// A new tensor of the same shape with f(value) of every voxel.
template <class To, class F>
torch::Tensor mapped(const torch::Tensor& tensor, F&& f) {
  torch::Tensor out = torch::empty(tensor.sizes(), torch::CppTypeToScalarType<To>::value);
  To* to = static_cast<To*>(out.mutable_data_ptr());
  with_values(tensor, [&](auto values) {
    for (const auto value : values) *to++ = static_cast<To>(f(value));
  });
  return out;
}

// Axes [slices, rows, columns] in another order, optionally reversed; contiguous; any type.
torch::Tensor rearranged(const torch::Tensor& voxels, const std::array<int64_t, 3>& order,
                         const std::vector<int64_t>& reversed);

// Turns the bytes of every value round, in place.
void swap_bytes(torch::Tensor& voxels);

std::array<double, 2> extrema(const torch::Tensor& voxels);

// uint8, int16, uint16 and float32 stay; other integers become int16 or uint16 where they fit, else float32, as doubles
// do.
torch::Tensor narrowed(const torch::Tensor& voxels, std::vector<std::string>& notes);

// value · slope + intercept, with a note; whole numbers stay integers.
torch::Tensor rescaled(const torch::Tensor& voxels, double slope, double intercept, std::vector<std::string>& notes);

// int16 label ids: values within 1e-3 of a whole number are rounded, with one warning. Throws bad_request on any other,
// and on those that are not from 0 to 32767.
torch::Tensor label_ids(const torch::Tensor& voxels, const std::filesystem::path& file,
                        std::vector<std::string>& warnings);

// Throws bad_request when a voxel is NaN or infinite (their number and the first one's place) or when all are equal.
void check_values(const torch::Tensor& voxels, const std::filesystem::path& file);

// The number of different values of integers from 0 to 255, up to `most` + 1; nothing of other types and values.
std::optional<int64_t> few_values(const torch::Tensor& voxels, int64_t most);

// Intensities at two shares (0 … 1) of the sorted non-zero voxels; the extrema when those coincide.
std::array<double, 2> nonzero_quantiles(const torch::Tensor& voxels, double low, double high);

// "uint8", "int16", "uint16", "float32"
std::string type_text(const torch::Tensor& voxels);

}  // namespace ivory::ingest
