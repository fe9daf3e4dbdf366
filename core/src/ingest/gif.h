#pragma once
// The first picture of a GIF, as grey values: the masks of SCR are GIFs.

#include <ivory/torch.h>

#include <filesystem>

namespace ivory::ingest {

// uint8 [1, rows, columns]. Throws bad_request on what is damaged, truncated, or covers a part of its canvas only.
torch::Tensor read_gif(const std::filesystem::path& file);

}  // namespace ivory::ingest
