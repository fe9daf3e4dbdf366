#include <fmt/format.h>
#include <ivory/error.h>

#include <new>

#include "base/text.h"
#include "data/sources.h"
#include "ingest/ingest.h"
#include "ingest/layouts.h"
#include "ingest/resample.h"
#include "ingest/volume.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

LabelledScan read_source(const config::VolumeSource& source, const config::DataSpec& spec) {
  if (spec.layout == "phantom") return make_phantom(spec.phantom, source);
  const Layout* known = find_layout(spec.layout);
  const Layout& layout = known ? *known : layout_folder;  // "list" takes files as they are
  if (layout.read) return layout.read(source, spec);
  Scan image = read_scan(source.image, Use::image, source.channel);
  std::optional<Scan> label;
  if (!source.label.empty()) label = read_scan(source.label, Use::labels);
  return combine(std::move(image), std::move(label), source, layout);
}

void resample_both(LabelledScan& scans, const config::DataSpec& spec) {
  const Grid grid = wanted_grid(scans.image, spec.spacing, spec.max_size);
  if (scans.labels.defined()) {
    Scan label{.voxels = scans.labels,
               .geometry = scans.image.geometry,
               .modality = "",
               .files = {},
               .also_read = {},
               .notes = {},
               .warnings = {}};
    resample(label, grid, Interpolation::nearest);
    scans.labels = label.voxels.contiguous();
  }
  resample(scans.image, grid, Interpolation::linear);
}

// Explicit, else air to dense bone for CT, else the bulk of what is not background.
std::array<double, 2> window_of(const Scan& scan, const std::string& modality, const config::DataSpec& spec,
                                std::vector<std::string>& notes) {
  if (spec.window[0] < spec.window[1]) {
    notes.emplace_back("window as configured");
    return spec.window;
  }
  if (modality == "ct") {
    notes.emplace_back("window of CT");
    return {-1000, 1000};
  }
  notes.emplace_back("window from the 0.5 to 99.5 percentiles of non-zero voxels");
  return nonzero_quantiles(scan.voxels, 0.005, 0.995);
}

// A mask that was taken for an image is not seen otherwise.
void warn_of_mask(const Scan& image, const config::VolumeSource& source, std::vector<std::string>& warnings) {
  constexpr int64_t of_masks = 16;
  const auto count = few_values(image.voxels, of_masks);
  if (!count || *count > of_masks) return;
  warnings.push_back(
      fmt::format("{}: holds only {} different values: is it a mask, not an image?", source.image, *count));
}

data::VolumeData to_volume(LabelledScan scans, const config::VolumeSource& source, const config::DataSpec& spec) {
  Scan& image = scans.image;
  data::VolumeData volume;
  auto& info = volume.info;
  info.name = source.name;
  info.patient = source.patient.empty() ? source.name : source.patient;
  info.modality = !source.modality.empty() ? source.modality : !spec.modality.empty() ? spec.modality : image.modality;
  info.source_file = source.image;
  if (!image.files.empty()) info.source_hash = data::hash_of_files(image.files);
  info.orientation = image.voxels.size(0) > 1 ? "LPS" : "planar";
  const Geometry& g = image.geometry;
  info.spacing = {g.spacing[2], g.spacing[1], g.spacing[0]};
  info.origin = g.origin;
  for (size_t i = 0; i < 3; ++i) {
    for (size_t axis = 0; axis < 3; ++axis) info.direction[i * 3 + axis] = g.direction[i * 3 + 2 - axis];
  }
  info.window = window_of(image, info.modality, spec, image.notes);
  info.dtype = type_text(image.voxels);
  info.slices = image.voxels.size(0);
  info.rows = image.voxels.size(1);
  info.columns = image.voxels.size(2);
  info.has_labels = scans.labels.defined();
  info.notes = base::joined(image.notes, "; ");
  volume.pixels = image.voxels.contiguous();
  volume.labels = scans.labels;
  return volume;
}

}  // namespace

ReadVolume read_with_warnings(const config::VolumeSource& source, const config::DataSpec& spec) {
  try {
    LabelledScan scans = read_source(source, spec);
    if (spec.layout != "phantom") warn_of_mask(scans.image, source, scans.image.warnings);
    resample_both(scans, spec);
    ReadVolume read;
    read.warnings = scans.image.warnings;
    read.files = scans.image.files;
    read.also_read = scans.image.also_read;
    for (const auto& file : read.files) read.bytes += static_cast<int64_t>(fs::file_size(file));
    read.volume = to_volume(std::move(scans), source, spec);
    return read;
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    throw bad_request(source.image, ": cannot be read: ", error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw bad_request(source.image, ": cannot be read: ", error.what());
  }
}

data::VolumeData read_volume(const config::VolumeSource& source, const config::DataSpec& spec) {
  return read_with_warnings(source, spec).volume;
}

}  // namespace ivory::ingest
