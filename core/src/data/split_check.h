#pragma once
// Patients, and content, that are in more than one split: scores then say little about other patients.

#include <string>
#include <utility>
#include <vector>

#include "data/slice_cache.h"

namespace ivory::data {

struct NamedSplit {
  std::string name;
  std::vector<int32_t> volumes;
};

// What several splits have in common: a patient, or a content.
struct Shared {
  std::string key;
  std::vector<std::pair<std::string, std::vector<std::string>>> where;  // split → its volumes, in the splits' order
};

// Of volumes that belong to no patient: the volume's name.
const std::string& patient_of(const VolumeInfo& info);

// Patients of several splits, by name.
std::vector<Shared> shared_patients(const std::vector<VolumeInfo>& volumes, const std::vector<NamedSplit>& splits);
// Contents of different volumes in several splits; `content` by volume, those that are empty are alone.
std::vector<Shared> shared_content(const std::vector<VolumeInfo>& volumes, const std::vector<std::string>& content,
                                   const std::vector<NamedSplit>& splits);

// "patient 'a' is in more than one split (train, test)".
std::string shared_patient_text(const Shared& shared);
// "volumes with the same content are in different splits: 'a' (train), 'b' (test)".
std::string shared_content_text(const Shared& shared);

// Splits that the folders of the sources name: "train", "training", "imagesTr", "val", "validation", "imagesVal",
// "test", "testing", "imagesTs", also as a word of a longer name, below the folder that all sources have in common.
// Train, validation and test, those that have volumes; none where fewer than two have.
std::vector<NamedSplit> folder_splits(const std::vector<VolumeInfo>& volumes);

// Patients of several folder splits: "train/ann" and "test/ann" are one.
std::vector<Shared> shared_folder_patients(const std::vector<VolumeInfo>& volumes,
                                           const std::vector<NamedSplit>& splits);

}  // namespace ivory::data
