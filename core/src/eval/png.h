#pragma once
// Pictures of tasks on disk.

#include <ivory/torch.h>

#include <filesystem>

namespace ivory::eval {

// rgb: [3, H, W] uint8, any device and strides. Throws run_failed with libpng's reason; no partial file is left.
void write_png(const std::filesystem::path& file, const torch::Tensor& rgb);
// The bytes of such a file.
std::string encode_png(const torch::Tensor& rgb);

}  // namespace ivory::eval
