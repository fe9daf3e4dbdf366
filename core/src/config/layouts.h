#pragma once
// The layouts of data sets, as plain data: what `layout = "…"` may be, and what `ivory data describe` says of each. How
// a folder is read lies in ingest/layouts.h, under the same names.

#include <cstdint>
#include <string>
#include <vector>

namespace ivory::config {

struct LabelName {
  int64_t id;
  std::string name;
};

struct LayoutInfo {
  std::string name;
  std::string summary;           // one line
  std::string source;            // where to get it, in words
  std::string terms;             // licence, or what has to be signed
  std::string folder;            // the expected tree, a line each
  int64_t expected_volumes = 0;  // as published; 0: not known before the folder is read
  int64_t expected_labels = 0;   // of those with labels
  std::vector<LabelName> labels;
  bool ids_add_up = false;  // an id may be the sum of several labels
  std::string split;        // the paper's (Table 8), and how to write it
  // Raised when the layout gives other pixels, labels or names for the same files; part of the data set's identity. 0:
  // files are taken as they are.
  int version = 0;
};

const std::vector<LayoutInfo>& known_layouts();
// Null when there is no such layout.
const LayoutInfo* find_layout(const std::string& name);
std::vector<std::string> layout_names();
// Whether a data set is known to hold images (radiographs) and no volume, before its files are read.
struct DataSpec;
bool holds_images(const DataSpec& data);

// What the generated volumes can label, in the order that labels take without `phantom.classes`: the first ones run
// through every slice.
const std::vector<std::string>& phantom_classes();

// The parts of known_layouts() that are the paper's data sets.
std::vector<LayoutInfo> volume_layouts();
std::vector<LayoutInfo> image_layouts();

}  // namespace ivory::config
