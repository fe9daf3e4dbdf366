// LIDC-IDRI: series of DICOM slices with the readings of four radiologists.
#include "ingest/dicom_files.h"
#include "ingest/layout_fixture.h"
#include "ingest/outline.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

TEST(Outline, ItsInsideIsFilledAndItsPointsAreNot) {
  Tensor slice = torch::zeros({7, 8}, torch::kInt16);
  // A square from (1, 1) to (5, 5), all its points.
  Outline square;
  for (int64_t i = 1; i < 5; ++i) square.push_back({i, 1});
  for (int64_t i = 1; i < 5; ++i) square.push_back({5, i});
  for (int64_t i = 5; i > 1; --i) square.push_back({i, 5});
  for (int64_t i = 5; i > 1; --i) square.push_back({1, i});
  fill_inside(square, 3, slice);
  Tensor expected = torch::zeros({7, 8}, torch::kInt16);
  expected.slice(0, 2, 5).slice(1, 2, 5) = 3;
  EXPECT_TRUE(torch::equal(slice, expected)) << slice;
  // Partly outside the slice.
  fill_inside({{5, -3}, {12, -3}, {12, 3}, {5, 3}}, 1, slice.zero_());
  EXPECT_EQ(slice.sum().item<int64_t>(), (slice.slice(0, 0, 4).slice(1, 5, 8) == 1).sum().item<int64_t>());
  EXPECT_GE(slice.sum().item<int64_t>(), 3 * 2);
}

const std::atomic<bool> never = false;

class Lidc : public LayoutTest {
 protected:
  static constexpr const char* series = "LIDC-IDRI-0001/1.3.6/1.3.6.1/";

  // Slice at z mm whose pixels are 1000 + z, stored as value + 1024 (rescale intercept −1024).
  void slice(const std::string& file, double z, int16_t extra = 0, const std::string& folder = series) const {
    const Tensor pixels =
        torch::full({10, 12}, static_cast<int64_t>(2024 + z) + extra, torch::kInt16) + torch::arange(12, torch::kInt16);
    write_dicom(in_set(folder + file), pixels, {.instance = uid(file), .z = z, .intercept = -1024, .bits = 16});
  }
  static std::string uid(const std::string& file) {
    return "1.3.6.1." + std::to_string(std::hash<std::string>{}(file) % 100000 + 1);
  }

  // Points of the square from (2, 3) to (6, 7), (column, row): 3 × 3 pixels inside.
  static std::string region(const std::string& file, const char* inclusion = "TRUE", int from = 2, int to = 6) {
    std::string text = "<roi><imageZposition>0</imageZposition><imageSOP_UID>" + uid(file) +
                       "</imageSOP_UID><inclusion>" + inclusion + "</inclusion>";
    const auto point = [&](int x, int y) {
      text +=
          "<edgeMap><xCoord>" + std::to_string(x) + "</xCoord><yCoord>" + std::to_string(y + 1) + "</yCoord></edgeMap>";
    };
    for (int i = from; i < to; ++i) point(i, from);
    for (int i = from; i < to; ++i) point(to, i);
    for (int i = to; i > from; --i) point(i, to);
    for (int i = to; i > from; --i) point(from, i);
    return text + "</roi>";
  }
  static std::string session(const std::string& regions) {
    return "<readingSession><unblindedReadNodule><noduleID>1</noduleID>" + regions +
           "</unblindedReadNodule></readingSession>";
  }
  void readings(const std::string& sessions) const {
    text(std::string(series) + "069.xml",
         "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LidcReadMessage xmlns=\"http://www.nih.gov\">"
         "<ResponseHeader/>" +
             sessions + "</LidcReadMessage>");
  }
};

