#include <fmt/format.h>
#include <itkMacro.h>
#include <ivory/error.h>

#include <new>

#include "base/hash.h"
#include "base/text.h"
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
  Scan image = read_scan(source.image, source.channel);
  std::optional<Scan> label;
  if (!source.label.empty()) label = read_scan(source.label);
  return combine(std::move(image), std::move(label), source, layout);
}

void resample_both(LabelledScan& scans, const config::DataSpec& spec) {
  const Grid grid = wanted_grid(scans.image, spec.spacing, spec.max_size);
  if (scans.labels.defined()) {
    Scan label{.voxels = scans.labels,
               .geometry = scans.image.geometry,
               .modality = "",
               .files = {},
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

data::VolumeData to_volume(LabelledScan scans, const config::VolumeSource& source, const config::DataSpec& spec) {
  Scan& image = scans.image;
  data::VolumeData volume;
  auto& info = volume.info;
  info.name = source.name;
  info.patient = source.patient.empty() ? source.name : source.patient;
  info.modality = !source.modality.empty() ? source.modality : !spec.modality.empty() ? spec.modality : image.modality;
  info.source_file = source.image;
  if (!image.files.empty()) info.source_hash = hash_of_files(image.files);
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

std::string hash_of_files(const std::vector<fs::path>& files) {
  base::Hasher hasher;
  std::vector<char> buffer(1 << 20);
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
      hasher.add({reinterpret_cast<const uint8_t*>(buffer.data()), static_cast<size_t>(in.gcount())});
    }
  }
  return hasher.hexadecimal();
}

ReadVolume read_with_warnings(const config::VolumeSource& source, const config::DataSpec& spec) {
  try {
    LabelledScan scans = read_source(source, spec);
    resample_both(scans, spec);
    ReadVolume read;
    read.warnings = scans.image.warnings;
    for (const auto& file : scans.image.files) read.bytes += static_cast<int64_t>(fs::file_size(file));
    read.volume = to_volume(std::move(scans), source, spec);
    return read;
  } catch (const Error&) {
    throw;
  } catch (const itk::ExceptionObject& error) {
    throw bad_request(source.image, ": cannot be read: ", error.GetDescription());
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
