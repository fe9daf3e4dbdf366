#include <ivory/error.h>

#include <cstring>

#include "dicom_file.h"

namespace ivory::dicom {

void unpack_rle(const std::string& frame, size_t planes, size_t count, std::vector<uint8_t>& out) {
  constexpr size_t header = 64, most_planes = 15;
  IVORY_CHECK(frame.size() >= header, "its run lengths are cut off");
  const auto word = [&](size_t i) {
    uint32_t value = 0;
    std::memcpy(&value, &frame[4 * i], sizeof value);
    return size_t{value};
  };
  IVORY_CHECK(word(0) == planes && planes <= most_planes, "its run lengths have ", word(0), " planes, expected ",
              planes);
  for (size_t plane = 0; plane < planes; ++plane) {
    size_t at = word(1 + plane);
    const size_t end = plane + 1 < planes ? word(2 + plane) : frame.size(), wanted = (plane + 1) * count;
    IVORY_CHECK(at >= header && at <= end && end <= frame.size(), "its run lengths have planes beyond their end");
    while (out.size() < wanted && at < end) {
      const auto code = static_cast<int8_t>(frame[at++]);
      if (code == -128) continue;
      const size_t length = code >= 0 ? static_cast<size_t>(code) + 1 : static_cast<size_t>(1 - code);
      const size_t used = code >= 0 ? length : 1;
      IVORY_CHECK(used <= end - at && length <= wanted - out.size(), "its run lengths are damaged");
      if (code >= 0)
        out.insert(out.end(), frame.begin() + static_cast<std::ptrdiff_t>(at),
                   frame.begin() + static_cast<std::ptrdiff_t>(at + length));
      if (code < 0) out.insert(out.end(), length, static_cast<uint8_t>(frame[at]));
      at += used;
    }
    IVORY_CHECK(out.size() == wanted, "its run lengths end early, ", out.size() - plane * count, " of ", count,
                " values of a plane are there");
  }
}

}  // namespace ivory::dicom
