// Layouts of chest radiographs: NIH ChestX-ray8, VinDr-CXR, JSRT with SCR.
#include "config/layouts.h"
#include "ingest/boxes.h"
#include "ingest/dicom_files.h"
#include "ingest/gif.h"
#include "ingest/layout_fixture.h"
#include "ingest/picture_files.h"
#include "support/golden.h"

namespace ivory::ingest {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using torch::Tensor;

using Radiographs = LayoutTest;

TEST_F(Radiographs, NihsPatientsAndFindingsComeFromATableWithACommaInItsHeader) {
  const Tensor grey = (torch::arange(40) * 6).to(torch::kUInt8).view({5, 8});
  Tensor rgba = torch::stack({grey, grey, grey, torch::full_like(grey, 128)}, 2).contiguous();
  write_png(in_set("images_001/images/00000001_000.png"), grey);
  write_png(in_set("images_001/images/00000001_001.png"), rgba);
  write_png(in_set("images_012/images/00030805_000.png"), grey);
  write_png(in_set("images_001/images/._00000001_000.png"), grey);
  write_png(in_set("figure.png"), grey);
  text("Data_Entry_2017_v2020.csv",
       "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
       "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
       "00000001_000.png,Cardiomegaly|Effusion,0,1,58,M,PA,2682,2749,0.143,0.143,\n"
       "00000001_001.png,No Finding,1,1,58,M,PA,2894,2729,0.143,0.143,\n");
  EXPECT_THAT(names("nih-chestxray8"), ElementsAre("00000001_000 of 00000001, labelled",
                                                   "00000001_001 of 00000001, labelled", "00030805_000 of 00030805"));
  EXPECT_THAT(warnings_, Contains(HasSubstr("1 of 3 images have no row in Data_Entry_2017*.csv")));
  EXPECT_THAT(warnings_, Contains(HasSubstr("published with 112120 volumes, 3 were found")));
  const auto plain = read("00000001_000"), with_alpha = read("00000001_001");
  EXPECT_TRUE(torch::equal(plain.pixels, grey.unsqueeze(0)));
  EXPECT_TRUE(torch::equal(with_alpha.pixels, plain.pixels));
  EXPECT_TRUE((plain.labels == 2 + 16).all().item<bool>());  // Cardiomegaly, Effusion
  EXPECT_TRUE((with_alpha.labels == 0).all().item<bool>());  // no finding is an answer too
  EXPECT_FALSE(read("00030805_000").labels.defined());       // no row
  EXPECT_EQ(with_alpha.info.modality, "xray");
  EXPECT_EQ(with_alpha.info.orientation, "planar");
  text("Data_Entry_2017_v2020.csv", "Image Index,Finding Labels,Patient ID\n00000001_000.png,Infiltrate|Wrist,1\n");
  EXPECT_THAT(failure_of([&] { list("nih-chestxray8"); }).message,
              HasSubstr("finding 'Wrist' of row 1 is none of the 14"));
  text("Data_Entry_2017_v2020.csv", "Image Index,Finding Labels,Patient ID\n00000001_000.png,Infiltrate,1\n");
  list("nih-chestxray8");
  EXPECT_EQ(source("00000001_000").label, "256");
  std::filesystem::remove(in_set("Data_Entry_2017_v2020.csv"));
  const auto failure = failure_of([&] { list("nih-chestxray8"); });
  EXPECT_EQ(failure.code, ExitCode::missing_data);
  EXPECT_THAT(failure.message, HasSubstr("Data_Entry_2017*.csv, the images' patients, is missing"));
}

TEST(Monochrome1, IsInvertedOverItsBitsAndNotOverItsValues) {
  const TemporaryFolder folder;
  const Tensor stored = torch::tensor({{100, 300, 4095}}, torch::kInt16);
  const auto read = [&](const DicomOptions& options) {
    write_dicom(folder.path() / "a.dicom", stored, options);
    return read_scan(folder.path() / "a.dicom").voxels.to(torch::kInt64).view({3});
  };
  DicomOptions options{.modality = "DX", .bits = 12, .monochrome1 = true};
  EXPECT_TRUE(torch::equal(read(options), torch::tensor({3995, 3795, 0}))) << read(options);
  options.bits = 14;
  EXPECT_TRUE(torch::equal(read(options), torch::tensor({16283, 16083, 16383 - 4095})));
  options.slope = 2, options.intercept = -10;  // 0 … 16383 → −10 … 32756
  EXPECT_TRUE(torch::equal(read(options), 2 * torch::tensor({16283, 16083, 16383 - 4095}) - 10));
  options = {.modality = "DX", .bits = 13, .is_signed = true, .monochrome1 = true};  // −4096 … 4095
  EXPECT_TRUE(torch::equal(read(options), torch::tensor({-101, -301, -4096})));
  options = {.modality = "DX", .bits = 12};
  EXPECT_TRUE(torch::equal(read(options), torch::tensor({100, 300, 4095})));
}

TEST(Boxes, ReadersBoxesOfOneFindingAreMergedAndDrawn) {
  const Box a{3, {10, 10, 20, 20}}, b{3, {12, 10, 22, 20}}, far{3, {30, 0, 40, 10}}, other{5, {10, 10, 20, 20}};
  EXPECT_NEAR(overlap(a, b), 80.0 / 120, 1e-12);
  EXPECT_EQ(overlap(a, far), 0);
  const auto means = merged({a, other, far, b}, 0.2);
  ASSERT_EQ(means.size(), 3U);
  EXPECT_EQ(means[0].edge, (std::array<double, 4>{11, 10, 21, 20}));
  EXPECT_EQ(means[1].finding, 5);
  EXPECT_EQ(means[2].edge, far.edge);
  EXPECT_EQ(merged({a, {3, {18, 10, 28, 20}}}, 0.2).size(), 2U);  // IoU 0.11
  const auto again = boxes_from_text(to_text(means));
  ASSERT_EQ(again.size(), 3U);
  EXPECT_EQ(again[1].edge, means[1].edge);
  const Tensor labels = drawn({{0, {1, 0, 3, 2}}, {2, {2, 1, 99, 9}}}, 3, 5);
  EXPECT_TRUE(
      torch::equal(labels[0], torch::tensor({{0, 1, 1, 0, 0}, {0, 1, 5, 4, 4}, {0, 0, 4, 4, 4}}, torch::kInt16)));
}

constexpr const char* kaggle_rows =
    "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
    "aa,Cardiomegaly,3,R8,4,2,8,4\n"
    "aa,Cardiomegaly,3,R9,4,2,8,4\n"
    "aa,Aortic enlargement,0,R9,0,0,2,2\n"
    "bb,No finding,14,R1,,,,\n";

// The box list's header has unquoted commas too, and its rows end in empty fields.
TEST_F(Radiographs, NihsBoxesAreDrawnOnTheImagesThatHaveSome) {
  for (const char* name : {"00000001_000.png", "00000002_000.png"})
    write_png(in_set(std::string("images_001/images/") + name), torch::arange(80).view({8, 10}).to(torch::kUInt8));
  text("Data_Entry_2017.csv",
       "Image Index,Finding Labels,Follow-up #,Patient ID\n00000001_000.png,Mass,0,1\n00000002_000.png,Mass,0,2\n");
  EXPECT_THAT(failure_of([&] { list("nih-chestxray8-boxes"); }).message, HasSubstr("BBox_List_2017.csv is missing"));
  text("BBox_List_2017.csv",
       "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000002_000.png,Infiltrate,2.0,1.0,4.0,3.0,,,\n"
       "00000002_000.png,Mass,4.0,1.0,4.0,1.0,,,\n");
  EXPECT_THAT(names("nih-chestxray8-boxes"), ElementsAre("00000002_000 of 00000002, labelled"));
  EXPECT_THAT(warnings_, ::testing::Contains(HasSubstr("published with 880 volumes, 1 were found")));
  Tensor expected = torch::zeros({8, 10}, torch::kInt16);
  expected.slice(0, 1, 4).slice(1, 2, 6) += 256;
  expected.slice(0, 1, 2).slice(1, 4, 8) += 512;
  EXPECT_TRUE(torch::equal(read("00000002_000").labels[0], expected));
}

TEST_F(Radiographs, VinDrAsKaggleHasIt) {
  text("train.csv", kaggle_rows);
  const Tensor stored = torch::arange(80, torch::kInt16).view({8, 10});
  write_dicom(in_set("train/aa.dicom"), stored, {.modality = "DX", .bits = 12, .monochrome1 = true});
  write_dicom(in_set("train/bb.dicom"), stored, {.modality = "DX", .bits = 12});
  write_dicom(in_set("test/cc.dicom"), stored, {.modality = "DX", .bits = 12});
  EXPECT_THAT(names("vindr-cxr"), ElementsAre("aa of aa, labelled", "bb of bb", "cc of cc"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("published with 18000 volumes, 3 were found")));
  const auto volume = read("aa");
  EXPECT_TRUE(torch::equal(volume.pixels[0].to(torch::kInt64), 4095 - stored.to(torch::kInt64)));
  Tensor expected = torch::zeros({1, 8, 10}, torch::kInt16);
  expected.slice(1, 2, 4).slice(2, 4, 8) = 8;
  expected.slice(1, 0, 2).slice(2, 0, 2) = 1;
  EXPECT_TRUE(torch::equal(volume.labels, expected)) << volume.labels;
  EXPECT_EQ(volume.info.modality, "xray");
}

TEST_F(Radiographs, VinDrAsPngNeedsTheSizeOfTheDicom) {
  text("train.csv", kaggle_rows);
  write_png(in_set("train/aa.png"), torch::arange(20, torch::kUInt8).view({4, 5}));
  EXPECT_THAT(names("vindr-cxr"), ElementsAre("aa of aa"));
  EXPECT_THAT(warnings_, Contains(HasSubstr("the boxes of 1 PNG files are left out")));
  text("train_meta.csv", "image_id,dim0,dim1\naa,8,10\n");
  EXPECT_THAT(names("vindr-cxr"), ElementsAre("aa of aa, labelled"));
  EXPECT_TRUE(
      torch::equal(read("aa").labels[0],
                   torch::tensor({{1, 0, 0, 0, 0}, {0, 0, 8, 8, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}}, torch::kInt16)));
}

TEST_F(Radiographs, VinDrAsPhysioNetHasIt) {
  text("annotations/annotations_train.csv",
       "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\naa,R1,Clavicle "
       "fracture,1,1,2,2\naa,R2,Pneumothorax,0,0,2,2\n");
  text("annotations/annotations_test.csv",
       "image_id,class_name,x_min,y_min,x_max,y_max\ncc,No finding,,,,\ncc,ILD,0,0,9,1\n");
  const Tensor stored = torch::arange(80, torch::kInt16).view({8, 10});
  write_dicom(in_set("train/aa.dicom"), stored, {.modality = "DX"});
  write_dicom(in_set("test/cc.dicom"), stored, {.modality = "DX"});
  EXPECT_THAT(names("vindr-cxr"), ElementsAre("aa of aa, labelled", "cc of cc, labelled"));
  EXPECT_THAT(warnings_, ::testing::Contains(HasSubstr(
                             "1 boxes of findings that are none of the 14 are left out: 'Clavicle fracture' (1)")));
  EXPECT_EQ(read("aa").labels.sum().item<int64_t>(), 4 * 4096);
  EXPECT_EQ(read("cc").labels.sum().item<int64_t>(), 9 * 32);
  std::filesystem::remove_all(in_set("annotations"));
  EXPECT_THAT(failure_of([&] { list("vindr-cxr"); }).message,
              HasSubstr("annotations_train.csv (PhysioNet) is missing"));
}

// Pillow wrote them: tests/reference/gif.py.
TEST(Gif, AgreesWithPillow) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "a.gif";
  for (const auto& picture : test::golden("gif").at("pictures")) {
    std::string bytes;
    const std::string hexadecimal = picture.at("bytes");
    for (size_t i = 0; i < hexadecimal.size(); i += 2)
      bytes += static_cast<char>(std::stoi(hexadecimal.substr(i, 2), nullptr, 16));
    write_bytes(file, bytes);
    const Tensor read = read_gif(file);
    ASSERT_EQ(read.sizes(), (std::vector<int64_t>{1, 41, 44}));
    const auto pixel = read.accessor<uint8_t, 3>();
    const bool noise = picture.at("pixels") == "noise";
    for (int64_t row = 0; row < 41; ++row) {
      for (int64_t column = 0; column < 44; ++column) {
        const int64_t expected =
            noise ? (row * 73 + column * 37) * (row + 3 * column + 11) % 251 : ((row / 5 + column / 3) % 2 ? 255 : 0);
        ASSERT_EQ(pixel[0][row][column], expected) << row << " " << column;
      }
    }
    for (size_t length = 0; length + 2 < bytes.size(); length += 97) {
      write_bytes(file, bytes.substr(0, length));
      EXPECT_EQ(failure_of([&] { read_gif(file); }).code, ExitCode::bad_request) << length;
    }
  }
}

