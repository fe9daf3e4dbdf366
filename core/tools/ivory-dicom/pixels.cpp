// Pixels as their file stores them: raw ones and run lengths are unpacked here, the rest by GDCM's decoders.
#include <gdcmImageApplyLookupTable.h>
#include <gdcmPixmapReader.h>
#include <gdcmSequenceOfFragments.h>
#include <ivory/error.h>

#include <algorithm>
#include <cstring>

#include "dicom_file.h"

namespace ivory::dicom {
namespace {

using gdcm::Tag;
using ingest::DicomHeader;
using ingest::DicomPixels;
using ingest::DicomType;
using Bytes = std::vector<uint8_t>;

const Tag pixel_data(0x7FE0, 0x0010), float_pixels(0x7FE0, 0x0008), double_pixels(0x7FE0, 0x0009);

// How values lie in a buffer.
struct Layout {
  int64_t samples = 1, planar = 0, bits_allocated = 16, bits_stored = 16, high_bit = 15, is_signed = 0;
  std::string photometric;
};

Layout layout_of(const DicomHeader& h) {
  return {h.samples, h.planar, h.bits_allocated, h.bits_stored, h.high_bit, h.is_signed, h.photometric};
}

Bytes raw_bytes(const gdcm::DataSet& set, const Tag& tag) {
  const auto* value = set.GetDataElement(tag).GetByteValue();
  IVORY_CHECK(value, "its pixel data are empty");
  const auto* begin = reinterpret_cast<const uint8_t*>(value->GetPointer());
  return {begin, begin + value->GetLength()};
}

// Values of 16 bits and more arrive byte by byte in planes, each plane compressed by itself.
Bytes run_lengths(const gdcm::DataSet& set, const DicomHeader& header, Layout& layout) {
  const auto* fragments = set.GetDataElement(pixel_data).GetSequenceOfFragments();
  IVORY_CHECK(fragments, "its pixel data are not in pieces, as run lengths are");
  const auto count = static_cast<size_t>(header.rows * header.columns);
  const auto frames = fragments->GetNumberOfFragments();
  IVORY_CHECK(frames == header.frames.size(), "it has ", header.frames.size(), " frames and ", frames,
              " pieces of compressed pixel data");
  const size_t width = static_cast<size_t>(header.bits_allocated) / 8, samples = static_cast<size_t>(header.samples);
  IVORY_CHECK(width >= 1 && width <= 4, "its values of ", header.bits_allocated, " bits are not read of run lengths");
  Bytes out;
  for (size_t i = 0; i < frames; ++i) {
    const auto* value = fragments->GetFragment(static_cast<unsigned>(i)).GetByteValue();
    IVORY_CHECK(value, "piece ", i + 1, " of its compressed pixel data is empty");
    Bytes planes;
    unpack_rle({value->GetPointer(), value->GetLength()}, width * samples, count, planes);
    const size_t begin = out.size();
    out.resize(begin + planes.size());
    for (size_t sample = 0; sample < samples; ++sample) {
      for (size_t byte = 0; byte < width; ++byte) {
        const uint8_t* from = planes.data() + (sample * width + byte) * count;
        uint8_t* to = out.data() + begin + sample * width + (width - 1 - byte);
        for (size_t pixel = 0; pixel < count; ++pixel) to[pixel * samples * width] = from[pixel];
      }
    }
  }
  layout.planar = 0;
  return out;
}

// GDCM's decoders may know better than the header how many bits there are.
Bytes decoded(const std::filesystem::path& path, Layout& layout) {
  gdcm::PixmapReader reader;
  reader.SetFileName(path.c_str());
  IVORY_CHECK(reader.Read(), "its compressed pixels cannot be decoded");
  const gdcm::Pixmap& pixmap = reader.GetPixmap();
  Bytes out(pixmap.GetBufferLength());
  IVORY_CHECK(pixmap.GetBuffer(reinterpret_cast<char*>(out.data())), "its compressed pixels are damaged");
  const gdcm::PixelFormat& format = pixmap.GetPixelFormat();
  layout = {format.GetSamplesPerPixel(),
            pixmap.GetPlanarConfiguration(),
            format.GetBitsAllocated(),
            format.GetBitsStored(),
            format.GetHighBit(),
            format.GetPixelRepresentation(),
            gdcm::PhotometricInterpretation::GetPIString(pixmap.GetPhotometricInterpretation())};
  layout.photometric.erase(layout.photometric.find_last_not_of(' ') + 1);
  return out;
}

// Cuts values to their bits, and carries on the sign.
template <class T>
void cut(Bytes& bytes, const Layout& layout) {
  const int width = static_cast<int>(8 * sizeof(T)), stored = static_cast<int>(layout.bits_stored);
  const int above = width - 1 - static_cast<int>(layout.high_bit);
  IVORY_CHECK(stored >= 1 && above >= 0 && stored <= layout.high_bit + 1, "its values of ", layout.bits_allocated,
              " bits have their ", layout.bits_stored, " bits below bit ", layout.high_bit);
  if (stored == width) return;
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    std::make_unsigned_t<T> word;
    std::memcpy(&word, &bytes[at], sizeof word);
    word = static_cast<std::make_unsigned_t<T>>(word << above);
    const T value = static_cast<T>(static_cast<T>(word) >> (width - stored));  // of signed ones the sign comes along
    std::memcpy(&bytes[at], &value, sizeof value);
  }
}

DicomType cut_to_bits(Bytes& bytes, const Layout& layout) {
  switch (layout.bits_allocated * 2 + (layout.is_signed != 0 ? 1 : 0)) {
    case 16:
      cut<uint8_t>(bytes, layout);
      return DicomType::uint8;
    case 17:
      cut<int8_t>(bytes, layout);
      return DicomType::int8;
    case 32:
      cut<uint16_t>(bytes, layout);
      return DicomType::uint16;
    case 33:
      cut<int16_t>(bytes, layout);
      return DicomType::int16;
    case 64:
      cut<uint32_t>(bytes, layout);
      return DicomType::uint32;
    case 65:
      cut<int32_t>(bytes, layout);
      return DicomType::int32;
    default:
      throw bad_request("its values have ", layout.bits_allocated, " bits, which are not read");
  }
}

// One bit a pixel, the lowest first, becomes a byte.
Bytes spread_bits(const Bytes& bits, size_t count) {
  IVORY_CHECK(bits.size() * 8 >= count, "its pixel data are too short");
  Bytes out(count);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(bits[i / 8] >> (i % 8) & 1);
  return out;
}

// Of `step` values each `first`: picks every such sample of `width` bytes.
Bytes every(const Bytes& bytes, size_t width, size_t count, size_t step) {
  IVORY_CHECK(bytes.size() >= ((count - 1) * step + 1) * width, "its pixel data are too short");
  Bytes out(count * width);
  for (size_t i = 0; i < count; ++i) std::memcpy(&out[i * width], &bytes[i * step * width], width);
  return out;
}

// Colours of a pixel together, where each had a plane of its own.
Bytes together(const Bytes& planes, size_t width, size_t samples, size_t plane, size_t frames) {
  Bytes out(frames * plane * samples * width);
  IVORY_CHECK(planes.size() >= out.size(), "its pixel data are too short");
  for (size_t i = 0; i < frames * samples; ++i) {
    for (size_t pixel = 0; pixel < plane; ++pixel) {
      const size_t to = (i / samples * plane + pixel) * samples + i % samples;
      std::memcpy(&out[to * width], &planes[(i * plane + pixel) * width], width);
    }
  }
  return out;
}

// The luminance is all that is needed of colours that are stored as luminance and chrominance.
bool keep_luminance(Bytes& bytes, const Layout& layout, size_t width, size_t plane, size_t frames, bool packed) {
  const std::string& kind = layout.photometric;
  if (kind == "YBR_FULL_422" && packed) {  // two pixels share their chrominance: Y Y Cb Cr
    IVORY_CHECK(bytes.size() >= frames * plane * 2 * width, "its pixel data are too short");
    Bytes out(frames * plane * width);
    for (size_t i = 0; i < frames * plane; ++i)
      std::memcpy(&out[i * width], &bytes[(i / 2 * 4 + i % 2) * width], width);
    bytes = std::move(out);
    return true;
  }
  if (kind != "YBR_FULL" && kind != "YBR_FULL_422") return false;
  if (layout.planar == 0) {
    bytes = every(bytes, width, frames * plane, 3);
    return true;
  }
  Bytes out;
  for (size_t i = 0; i < frames; ++i) {
    const auto begin = static_cast<std::ptrdiff_t>(i * 3 * plane * width);
    IVORY_CHECK(bytes.size() >= static_cast<size_t>(begin) + plane * width, "its pixel data are too short");
    out.insert(out.end(), bytes.begin() + begin, bytes.begin() + begin + static_cast<std::ptrdiff_t>(plane * width));
  }
  bytes = std::move(out);
  return true;
}

// Red, green and blue of a palette: how many entries it has, and the first index.
struct Palette {
  int64_t first = 0;
  size_t width = 1;
  std::array<Bytes, 3> colours;
};

Palette palette_of(const gdcm::DataSet& set) {
  Palette palette;
  for (uint16_t colour = 0; colour < 3; ++colour) {
    const Tag descriptor(0x0028, static_cast<uint16_t>(0x1101 + colour)),
        data(0x0028, static_cast<uint16_t>(0x1201 + colour));
    IVORY_CHECK(set.FindDataElement(descriptor) && set.FindDataElement(data), "its palette is not one of three tables");
    const Bytes three = raw_bytes(set, descriptor), table = raw_bytes(set, data);
    IVORY_CHECK(three.size() >= 6, "its palette is damaged");
    std::array<uint16_t, 3> words;
    std::memcpy(words.data(), three.data(), 6);
    const size_t entries = words[0] == 0 ? 65536 : words[0];
    palette.first = words[1];
    palette.width = table.size() >= 2 * entries ? 2 : 1;
    IVORY_CHECK(table.size() >= entries * palette.width, "its palette is damaged");
    palette.colours[colour] =
        Bytes(table.begin(), table.begin() + static_cast<std::ptrdiff_t>(entries * palette.width));
  }
  return palette;
}

// Colours of indices, of 8 or 16 bits.
Bytes coloured(const Bytes& indices, DicomType type, const Palette& palette) {
  const size_t width = type == DicomType::uint8 ? 1 : 2;
  IVORY_CHECK(type == DicomType::uint8 || type == DicomType::uint16, "its indices of a palette have a sign");
  const auto last = static_cast<int64_t>(palette.colours[0].size() / palette.width) - 1;
  Bytes out;
  out.reserve(indices.size() / width * 3 * palette.width);
  for (size_t at = 0; at + width <= indices.size(); at += width) {
    uint16_t index = 0;
    std::memcpy(&index, &indices[at], width);
    const auto entry = static_cast<size_t>(std::clamp<int64_t>(index - palette.first, 0, last)) * palette.width;
    for (const auto& colour : palette.colours)
      out.insert(out.end(), colour.begin() + static_cast<std::ptrdiff_t>(entry),
                 colour.begin() + static_cast<std::ptrdiff_t>(entry + palette.width));
  }
  return out;
}

class Conversion {
 public:
  Conversion(const gdcm::DataSet& set, const DicomHeader& header, DicomPixels& about)
      : set_(set), about_(about), frames_(header.frames.size()) {
    plane_ = static_cast<size_t>(header.rows * header.columns);
  }

