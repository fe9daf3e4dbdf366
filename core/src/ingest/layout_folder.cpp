// Any folder: what is a volume, and what a label, is seen from names.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "ingest/companions.h"
#include "ingest/dicom_classes.h"
#include "ingest/format.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

// Files of volumes below a folder, and folders of DICOM series.
class Walk {
 public:
  Walk(const fs::path& root, bool series) : series_(series), guard_(root) { walk(root); }

  std::vector<fs::path> files;
  std::vector<std::string> no_images;  // DICOM files of other kinds: which
  std::vector<fs::path> dangling;      // links to nothing

 private:
  void walk(const fs::path& folder) {
    bool dicom = false;
    for (const auto& entry : entries(folder)) {
      if (fs::is_directory(entry)) {
        if (guard_.enters(entry)) walk(entry);
        continue;
      }
      const auto format = format_of(entry);
      if (!format && fs::is_symlink(entry) && !fs::exists(entry)) dangling.push_back(entry);
      if (!format || entry.extension() == ".img") continue;
      const std::string other = format == Format::dicom ? no_image_of_class(class_in_first_group(entry)) : "";
      if (!other.empty()) {
        no_images.push_back(other);
      } else if (format == Format::dicom && series_) {
        dicom = true;
      } else {
        files.push_back(entry);
      }
    }
    if (dicom) files.push_back(folder);
  }

  const bool series_;
  LinkGuard guard_;
};

std::string relative_name(const fs::path& image, const fs::path& root) {
  const std::string last = fs::is_directory(image) ? image.filename().string() : image_name(stem_of(image));
  const fs::path name = image.lexically_relative(root).parent_path() / last;
  return image == root ? root.filename().string() : name.generic_string();
}

void warn_of(const Walk& walk, const config::DataSpec& spec, std::vector<std::string>& warnings) {
  if (!walk.no_images.empty()) {
    const std::set<std::string> kinds(walk.no_images.begin(), walk.no_images.end());
    warnings.push_back(fmt::format("data set '{}': {} DICOM files hold no images and are passed over: {}", spec.name,
                                   walk.no_images.size(), fmt::join(kinds, ", ")));
  }
  if (!walk.dangling.empty()) {
    warnings.push_back(fmt::format("data set '{}': {} links lead nowhere, such as {}", spec.name, walk.dangling.size(),
                                   walk.dangling.front().string()));
  }
}

Sources list(const config::DataSpec& spec, std::vector<std::string>& warnings) {
  fs::path root = fs::path(spec.path).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  std::vector<fs::path> files = {root};
  if (fs::is_directory(root)) {
    const Walk walk(root, /*series=*/spec.modality != "xray");  // radiographs: every DICOM file is an image of its own
    files = walk.files;
    warn_of(walk, spec, warnings);
  } else {
    root = root.parent_path();
  }
  const bool one = files == std::vector{fs::path(spec.path).lexically_normal()} && !fs::is_directory(files[0]);
  const Companions found = one ? Companions{{}, files} : sort_companions(files, root, spec.name, warnings);
  Sources sources;
  for (const auto& image : found.images) {
    config::VolumeSource source;
    source.name = relative_name(image, root);
    source.image = image.string();
    if (const auto mask = found.masks.find(image); mask != found.masks.end()) source.label = mask->second.string();
    // Volumes of one sub-folder are taken to be one patient's, unless that folder is only called "images".
    const fs::path parent = image.parent_path();
    const bool own_folder = !fs::is_directory(image) && parent != root && parent.filename() != "images";
    source.patient = own_folder ? parent.lexically_relative(root).generic_string() : source.name;
    sources.push_back(source);
  }
  return sources;
}

}  // namespace

const Layout layout_folder = {.name = "folder", .list = list};

}  // namespace ivory::ingest
