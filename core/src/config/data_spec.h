#pragma once
// [data.NAME] as typed values.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/plugin_use.h"

namespace ivory::config {

struct VolumeSource {
  std::string name;                     // unique within the data set
  std::string image;                    // a file, or the folder of a DICOM series
  std::string label;                    // a file of label ids on the same grid, or empty
  std::string modality;                 // "ct", "mr", "xray"
  std::string patient;                  // default: the name
  std::optional<int64_t> channel = {};  // of a 4-D file, from 0
};

// Labelled volumes and images of the embedded generator.
struct PhantomSpec {
  int64_t volumes = 4;
  std::array<int64_t, 3> size = {48, 96, 96};  // slices, rows, columns
  std::vector<int64_t> labels = {1, 2, 3};     // label id of each class
  std::vector<std::string> classes = {};       // structure of each label; empty: phantom_classes() in their order
  uint64_t seed = 1;
  int64_t every = 1;  // labelled structures are in the volumes whose number is a multiple of it alone
};

// One split: volumes by name, each optionally with a slice range "name:first-last" (inclusive, from 0).
struct SplitSpec {
  std::vector<std::string> train, validation, test;
  // When the lists are empty: by patient, these shares in the order of a seeded permutation.
  double train_share = 0.6, validation_share = 0.2;
  uint64_t seed = 0;
  bool redraw = false;  // shares: every repetition has a permutation of its own, the same for every `from`
  bool allow_shared_patients = false;  // lists: a patient in two splits is a warning, no error
};

// A part of a data set: its other volumes are not read. All of it where both `parts` and `volumes` say nothing.
struct PartSpec {
  std::vector<std::string> parts = {};  // "train", "validation", "test" of `splits`, which are written as a task's
  SplitSpec splits = {};
  int64_t volumes = 0;  // so many, patient after patient in the order of a seeded permutation
  uint64_t seed = 0;

  bool whole() const { return parts.empty() && volumes == 0; }
};

// [data.NAME]: one slice cache.
struct DataSpec {
  std::string name;
  std::string layout = "folder";  // "list", "folder", "msd", "nnunet", "phantom"; `[data] source = "phantom"` overrides
  std::string declared = "";      // the layout without that: whose labels have names
  std::string path;               // of folder, msd, nnunet
  std::vector<VolumeSource> volumes;  // of list
  PartSpec only = {};
  std::string patients;                       // a table of patient ids by volume, or empty
  std::string modality = "";                  // default for volumes without one
  std::array<double, 2> window = {0, 0};      // intensities mapped to 0 and 1; {0, 0}: the modality's default
  std::array<double, 3> spacing = {0, 0, 0};  // mm along x, y, z; 0 keeps the file's
  int64_t max_size = 0;                       // pixels in the plane: larger slices are shrunk at ingest; 0 keeps them
  PhantomSpec phantom;
  std::string cache;  // folder; empty: <cache root>/<name>-<identity>
  std::string hint;   // where to get the data, printed when it is missing
  Location where;
};

}  // namespace ivory::config
