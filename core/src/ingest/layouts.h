#pragma once
// The layouts that a folder can have, one .cpp each; what `ivory data describe` says of them is config/layouts.h's.

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/experiment.h"
#include "ingest/phantom.h"
#include "ingest/scan.h"

namespace ivory::ingest {

using Sources = std::vector<config::VolumeSource>;

struct Layout {
  const char* name;
  // In any order. `image` and `label` of a source are files unless `read` makes something else of them.
  Sources (*list)(const config::DataSpec& spec, std::vector<std::string>& warnings);
  // Optional: label ids of a file, int16 [slices, rows, columns] → the data set's.
  torch::Tensor (*map_labels)(const torch::Tensor& ids, const config::VolumeSource& source, Scan& image) = nullptr;
  // Headers of label files are not to be trusted: voxel (i, j, k) of the mask is that of the image.
  bool labels_on_image_grid = false;
  // Optional: takes the place of reading `image` and `label`. Canonical order, checked, as combine() leaves them.
  LabelledScan (*read)(const config::VolumeSource& source, const config::DataSpec& spec) = nullptr;
  // Volumes that share a file of the cache, where there are hundreds of thousands of small ones.
  int64_t shard_volumes = 1;
  // A shard's volumes come from one file: its cubes are cut one after the other.
  bool shard_of_one_file = false;
};

// Null for "list" and "phantom", which have no folder.
const Layout* find_layout(const std::string& name);

extern const Layout layout_folder, layout_msd, layout_nnunet;
extern const Layout layout_lits, layout_brats, layout_brats_flair, layout_mmwhs_ct, layout_mmwhs_mri, layout_tcia_ct;
extern const Layout layout_ribfrac, layout_luna, layout_luna_candidates, layout_lidc, layout_mots;
extern const Layout layout_nih, layout_nih_boxes, layout_vindr, layout_jsrt;

// What the layouts share ---------------------------------------------------------------------------------------------

// An image, and labels in the axes of their file, in canonical order; checks values, ids and that the grids agree.
LabelledScan combine(Scan image, std::optional<Scan> label, const config::VolumeSource& source, const Layout& layout);

// Names that start with '.' or '_' belong to archives and editors, not to the data.
bool is_hidden(const std::filesystem::path& path);
// Entries of a folder that are not hidden, sorted by name.
std::vector<std::filesystem::path> entries(const std::filesystem::path& folder);
// Files at any depth, none hidden or in a hidden folder, sorted.
std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder);
// Which folders a walk below `root` goes into: links are followed, unless they lead to a folder that was walked
// already, or lies below the root and will be.
class LinkGuard {
 public:
  explicit LinkGuard(const std::filesystem::path& root);
  bool enters(const std::filesystem::path& folder);

 private:
  std::filesystem::path root_;
  std::set<std::filesystem::path> walked_;
};
// Volumes among them: NIfTI by name (.nii, .nii.gz), with their stems.
struct NamedFile {
  std::string stem;
  std::filesystem::path file;
};
std::vector<NamedFile> nifti_below(const std::filesystem::path& folder);

// The number in "volume-12" after "volume-"; empty when the rest is no number.
std::optional<int64_t> number_after(const std::string& text, const std::string& prefix);

// Throws missing_data: "data set 'x': WHAT is missing", with the hint of the data set.
[[noreturn]] void throw_missing(const config::DataSpec& spec, const std::string& what);

}  // namespace ivory::ingest