TEST_F(Lidc, DuplicatedSlicesAreDroppedAndReadersCounted) {
  slice("000002.dcm", 2.5);
  slice("000001.dcm", 5);
  slice("000003.dcm", 0);
  slice("000004.dcm", 2.5);  // the second slice again, under a name of its own
  write_dicom(in_set("LIDC-IDRI-0001/1.3.5/1.3.5.1/000001.dcm"), torch::arange(20, torch::kInt16).view({4, 5}),
              {.modality = "DX", .series = "1.3.5"});
  const std::string small =
      "<roi><imageZposition>0</imageZposition><imageSOP_UID>x</imageSOP_UID><inclusion>TRUE"
      "</inclusion><edgeMap><xCoord>1</xCoord><yCoord>1</yCoord></edgeMap></roi>";
  readings(session(region("000001.dcm")) + session(region("000004.dcm") + region("000001.dcm")) + session(small));
  EXPECT_THAT(names("lidc-idri"), ElementsAre("LIDC-IDRI-0001 of LIDC-IDRI-0001, labelled"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("published with 1018 volumes, 1 were found")));
  const auto volume = read("LIDC-IDRI-0001");
  ASSERT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{3, 10, 12}));
  EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{2.5, 0.5, 0.5}));
  EXPECT_EQ(volume.pixels[2][0][3].item<int64_t>(), 1000 + 5 + 3);  // HU
  EXPECT_THAT(volume.info.notes, HasSubstr("1 slices at the position of another one dropped"));
  Tensor expected = torch::zeros({3, 10, 12}, torch::kInt16);
  expected[2].slice(0, 4, 7).slice(1, 3, 6) = 2;  // two readers
  expected[1].slice(0, 4, 7).slice(1, 3, 6) = 1;  // outlined on the dropped copy
  EXPECT_TRUE(torch::equal(volume.labels, expected)) << volume.labels;
}

TEST_F(Lidc, SlicesOfOnePlaceThatDifferAreAWarningAndHolesAreLeftOut) {
  slice("1.dcm", 0);
  slice("2.dcm", 2);
  slice("3.dcm", 2, /*extra=*/7);
  readings(session(region("1.dcm", "FALSE", 3, 5) + region("1.dcm")));
  list("lidc-idri");
  const auto volume = read("LIDC-IDRI-0001");
  EXPECT_EQ(volume.pixels[1][0][0].item<int64_t>(), 1002);  // of 2.dcm
  EXPECT_EQ(volume.labels.sum().item<int64_t>(), 9 - 1);
  EXPECT_EQ(volume.labels[0][5][4].item<int64_t>(), 0);
  const Report report = build_cache(spec_, folder_.path() / "cache", false, nullptr, never);
  EXPECT_THAT(report.warnings,
              ::testing::Contains(HasSubstr("1 slices lie at the position of another one and differ")));
  spec_.layout = "folder";
  EXPECT_THAT(failure_of([&] { read_volume(source("LIDC-IDRI-0001"), spec_); }).message,
              HasSubstr("lie at the same position"));
}

// Slices of 2.5 mm reconstructed every 1.25 mm overlap, slices of 1.25 mm every 2.5 mm have gaps.
TEST_F(Lidc, SlicesLieWhereTheirPositionsSayWhateverTheirThickness) {
  for (const auto& [thickness, distance] : {std::pair{2.5, 1.25}, {1.25, 2.5}}) {
    std::filesystem::remove_all(in_set(""));
    for (int i = 0; i < 4; ++i) {
      write_dicom(in_set(std::string(series) + std::to_string(i) + ".dcm"), counted({10, 12}) + i,
                  {.instance = "1.3.6.1." + std::to_string(i + 1), .z = i * distance, .thickness = thickness});
    }
    list("lidc-idri");
    const auto volume = read("LIDC-IDRI-0001");
    EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{distance, 0.5, 0.5})) << "thickness " << thickness;
    EXPECT_EQ(volume.info.slices, 4);
  }
}

TEST_F(Lidc, TwoSeriesOfAPatientAndBrokenReadings) {
  slice("1.dcm", 0);
  slice("2.dcm", 2);
  slice("3.dcm", 0, 0, "LIDC-IDRI-0001/1.3.7/1.3.7.1/");
  slice("4.dcm", 2, 0, "LIDC-IDRI-0001/1.3.7/1.3.7.1/");
  readings(session(region("9.dcm")));
  EXPECT_THAT(names("lidc-idri"),
              ElementsAre("LIDC-IDRI-0001_1 of LIDC-IDRI-0001, labelled", "LIDC-IDRI-0001_2 of LIDC-IDRI-0001"));
  EXPECT_THAT(failure_of([&] { read("LIDC-IDRI-0001_1"); }).message, HasSubstr("069.xml: outlines a nodule on slice"));
  EXPECT_FALSE(read("LIDC-IDRI-0001_2").labels.defined());
  text(std::string(series) + "069.xml", "<LidcReadMessage><readingSession>");
  EXPECT_THAT(failure_of([&] { read("LIDC-IDRI-0001_1"); }).message, HasSubstr("069.xml: is no reading of LIDC"));
}

}  // namespace
}  // namespace ivory::ingest
