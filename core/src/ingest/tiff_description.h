#pragma once
// What ImageJ and OME write about a stack into the description of a TIFF's first page.

#include <cstdint>
#include <string>

namespace ivory::ingest {

struct TiffDescription {
  std::string writer;                           // "ImageJ", "OME"; empty where nothing of either is there
  int64_t slices = 1, channels = 1, times = 1;  // images in all: their product
  double across = 0, down = 0, between = 0;     // mm; 0 where it is not said
  double unit = 0;                              // mm in the unit of the page's resolution, by ImageJ; 0: unknown
};

TiffDescription tiff_description(const std::string& text);

}  // namespace ivory::ingest
