#pragma once
// Masks and the images that they belong to, by the names of files.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ivory::ingest {

// A stem without the words that say that it is a mask, "p1" of "p1_label-lesion_mask" and "mask_p1"; `is_mask` where
// there were some.
struct MaskName {
  bool is_mask = false;
  std::string rest;  // empty where the name is nothing but such words: "segmentation"
};
MaskName mask_name(const std::string& stem);

// "Tr" of a folder called "labelsTr", "masksTr", …; nothing where the folder is not of masks.
std::optional<std::string> mask_folder(const std::string& name);

// The name of an image's volume: "NAME_image" is called NAME.
std::string image_name(const std::string& stem);

struct Companions {
  std::map<std::filesystem::path, std::filesystem::path> masks;  // image → its mask
  std::vector<std::filesystem::path> images;                     // of the files given, those that are no masks
};

// Sorts `files` below `root` (files, or folders of DICOM series) into images and their masks. A mask belongs to the
// image of its name without the mask's words; else to the only one of its folder whose name goes on after it with one
// more word (p1_ct of p1_seg); a name of nothing else to the only image of its folder. Masks in a folder of masks
// belong to the image of the same name above it, or in the folder of images beside it. Masks whose image is not found,
// or is one of several, are left out with a warning; of names that only end like one's, with no other file like them,
// the file is an image, with a warning.
Companions sort_companions(const std::vector<std::filesystem::path>& files, const std::filesystem::path& root,
                           const std::string& data_set, std::vector<std::string>& warnings);

}  // namespace ivory::ingest