class Jsrt : public LayoutTest {
 protected:
  static int64_t stored(int64_t row, int64_t column) { return (2 * row + column) % 4096; }
  void radiograph(const std::string& name, uint8_t high = 0) const {
    std::string bytes(2 * 2048 * 2048, '\0');
    for (int64_t row = 0; row < 2048; ++row) {
      for (int64_t column = 0; column < 2048; ++column) {
        const auto at = static_cast<size_t>(2 * (2048 * row + column));
        bytes[at] = static_cast<char>((stored(row, column) >> 8) | high);
        bytes[at + 1] = static_cast<char>(stored(row, column) & 0xFF);
      }
    }
    write_bytes(in_set(name), bytes);
  }
  // A mask of 64 × 64 that is white in these columns.
  void mask(const std::string& fold, const std::string& organ, const std::string& name, int64_t first,
            int64_t last) const {
    Tensor mask = torch::zeros({64, 64});
    mask.slice(1, first, last) = 1;
    text(fold + "/masks/" + organ + "/" + name + ".gif", gif_bytes(mask));
  }
};

TEST_F(Jsrt, BigEndianWordsWithoutAHeaderAndOverlappingOrgans) {
  radiograph("Nodule154images/JPCLN001.IMG");
  radiograph("NonNodule93images/JPCNN002.IMG");
  mask("fold1", "right lung", "JPCLN001", 0, 30);
  mask("fold1", "left lung", "JPCLN001", 34, 64);
  mask("fold1", "heart", "JPCLN001", 28, 40);
  mask("fold1", "right clavicle", "JPCLN001", 0, 1);
  mask("fold1", "left clavicle", "JPCLN001", 63, 64);
  mask("fold2", "right lung", "JPCNN002", 0, 30);
  text("points/JPCLN001.pfs", "of SCR");
  EXPECT_THAT(names("jsrt"), ElementsAre("JPCLN001 of JPCLN001, labelled", "JPCNN002 of JPCNN002, labelled"));
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("247 volumes, 2 were found; 247 with labels, 2 were found")));
  const auto volume = read("JPCLN001");
  ASSERT_EQ(volume.pixels.sizes(), (std::vector<int64_t>{1, 2048, 2048}));
  for (const auto& [row, column] : {std::pair<int64_t, int64_t>{0, 0}, {0, 300}, {2047, 2047}, {7, 1999}})
    EXPECT_EQ(volume.pixels[0][row][column].item<int64_t>(), 4095 - stored(row, column));
  EXPECT_EQ(volume.info.spacing, (std::array<double, 3>{1, 0.175, 0.175}));
  const std::map<int64_t, int64_t> expected = {
      {0, 1 + 8}, {40, 1}, {28 * 32, 1 + 4}, {31 * 32, 4}, {39 * 32 + 31, 2 + 4}, {40 * 32, 2}, {2047, 2 + 16}};
  for (const auto& [column, id] : expected) EXPECT_EQ(volume.labels[0][1000][column].item<int64_t>(), id) << column;
  EXPECT_THAT(failure_of([&] { read("JPCNN002"); }).message, HasSubstr("an SCR mask is expected for each organ"));
}

TEST_F(Jsrt, OtherSizesAndLittleEndianFilesAreRefused) {
  radiograph("JPCLN001.IMG", 0x10);
  text("JPCLN003.IMG", "short");
  list("jsrt");
  EXPECT_FALSE(source("JPCLN001").label.size());
  EXPECT_THAT(failure_of([&] { read("JPCLN001"); }).message,
              HasSubstr("holds 4096 at pixel 0, expected big-endian words"));
  EXPECT_THAT(failure_of([&] { read("JPCLN003"); }).message,
              HasSubstr("is 5 bytes long, a radiograph of JSRT has 8388608"));
}

}  // namespace
}  // namespace ivory::ingest