  Bytes run(Bytes bytes, const Layout& layout, bool native, bool labels) {
    const auto samples = static_cast<size_t>(layout.samples), count = frames_ * plane_;
    IVORY_CHECK(samples == 1 || samples == 3 || samples == 4, "it has ", samples, " values per pixel");
    if (layout.bits_allocated == 1 && samples == 1) {
      about_.type = DicomType::uint8;
      return spread_bits(bytes, count);
    }
    const size_t width = static_cast<size_t>(layout.bits_allocated) / 8;
    about_.samples = layout.samples;
    if (samples == 3 && keep_luminance(bytes, layout, width, plane_, frames_, native)) {
      about_.notes.emplace_back("luminance of the colours");
      about_.samples = 1;
    } else if (samples > 1 && layout.planar == 1) {
      bytes = together(bytes, width, samples, plane_, frames_);
    }
    about_.type = cut_to_bits(bytes, layout);
    const size_t wanted = count * static_cast<size_t>(about_.samples) * width;
    IVORY_CHECK(bytes.size() >= wanted, "its pixel data are too short");
    bytes.resize(wanted);
    if (layout.photometric != "PALETTE COLOR" || labels) return bytes;
    const Palette palette = palette_of(set_);
    bytes = coloured(bytes, about_.type, palette);
    about_.samples = 3;
    about_.type = palette.width == 2 ? DicomType::uint16 : DicomType::uint8;
    return bytes;
  }

