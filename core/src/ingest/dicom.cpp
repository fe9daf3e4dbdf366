#include "ingest/dicom.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cstring>

#include "base/file_kind.h"
#include "ingest/dicom_classes.h"
#include "ingest/dicom_process.h"
#include "ingest/dicom_stack.h"
#include "ingest/format.h"
#include "ingest/geometry.h"
#include "ingest/layouts.h"
#include "ingest/pictures.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;
using Files = std::vector<DicomSource>;

torch::ScalarType type_of(DicomType type) {
  constexpr std::array types = {torch::kUInt8,  torch::kInt8,  torch::kUInt16,  torch::kInt16,
                                torch::kUInt32, torch::kInt32, torch::kFloat32, torch::kFloat64};
  return types.at(static_cast<size_t>(type));
}

void check_image(const DicomSource& source) {
  const DicomHeader& header = source.header;
  const std::string other = no_image_of_class(header.sop_class);
  IVORY_CHECK(other.empty(), source.file.string(), ": is ", other, ", not an image");
  IVORY_CHECK(header.has_pixels, source.file.string(), ": holds no image");
  IVORY_CHECK(std::min(header.rows, header.columns) > 0 && !header.frames.empty(), source.file.string(), ": has ",
              header.columns, " × ", header.rows, " pixels");
}

// The images of a folder, which have to be of one series.
Files images_in(const fs::path& folder) {
  Files sources;
  std::map<std::string, int64_t> series;
  for (const auto& file : entries(folder)) {
    if (format_of(file) != Format::dicom || !no_image_of_class(class_in_first_group(file)).empty()) continue;
    const std::string mistaken = base::mistaken_file(file);
    IVORY_CHECK(mistaken.empty(), file.string(), ": is ", mistaken);
    DicomSource source{file, dicom_process().header(file)};
    if (!source.header.has_pixels || !no_image_of_class(source.header.sop_class).empty()) continue;
    check_image(source);
    ++series[source.header.series];
    sources.push_back(std::move(source));
  }
  IVORY_CHECK(!sources.empty(), folder.string(), ": holds no DICOM images");
  std::string listed;
  for (const auto& [uid, files] : series)
    listed += fmt::format("{}{} ({} files)", listed.empty() ? "" : ", ", uid, files);
  IVORY_CHECK(series.size() == 1, folder.string(), ": holds ", series.size(),
              " DICOM series, expected one per folder: ", listed);
  return sources;
}

// Pixels of files: of those with several frames all at once.
class PixelReader {
 public:
  PixelReader(const Files& sources, Use use) : sources_(sources), use_(use) {}

  // [rows, columns], as stored. Notes go to the scan.
  torch::Tensor read(const DicomSlice& slice, Scan& scan) {
    const auto& [file, header] = sources_[slice.source];
    const auto known = kept_.find(slice.source);
    const torch::Tensor frames = known == kept_.end() ? read_file(file, header) : known->second;
    if (header.frames.size() > 1) kept_[slice.source] = frames;
    const auto at = static_cast<int64_t>(slice.frame);
    const torch::Tensor one = frames.narrow(0, at, 1);
    IVORY_CHECK(use_ != Use::labels || one.size(3) == 1, file.string(), ": holds colours, expected label ids");
    return single_channel(one, file, scan)[0];
  }

 private:
  torch::Tensor read_file(const fs::path& file, const DicomHeader& header) const {
    IVORY_CHECK(use_ != Use::labels || !header.is_lossy, file.string(),
                ": was compressed with losses, which changes label ids");
    torch::Tensor pixels;
    const auto room = [&](const DicomPixels& about) {
      const auto type = type_of(about.type);
      const auto count = static_cast<int64_t>(header.frames.size());
      const std::vector<int64_t> shape = {count, header.rows, header.columns, about.samples};
      const double bytes = static_cast<double>(c10::elementSize(type)) * static_cast<double>(count) *
                           static_cast<double>(header.rows) * static_cast<double>(header.columns) *
                           static_cast<double>(about.samples);
      IVORY_CHECK(about.samples >= 1 && about.samples <= 4 && bytes == static_cast<double>(about.bytes), file.string(),
                  ": the reader of DICOM answered nonsense");
      pixels = empty_pixels(file, shape, type, 0);
      return pixels.mutable_data_ptr();
    };
    dicom_process().pixels(file, use_ == Use::labels, room);
    return pixels;
  }

  const Files& sources_;
  const Use use_;
  std::map<size_t, torch::Tensor> kept_;
};

