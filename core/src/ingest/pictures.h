#pragma once
// Pictures, read by the libraries of their formats. All throw bad_request with one sentence.

#include "ingest/scan.h"

namespace ivory::ingest {

Scan read_png(const std::filesystem::path& file, Use use);
Scan read_jpeg(const std::filesystem::path& file, Use use);
Scan read_tiff(const std::filesystem::path& file, Use use);  // several pages are the slices of a volume

// Memory for pixels of that file, if it can hold so many; `stored` is check_announced_size's.
torch::Tensor empty_pixels(const std::filesystem::path& file, torch::IntArrayRef shape, torch::ScalarType type,
                           std::optional<double> stored = {});

// [slices, rows, columns] of [slices, rows, columns, channels]: colours become grey (0.299 R + 0.587 G + 0.114 B),
// alpha is dropped; the scan notes it. Of several slices channels may be layers of segments, unless they are `colours`.
torch::Tensor single_channel(const torch::Tensor& pixels, const std::filesystem::path& file, Scan& scan,
                             bool colours = false);

// Throws bad_request: a mask whose colours would have to become ids.
[[noreturn]] void refuse_colours(const std::filesystem::path& file);

// The scan of such pixels, of 1 mm: dots per inch say how a picture is printed. One slice is a radiograph.
Scan picture(const std::filesystem::path& file, const torch::Tensor& pixels);

}  // namespace ivory::ingest
