#include "ingest/companions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "ingest/format.h"
#include "ingest/text_header.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr std::array words = {"label",       "labels",  "labelmap", "mask",         "masks",         "seg",
                              "segs",        "segm",    "dseg",     "segmentation", "segmentations", "gt",
                              "groundtruth", "roi",     "rois",     "lesion",       "lesions",       "annotation",
                              "annotations", "contour", "contours", "manual",       "truth"};
constexpr std::array folder_words = {"labels",       "label",       "masks",       "mask", "segmentations",
                                     "segmentation", "annotations", "groundtruth", "gt"};
constexpr std::array image_words = {"image", "img", "im", "volume", "vol", "scan", "case", "ct", "mr", "mri", "pet"};
constexpr std::string_view separators = "_-. ";

bool is_word(const std::string& token) {
  return std::ranges::find(words, lower(token)) != words.end();
}

// Entities of BIDS that stand before a mask's word: "label-lesion", "desc-brain", "space-orig".
bool is_entity(const std::string& token) {
  const std::string text = lower(token);
  return text.starts_with("label-") || text.starts_with("desc-") || text.starts_with("space-") ||
         text.starts_with("res-");
}

// A name without a word that it begins with: "001" of "mask_001" and of "mask001".
template <class Words>
std::optional<std::string> without_beginning(const std::string& stem, const Words& known) {
  const std::string small = lower(stem);
  for (const std::string word : known) {
    if (stem.size() <= word.size() || !small.starts_with(word)) continue;
    const char next = stem[word.size()];
    if (separators.find(next) != std::string_view::npos) return stem.substr(word.size() + 1);
    if (stem.find_first_not_of("0123456789", word.size()) == std::string::npos) return stem.substr(word.size());
  }
  return std::nullopt;
}

// The part before the last token, and the token.
std::pair<std::string, std::string> split_last(const std::string& stem, std::string_view at_any = separators) {
  const size_t at = stem.find_last_of(at_any);
  return at == std::string::npos ? std::pair(std::string(), stem) : std::pair(stem.substr(0, at), stem.substr(at + 1));
}

bool is_hidden_below(const fs::path& file, const fs::path& root, std::string& suffix) {
  const fs::path folder = file.parent_path();
  if (folder == root) return false;
  const auto found = mask_folder(folder.filename().string());
  if (found) suffix = *found;
  return found.has_value();
}

std::string stem_of_image(const fs::path& image) {
  return image_name(fs::is_directory(image) ? image.filename().string() : stem_of(image));
}

// Whether a mask called `rest` but for its words belongs to an image: "001" to "image_001", too.
bool is_of(const std::string& image, const std::string& rest) {
  return image == rest || without_beginning(image, image_words) == rest;
}

class Sorting {
 public:
  Sorting(const fs::path& root, const std::string& data_set, std::vector<std::string>& warnings)
      : root_(root), data_set_(data_set), warnings_(warnings) {}

  Companions run(const std::vector<fs::path>& files) {
    for (const auto& file : files) {
      std::string suffix;
      if (!fs::is_directory(file) && is_hidden_below(file, root_, suffix)) {
        in_folders_.emplace_back(file, suffix);
      } else if (!fs::is_directory(file) && mask_name(stem_of(file)).is_mask) {
        named_.push_back(file);
      } else {
        add_image(file);
      }
    }
    take_lone_names();
    for (const auto& mask : named_) give(mask, owners_by_name(mask));
    for (const auto& [mask, suffix] : in_folders_) give(mask, owners_beside(mask, suffix));
    warn(without_, "are masks whose image is not found, and are left out");
    warn(doubtful_, "are masks that several images could own, and are left out; list them (layout = \"list\")");
    warn(second_, "are second masks of an image, and are left out");
    warn(lone_, "are named like masks, but no image belongs to them: they are taken as images");
    return std::move(found_);
  }

 private:
  void add_image(const fs::path& image) {
    found_.images.push_back(image);
    by_folder_[image.parent_path()].push_back(image);
    if (fs::is_directory(image)) by_folder_[image].push_back(image);  // a series, with a mask among its slices
  }

  // A name that ends like a mask's where nothing is called like the rest: "scan_seg" alone is an image.
  void take_lone_names() {
    std::vector<fs::path> masks;
    std::vector<fs::path> lone;
    for (const auto& file : named_) {
      const MaskName name = mask_name(stem_of(file));
      const bool alone = !name.rest.empty() && !name.rest.starts_with("sub-") && owners_by_name(file).empty();
      (alone ? lone : masks).push_back(file);
    }
    for (const auto& file : lone) add_image(file);
    named_ = std::move(masks);
    lone_ = std::move(lone);
  }

