// What a dataset.json says: channels and their modalities, numbers of images.
#include <nlohmann/json.hpp>

#include "ingest/layout_fixture.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

class Described : public LayoutTest {
 protected:
  // A task of the Decathlon with two channels (T2, ADC), one training and one test image.
  void prostate(int64_t channels = 2) {
    std::vector<Tensor> parts;
    for (int64_t channel = 0; channel < channels; ++channel) parts.push_back(made_.image + 100 * channel);
    four_ = torch::stack(parts);
    write_nifti(in_set("imagesTr/prostate_00.nii.gz"), four_, turned);
    write_nifti(in_set("labelsTr/prostate_00.nii.gz"), made_.labels, turned);
    write_nifti(in_set("imagesTs/prostate_03.nii.gz"), four_);
    json training = json::array();
    training.push_back({{"image", "./imagesTr/prostate_00.nii.gz"}, {"label", "./labelsTr/prostate_00.nii.gz"}});
    describe({{"modality", {{"0", "T2"}, {"1", "ADC"}}},
              {"numTraining", 1},
              {"numTest", 1},
              {"training", training},
              {"test", json::array({"./imagesTs/prostate_03.nii.gz"})}});
  }
  void describe(const json& description) const { text("dataset.json", description.dump()); }

  const Labelled made_ = labelled();
  Tensor four_;  // [channels, k, j, i]
};

TEST_F(Described, ChannelsOfA4DFileAreVolumesOfOnePatient) {
  prostate();
  EXPECT_THAT(names("msd"),
              ElementsAre("prostate_00_0000 of prostate_00, labelled", "prostate_00_0001 of prostate_00, labelled",
                          "prostate_03_0000 of prostate_03", "prostate_03_0001 of prostate_03"));
  EXPECT_THAT(warnings_, ElementsAre());
  const auto first = read("prostate_00_0000"), second = read("prostate_00_0001");
  expect_aligned(first);
  EXPECT_TRUE(torch::equal(second.pixels, first.pixels + 100));
  EXPECT_TRUE(torch::equal(second.labels, first.labels));
}

TEST_F(Described, AListedVolumeMayNameItsChannel) {
  prostate();
  const std::string file = in_set("imagesTr/prostate_00.nii.gz").string();
  const auto of_channel = [&](int64_t channel) {
    return read_volume({.name = "a", .image = file, .patient = "a", .channel = channel}, {.layout = "list"});
  };
  EXPECT_TRUE(torch::equal(of_channel(1).pixels, of_channel(0).pixels + 100));
  EXPECT_THAT(failure_of([&] { of_channel(2); }).message,
              HasSubstr("prostate_00.nii.gz: has 2 channels, number 2 was asked for"));
  EXPECT_THAT(failure_of([&] { read_volume({.name = "a", .image = file}, {.layout = "list"}); }).message,
              HasSubstr("the 4th of length 2"));
}

TEST_F(Described, AFileWithFewerChannelsThanDescribedIsNamed) {
  prostate(/*channels=*/1);
  list("msd");
  EXPECT_NO_THROW(read("prostate_00_0000"));
  EXPECT_THAT(failure_of([&] { read("prostate_00_0001"); }).message,
              HasSubstr("has 1 channel, number 1 was asked for"));
}

TEST_F(Described, CountsOfTrainingAndTestAreChecked) {
  prostate();
  std::filesystem::remove(in_set("imagesTs/prostate_03.nii.gz"));
  list("msd");
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("dataset.json announces 1 test volumes, 0 were found")));
}

TEST_F(Described, EachChannelOfNnUNetHasItsModality) {
  for (const char* name : {"imagesTr/p_1_0000.nii", "imagesTr/p_1_0001.nii"}) write_nifti(in_set(name), made_.image);
  for (const char* key : {"channel_names", "modality"}) {
    describe({{key, {{"0", "CT"}, {"1", "T1"}}}, {"numTraining", 1}});
    list("nnunet");
    EXPECT_EQ(source("p_1_0000").modality, "ct") << key;
    EXPECT_EQ(source("p_1_0001").modality, "mr") << key;
  }
}

}  // namespace
}  // namespace ivory::ingest