 private:
  const gdcm::DataSet& set_;
  DicomPixels& about_;
  size_t frames_, plane_ = 0;
};

// GDCM turns round the words of big-endian files, but values of 32 bits are made of two.
void swap_halves(Bytes& bytes) {
  for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    std::swap(bytes[at], bytes[at + 2]);
    std::swap(bytes[at + 1], bytes[at + 3]);
  }
}

bool is_raw(const std::string& syntax) {
  return syntax == "1.2.840.10008.1.2" || syntax.starts_with("1.2.840.10008.1.2.1") ||
         syntax == "1.2.840.10008.1.2.2" || syntax == "1.2.840.113619.5.2" || syntax.empty();
}

}  // namespace

std::vector<uint8_t> DicomFile::pixels(DicomPixels& about, bool labels) const {
  const gdcm::DataSet& set = reader_.GetFile().GetDataSet();
  const DicomHeader described = header();
  try {
    for (const auto& [tag, type] : {std::pair(float_pixels, DicomType::float32), {double_pixels, DicomType::float64}}) {
      if (!set.FindDataElement(tag)) continue;
      about.type = type;
      return raw_bytes(set, tag);
    }
    Layout layout = layout_of(described);
    const bool raw = is_raw(described.syntax);
    Bytes bytes = raw                                         ? raw_bytes(set, pixel_data)
                  : described.syntax == "1.2.840.10008.1.2.5" ? run_lengths(set, described, layout)
                                                              : decoded(path_, layout);
    if (described.syntax == "1.2.840.10008.1.2.2" && layout.bits_allocated == 32) swap_halves(bytes);
    return Conversion(set, described, about).run(std::move(bytes), layout, raw, labels);
  } catch (const Error& error) {
    throw bad_request(path_.string(), ": ", error.what());
  }
}

}  // namespace ivory::dicom