  std::vector<fs::path> owners_by_name(const fs::path& mask) const {
    const std::string rest = mask_name(stem_of(mask)).rest;
    const auto beside = by_folder_.find(mask.parent_path());
    std::vector<fs::path> exact, near;
    if (beside != by_folder_.end()) {
      for (const auto& image : beside->second) {
        const std::string name = stem_of_image(image);
        if (is_of(name, rest)) exact.push_back(image);
        if (rest.empty() || split_last(name).first == rest) near.push_back(image);
      }
    }
    if (!exact.empty() || !near.empty() || !rest.starts_with("sub-")) return exact.empty() ? near : exact;
    for (const auto& image : found_.images) {  // of BIDS, derivatives lie in a tree of their own
      if (split_last(stem_of_image(image)).first == rest) near.push_back(image);
    }
    return near;
  }

  // Images above a folder of masks, or in the folder of images beside it, by names without words of masks.
  std::vector<fs::path> owners_beside(const fs::path& mask, const std::string& suffix) const {
    const fs::path above = mask.parent_path().parent_path();
    const MaskName name = mask_name(stem_of(mask));
    std::vector<fs::path> owners;
    for (const std::string& folder :
         {std::string(), "images" + suffix, "image" + suffix, "imgs" + suffix, "img" + suffix}) {
      const auto there = by_folder_.find(folder.empty() ? above : above / folder);
      if (there == by_folder_.end()) continue;
      for (const auto& image : there->second) {
        const std::string stem = stem_of_image(image);
        if (stem == image_name(stem_of(mask)) || (name.is_mask && is_of(stem, name.rest))) owners.push_back(image);
      }
    }
    return owners;
  }

  void give(const fs::path& mask, const std::vector<fs::path>& owners) {
    if (owners.empty()) return without_.push_back(mask);
    if (owners.size() > 1) return doubtful_.push_back(mask);
    if (!found_.masks.emplace(owners[0], mask).second) second_.push_back(mask);
  }

  void warn(const std::vector<fs::path>& files, const char* what) const {
    if (files.empty()) return;
    warnings_.push_back(fmt::format("data set '{}': {} of its files, such as {}, {}", data_set_, files.size(),
                                    files.front().string(), what));
  }

  const fs::path& root_;
  const std::string& data_set_;
  std::vector<std::string>& warnings_;
  std::vector<fs::path> named_;                               // masks by their names
  std::vector<std::pair<fs::path, std::string>> in_folders_;  // and by their folders, with what follows "labels"
  std::map<fs::path, std::vector<fs::path>> by_folder_;       // images
  std::vector<fs::path> without_, doubtful_, second_, lone_;
  Companions found_;
};

}  // namespace

MaskName mask_name(const std::string& stem) {
  MaskName name{false, stem};
  while (!name.rest.empty()) {
    const auto [before, token] = split_last(name.rest);
    const auto [before_entity, entity] = split_last(name.rest, "_");
    if (is_word(token)) {
      name.is_mask = true;
      name.rest = before;
    } else if (name.is_mask && is_entity(entity)) {
      name.rest = before_entity;
    } else {
      break;
    }
  }
  if (!name.is_mask) {
    if (const auto rest = without_beginning(stem, words)) name = {true, *rest};
  }
  return name;
}

std::optional<std::string> mask_folder(const std::string& name) {
  const std::string small = lower(name);
  for (const std::string word : folder_words) {
    if (small == word) return "";
    const std::string rest = small.starts_with(word) ? name.substr(word.size()) : "";
    if (rest == "Tr" || rest == "Ts" || rest == "Val" || rest == "_train" || rest == "_val" || rest == "_test")
      return rest;
  }
  return std::nullopt;
}

std::string image_name(const std::string& stem) {
  for (const std::string ending : {"_image", "-image"}) {
    if (stem.size() > ending.size() && stem.ends_with(ending)) return stem.substr(0, stem.size() - ending.size());
  }
  return stem;
}

Companions sort_companions(const std::vector<fs::path>& files, const fs::path& root, const std::string& data_set,
                           std::vector<std::string>& warnings) {
  return Sorting(root, data_set, warnings).run(files);
}

}  // namespace ivory::ingest
