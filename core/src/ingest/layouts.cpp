#include "ingest/layouts.h"

#include <ivory/error.h>

#include <algorithm>
#include <charconv>

#include "ingest/format.h"
#include "ingest/geometry.h"
#include "ingest/voxels.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr std::array layouts = {
    &layout_folder,   &layout_msd,       &layout_nnunet,  &layout_lits,      &layout_brats, &layout_brats_flair,
    &layout_mmwhs_ct, &layout_mmwhs_mri, &layout_tcia_ct, &layout_ribfrac,   &layout_luna,  &layout_luna_candidates,
    &layout_lidc,     &layout_mots,      &layout_nih,     &layout_nih_boxes, &layout_vindr, &layout_jsrt};

void collect(const fs::path& folder, LinkGuard& guard, std::vector<fs::path>& files) {
  for (const auto& entry : entries(folder)) {
    if (fs::is_directory(entry)) {
      if (guard.enters(entry)) collect(entry, guard, files);
    } else {
      files.push_back(entry);
    }
  }
}

}  // namespace

const Layout* find_layout(const std::string& name) {
  const auto found = std::ranges::find_if(layouts, [&](const Layout* layout) { return layout->name == name; });
  return found == layouts.end() ? nullptr : *found;
}

LabelledScan combine(Scan image, std::optional<Scan> label, const config::VolumeSource& source, const Layout& layout) {
  image.voxels = narrowed(image.voxels, image.notes);
  check_values(image.voxels, source.image);
  if (label && layout.labels_on_image_grid) label->geometry = image.geometry;
  reorient(image);
  if (!label) return {std::move(image), {}};
  label->voxels = label_ids(label->voxels, source.label, label->warnings);
  if (layout.map_labels) label->voxels = layout.map_labels(label->voxels, source, image);
  reorient(*label);
  place_on_grid(image, *label);
  check_same_grid(image, source.image, *label, source.label);
  image.files.insert(image.files.end(), label->files.begin(), label->files.end());
  image.warnings.insert(image.warnings.end(), label->warnings.begin(), label->warnings.end());
  return {std::move(image), std::move(label->voxels)};
}

bool is_hidden(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with('.') || name.starts_with('_');
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!is_hidden(entry.path())) found.push_back(entry.path());
  }
  std::ranges::sort(found);
  return found;
}

std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  LinkGuard guard(folder);
  collect(folder, guard, files);
  return files;
}

LinkGuard::LinkGuard(const fs::path& root) {
  std::error_code ignored;
  root_ = fs::weakly_canonical(root, ignored);
  walked_.insert(root_);
}

bool LinkGuard::enters(const fs::path& folder) {
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(folder, ignored);
  const bool inside = fs::is_symlink(folder) && !real.lexically_relative(root_).string().starts_with("..");
  return !inside && walked_.insert(real).second;
}

std::vector<NamedFile> nifti_below(const fs::path& folder) {
  std::vector<NamedFile> found;
  for (const auto& file : files_below(folder)) {
    const std::string name = file.filename().string();
    if (name.ends_with(".nii") || name.ends_with(".nii.gz")) found.push_back({stem_of(file), file});
  }
  return found;
}

std::optional<int64_t> number_after(const std::string& text, const std::string& prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + prefix.size(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

void throw_missing(const config::DataSpec& spec, const std::string& what) {
  throw missing_data("data set '", spec.name, "': ", what, " is missing", spec.hint.empty() ? "" : "; " + spec.hint);
}

}  // namespace ivory::ingest