// What becomes of a slice's stored values.
struct Mapping {
  double slope = 1, intercept = 0;
  bool operator==(const Mapping&) const = default;
};

// High values are dark in MONOCHROME1: they are inverted over the stored bits, so that a value means the same in all
// files, then rescaled.
Mapping mapping_of(const DicomSlice& slice, const DicomHeader& header, Use use) {
  if (header.photometric != "MONOCHROME1" || use == Use::labels) return {slice.slope, slice.intercept};
  const double top = header.is_signed != 0 ? -1 : std::exp2(static_cast<double>(header.bits_stored)) - 1;
  return {-slice.slope, top * slice.slope + slice.intercept};
}

// Whole numbers stay integers, of the narrowest type that holds all values that so many bits can have.
torch::Tensor mapped_values(const torch::Tensor& stored, const Mapping& mapping, const DicomHeader& header) {
  const auto [slope, intercept] = mapping;
  if (mapping == Mapping{}) return stored;
  const bool whole = slope == std::round(slope) && intercept == std::round(intercept);
  if (whole && !stored.is_floating_point() && header.bits_stored <= 16) {
    const double bits = static_cast<double>(header.bits_stored);
    const double low = header.is_signed != 0 ? -std::exp2(bits - 1) : 0, high = low + std::exp2(bits) - 1;
    const double first = std::min(low * slope, high * slope) + intercept;
    const double last = std::max(low * slope, high * slope) + intercept;
    const auto as = [&]<class T>(T) -> std::optional<torch::Tensor> {
      if (first < std::numeric_limits<T>::min() || last > std::numeric_limits<T>::max()) return std::nullopt;
      const auto a = static_cast<int32_t>(slope), b = static_cast<int32_t>(intercept);
      return mapped<T>(stored, [=](auto value) { return static_cast<int32_t>(value) * a + b; });
    };
    if (auto small = as(int16_t())) return *small;
    if (auto small = as(uint16_t())) return *small;
    if (auto fits = as(int32_t())) return *fits;
  }
  return mapped<float>(stored, [=](auto value) { return static_cast<double>(value) * slope + intercept; });
}

// Slices of one type, which becomes wider when one of another comes.
class Volume {
 public:
  explicit Volume(int64_t slices) : slices_(slices) {}

  void put(int64_t at, const torch::Tensor& slice) {
    if (!voxels.defined()) voxels = torch::empty({slices_, slice.size(0), slice.size(1)}, slice.scalar_type());
    torch::Tensor one = slice.contiguous();
    if (one.scalar_type() != voxels.scalar_type()) {
      voxels = widened(voxels);
      one = widened(one);
    }
    IVORY_CHECK(one.nbytes() * static_cast<size_t>(slices_) == voxels.nbytes(), "slices of different sizes");
    std::memcpy(static_cast<char*>(voxels.mutable_data_ptr()) + static_cast<size_t>(at) * one.nbytes(),
                one.const_data_ptr(), one.nbytes());
  }
  bool holds(int64_t at, const torch::Tensor& slice) const {
    const torch::Tensor one = slice.contiguous(), there = voxels[at];
    return one.scalar_type() == there.scalar_type() &&
           std::memcmp(one.const_data_ptr(), there.const_data_ptr(), one.nbytes()) == 0;
  }
  torch::Tensor voxels;

 private:
  static torch::Tensor widened(const torch::Tensor& values) {
    return mapped<float>(values, [](auto value) { return static_cast<float>(value); });
  }
  int64_t slices_;
};

// Places along the normal: of slices at one position only the first is kept.
std::vector<int64_t> places_of(const std::vector<DicomSlice>& slices) {
  std::vector<int64_t> places;
  double last = 0;
  for (size_t i = 0; i < slices.size(); ++i) {
    const bool again = i > 0 && slices[i].position - last <= geometry_tolerance;
    if (!again) last = slices[i].position;
    places.push_back(i == 0 ? 0 : places.back() + (again ? 0 : 1));
  }
  return places;
}

class StackReader {
 public:
  StackReader(const Files& sources, const std::string& name, SamePlace same_place, Use use)
      : sources_(sources), name_(name), same_place_(same_place), use_(use), pixels_(sources, use) {}

  Series run() {
    DicomStack stack = stack_of(sources_, name_);
    Scan& scan = series_.scan;
    scan.warnings = stack.warnings;
    for (const auto& source : sources_) scan.files.push_back(source.file);
    read_voxels(stack);
    describe(stack);
    drop_copies(stack);
    IVORY_CHECK(stack.slices.size() > 1 || slices_ == 1, name_, ": all its slices lie at one position");
    scan.geometry = geometry_of(stack, sources_, name_, scan.warnings);
    return std::move(series_);
  }

