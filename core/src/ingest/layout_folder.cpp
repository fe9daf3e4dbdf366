// Any folder: what is a volume, and what a label, is seen from names.
#include <algorithm>
#include <map>

#include "ingest/format.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr std::array label_endings = {"_label", "-label", "_seg", "-seg", ".seg", "_mask", "-mask"};
constexpr std::array image_endings = {"_image", "-image"};

template <size_t count>
std::optional<std::string> without_ending(const std::string& stem, const std::array<const char*, count>& endings) {
  for (const std::string ending : endings) {
    if (stem.size() > ending.size() && stem.ends_with(ending)) return stem.substr(0, stem.size() - ending.size());
  }
  return std::nullopt;
}

std::string case_of(const std::string& stem) {
  return without_ending(stem, image_endings).value_or(stem);
}

// What was found below the root: images, and label files by the folder and case that they belong to.
struct Found {
  std::vector<fs::path> images;  // files, or folders of DICOM series
  std::map<std::pair<fs::path, std::string>, fs::path> labels;
};

void add_file(const fs::path& file, Found& found) {
  const std::string stem = stem_of(file);
  const fs::path folder = file.parent_path();
  if (folder.filename() == "labels") {
    for (const char* images : {"", "images"})
      found.labels[{(folder.parent_path() / images).lexically_normal(), case_of(stem)}] = file;
  } else {
    found.images.push_back(file);
  }
}

// A file named like another one plus "_seg" is that one's label, not a volume.
void separate_labels(Found& found) {
  std::map<std::pair<fs::path, std::string>, bool> known;
  for (const auto& image : found.images) known[{image.parent_path(), case_of(stem_of(image))}] = true;
  std::erase_if(found.images, [&](const fs::path& image) {
    const auto owner = without_ending(stem_of(image), label_endings);
    if (!owner || !known.contains({image.parent_path(), *owner})) return false;
    found.labels[{image.parent_path(), *owner}] = image;
    return true;
  });
}

void walk(const fs::path& folder, bool series, Found& found) {
  bool dicom = false;
  for (const auto& entry : entries(folder)) {
    if (fs::is_directory(entry) && !fs::is_symlink(entry)) walk(entry, series, found);
    const auto format = format_of(entry);
    if (!format || entry.extension() == ".img") continue;
    if (format == Format::dicom && series) {
      dicom = true;
    } else {
      add_file(entry, found);
    }
  }
  if (dicom) found.images.push_back(folder);
}

std::string relative_name(const fs::path& image, const fs::path& root) {
  const std::string last = fs::is_directory(image) ? image.filename().string() : case_of(stem_of(image));
  const fs::path name = image.lexically_relative(root).parent_path() / last;
  return image == root ? root.filename().string() : name.generic_string();
}

Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  fs::path root = fs::path(spec.path).lexically_normal();
  if (!root.has_filename()) root = root.parent_path();
  Found found;
  if (fs::is_directory(root)) {
    walk(root, /*series=*/spec.modality != "xray", found);  // radiographs: every DICOM file is an image of its own
  } else {
    found.images.push_back(root);
    root = root.parent_path();
  }
  separate_labels(found);
  Sources sources;
  for (const auto& image : found.images) {
    config::VolumeSource source;
    source.name = relative_name(image, root);
    source.image = image.string();
    const auto label = found.labels.find({image.parent_path(), case_of(stem_of(image))});
    if (label != found.labels.end()) source.label = label->second.string();
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
