#pragma once
// A small data set in some layout, made file by file.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ingest/ingest.h"
#include "ingest/layout.h"
#include "ingest/layouts.h"
#include "ingest/volume_files.h"

namespace ivory::ingest::testing {

class LayoutTest : public ::testing::Test {
 protected:
  explicit LayoutTest() { spec_ = {.name = "set", .path = (folder_.path() / "set").string()}; }

  std::filesystem::path in_set(const std::string& name) const { return folder_.path() / "set" / name; }
  void text(const std::string& name, const std::string& content) const { write_bytes(in_set(name), content); }

  const Sources& list(const std::string& layout) {
    spec_.layout = layout;
    warnings_.clear();
    sources_ = list_volumes(spec_, warnings_);
    return sources_;
  }
  // "name of patient, labelled" each.
  std::vector<std::string> names(const std::string& layout) {
    std::vector<std::string> all;
    for (const auto& source : list(layout))
      all.push_back(source.name + " of " + source.patient + (source.label.empty() ? "" : ", labelled"));
    return all;
  }
  const config::VolumeSource& source(const std::string& name) const {
    const auto found = std::ranges::find(sources_, name, &config::VolumeSource::name);
    if (found == sources_.end()) throw std::runtime_error(name + " is not listed");
    return *found;
  }
  data::VolumeData read(const std::string& name) const { return read_volume(source(name), spec_); }

  TemporaryFolder folder_;
  config::DataSpec spec_;
  std::vector<std::string> warnings_;
  Sources sources_;
};

// Labels 0 … count − 1 without any symmetry, and an image that shows them: its value is 1000 · label + something below.
struct Labelled {
  torch::Tensor labels;  // uint8
  torch::Tensor image;   // int16
};
inline Labelled labelled(torch::IntArrayRef shape = {3, 8, 6}, int64_t count = 3) {
  const torch::Tensor number = torch::arange(c10::multiply_integers(shape));
  const torch::Tensor labels = ((number * number / 7).to(torch::kInt64) % count).view(shape);
  return {labels.to(torch::kUInt8), (1000 * labels + (number.view(shape) % 500)).to(torch::kInt16)};
}

// Every voxel of the image still has the label that it shows.
inline void expect_aligned(const data::VolumeData& volume) {
  ASSERT_TRUE(volume.labels.defined());
  ASSERT_EQ(volume.labels.sizes(), volume.pixels.sizes());
  EXPECT_TRUE(torch::equal(volume.pixels.to(torch::kInt64).div(1000, "floor"), volume.labels.to(torch::kInt64)));
}

// Axes that run to the right, to anterior and to inferior; and to posterior, inferior and right.
inline const Geometry flipped = {
    .spacing = {0.7, 0.7, 2.5}, .origin = {9, -4, 3}, .direction = {1, 0, 0, 0, 1, 0, 0, 0, -1}};
inline const Geometry turned = {
    .spacing = {1, 1.5, 0.9}, .origin = {0, 5, 7}, .direction = {0, 0, 1, -1, 0, 0, 0, -1, 0}};

}  // namespace ivory::ingest::testing