 private:
  void read_voxels(const DicomStack& stack) {
    const auto& slices = stack.slices;
    slices_ = slices.size();
    places_ = places_of(slices);
    Volume volume(places_.back() + 1);
    int64_t different = 0;
    size_t kept = 0;  // the slice whose place it is
    for (size_t i = 0; i < slices.size(); ++i) {
      const auto& header = sources_[slices[i].source].header;
      Scan notes;
      const torch::Tensor stored = pixels_.read(slices[i], notes);
      const torch::Tensor values = mapped_values(stored, mapping_of(slices[i], header, use_), header);
      if (i == 0) series_.scan.notes = notes.notes;
      series_.slice[header.instance] = places_[i];
      if (i == 0 || places_[i] != places_[i - 1]) {
        volume.put(places_[i], values);
        kept = i;
      } else if (!volume.holds(places_[i], values)) {
        IVORY_CHECK(same_place_ == SamePlace::dropped, name_, ": ", name_of(slices[kept], sources_), " and ",
                    name_of(slices[i], sources_),
                    " lie at the same position and differ (several times, echoes or series in one?)");
        ++different;
      }
    }
    if (different > 0) {
      series_.scan.warnings.push_back(
          fmt::format("{}: {} slices lie at the position of another one and differ from it; "
                      "the first by file name is kept",
                      name_, different));
    }
    series_.scan.voxels = volume.voxels;
  }

  void drop_copies(DicomStack& stack) {
    std::vector<DicomSlice> kept;
    for (size_t i = 0; i < stack.slices.size(); ++i) {
      if (i == 0 || places_[i] != places_[i - 1]) kept.push_back(stack.slices[i]);
    }
    if (kept.size() < stack.slices.size()) {
      series_.scan.notes.push_back(
          fmt::format("{} slices at the position of another one dropped", stack.slices.size() - kept.size()));
    }
    stack.slices = std::move(kept);
  }

  // The modality, and notes of what was done to the values.
  void describe(const DicomStack& stack) {
    Scan& scan = series_.scan;
    const DicomSlice& first = stack.slices.front();
    const DicomHeader& header = sources_[first.source].header;
    if (header.modality == "CT") scan.modality = "ct";
    if (header.modality == "MR") scan.modality = "mr";
    if (header.modality == "CR" || header.modality == "DX" || header.modality == "DR") scan.modality = "xray";
    const bool alike = std::ranges::all_of(stack.slices, [&](const DicomSlice& slice) {
      return slice.slope == first.slope && slice.intercept == first.intercept;
    });
    if (!alike) scan.notes.emplace_back("rescaled slice by slice");
    if (alike && (first.slope != 1 || first.intercept != 0))
      scan.notes.push_back(fmt::format("rescaled: value × {:g} + {:g}", first.slope, first.intercept));
    if (header.photometric == "MONOCHROME1" && use_ != Use::labels)
      scan.notes.push_back(fmt::format("MONOCHROME1 inverted over {} bits", header.bits_stored));
    if (header.has_modality_lut)
      scan.warnings.push_back(name_ + ": the file's table of values (Modality LUT) is not applied");
  }

  const Files& sources_;
  const std::string& name_;
  const SamePlace same_place_;
  const Use use_;
  PixelReader pixels_;
  size_t slices_ = 0;
  std::vector<int64_t> places_;  // of each slice
  Series series_;
};

}  // namespace

std::string dicom_modality(const fs::path& file) {
  try {
    return dicom_process().header(file).modality;
  } catch (const Error& error) {
    if (error.code() != ExitCode::bad_request) throw;
    return "";  // damaged, or nothing that holds an image
  }
}

Scan read_dicom(const fs::path& file, Use use) {
  const Files sources = {{file, dicom_process().header(file)}};
  check_image(sources[0]);
  return StackReader(sources, file.string(), SamePlace::refused, use).run().scan;
}

Scan read_dicom_series(const fs::path& folder, Use use) {
  const Files sources = images_in(folder);
  return StackReader(sources, folder.string(), SamePlace::refused, use).run().scan;
}

Series read_series(const fs::path& folder, SamePlace same_place) {
  const Files sources = images_in(folder);
  return StackReader(sources, folder.string(), same_place, Use::image).run();
}

}  // namespace ivory::ingest
