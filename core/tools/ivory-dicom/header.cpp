#include <ivory/error.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>

#include "dicom_file.h"
#include "ingest/dicom_classes.h"
#include "ingest/dicom_length.h"

namespace ivory::dicom {
namespace {

using gdcm::DataSet;
using gdcm::Tag;
using ingest::DicomFrame;
using ingest::DicomHeader;

const Tag position(0x0020, 0x0032), orientation(0x0020, 0x0037), pixel_spacing(0x0028, 0x0030);
const Tag slope(0x0028, 0x1053), intercept(0x0028, 0x1052), pixel_data(0x7FE0, 0x0010);
const Tag float_pixels(0x7FE0, 0x0008), double_pixels(0x7FE0, 0x0009);

template <size_t count>
std::optional<std::array<double, count>> array_of(const DataSet& set, const Tag& tag) {
  const auto values = numbers_of(set, tag);
  if (values.empty()) return std::nullopt;
  IVORY_CHECK(values.size() == count, "its element ", name_of(tag), " has ", values.size(), " values, expected ",
              count);
  std::array<double, count> all;
  std::ranges::copy(values, all.begin());
  return all;
}

std::optional<double> number_of(const DataSet& set, const Tag& tag) {
  const auto values = numbers_of(set, tag);
  return values.empty() ? std::nullopt : std::optional(values[0]);
}

void fill(DicomFrame& frame, const DataSet& set) {
  if (const auto value = array_of<3>(set, position)) frame.position = value;
  if (const auto value = array_of<6>(set, orientation)) frame.orientation = value;
  if (const auto value = array_of<2>(set, pixel_spacing)) frame.spacing = value;
  if (const auto value = number_of(set, slope)) frame.slope = value;
  if (const auto value = number_of(set, intercept)) frame.intercept = value;
}

std::string number_text(const DataSet& set, const Tag& tag) {
  const auto* value = set.FindDataElement(tag) ? set.GetDataElement(tag).GetByteValue() : nullptr;
  if (!value || value->GetLength() != 4) return "";
  uint32_t number = 0;
  std::memcpy(&number, value->GetPointer(), sizeof number);
  return std::to_string(number);
}

// The functional groups of one frame, or those that all share: each is a sequence of one item.
void fill_from_groups(DicomFrame& frame, double& slice_distance, const DataSet& groups) {
  for (const Tag& tag : {Tag(0x0020, 0x9113), Tag(0x0020, 0x9116), Tag(0x0028, 0x9145), Tag(0x0028, 0x9110)}) {
    const Items items(groups, tag);  // plane position, plane orientation, value transformation, pixel measures
    if (items.size() == 0) continue;
    fill(frame, items[0]);
    slice_distance = number_of(items[0], Tag(0x0018, 0x0088)).value_or(slice_distance);
  }
  if (const Items content(groups, Tag(0x0020, 0x9111)); content.size() > 0) {
    frame.stack = text_of(content[0], Tag(0x0020, 0x9056));
    frame.time = number_text(content[0], Tag(0x0020, 0x9128));
  }
  for (const Tag& tag : {Tag(0x0018, 0x9329), Tag(0x0018, 0x9226), Tag(0x0018, 0x9751), Tag(0x0018, 0x9504)}) {
    const Items types(groups, tag);  // of CT, MR, PET, X-ray 3D
    if (types.size() > 0) frame.type = text_of(types[0], Tag(0x0008, 0x9007));
  }
}

std::vector<int64_t> words_of(const DataSet& set, const Tag& tag) {
  std::vector<int64_t> words;
  const auto* value = set.FindDataElement(tag) ? set.GetDataElement(tag).GetByteValue() : nullptr;
  for (size_t at = 0; value && at + 2 <= value->GetLength(); at += 2) {
    uint16_t word = 0;
    std::memcpy(&word, value->GetPointer() + at, sizeof word);
    words.push_back(word);
  }
  return words;
}

// Frames of nuclear medicine: vectors number their slices, and everything else in which they may differ.
void fill_from_vectors(DicomHeader& header, const DataSet& set) {
  header.slice_numbers = words_of(set, Tag(0x0054, 0x0080));
  const std::vector<std::pair<Tag, const char*>> vectors = {
      {Tag(0x0054, 0x0010), "energy windows"}, {Tag(0x0054, 0x0020), "detectors"},    {Tag(0x0054, 0x0030), "phases"},
      {Tag(0x0054, 0x0050), "rotations"},      {Tag(0x0054, 0x0060), "RR intervals"}, {Tag(0x0054, 0x0070), "times"},
      {Tag(0x0054, 0x0090), "angles"},         {Tag(0x0054, 0x0100), "time slices"}};
  for (const auto& [tag, name] : vectors) {
    const auto words = words_of(set, tag);
    if (std::set(words.begin(), words.end()).size() > 1) header.also_varies.emplace_back(name);
  }
  const Items detectors(set, Tag(0x0054, 0x0022));
  if (detectors.size() > 0) fill(header.frames[0], detectors[0]);
}

void fill_frames(DicomHeader& header, const DataSet& set, size_t count) {
  DicomFrame all;
  fill(all, set);
  if (!all.spacing) all.spacing = array_of<2>(set, Tag(0x0018, 0x1164));  // at the detector
  if (!all.spacing) all.spacing = array_of<2>(set, Tag(0x0018, 0x2010));  // of a film that was scanned
  header.slice_distance = number_of(set, Tag(0x0018, 0x0088)).value_or(0);
  if (const Items shared(set, Tag(0x5200, 0x9229)); shared.size() > 0)
    fill_from_groups(all, header.slice_distance, shared[0]);
  header.frames.assign(count, all);
  const Items frames(set, Tag(0x5200, 0x9230));
  IVORY_CHECK(frames.size() == 0 || frames.size() == count, "it has ", count, " frames, and says where ", frames.size(),
              " of them lie");
  header.has_frame_groups = frames.size() > 0;
  for (size_t i = 0; i < frames.size(); ++i) fill_from_groups(header.frames[i], header.slice_distance, frames[i]);
  if (frames.size() == 0) fill_from_vectors(header, set);
}

bool is_lossy(const DicomHeader& header, const DataSet& set) {
  const std::string syntax = header.syntax;
  const bool jpeg = syntax == "1.2.840.10008.1.2.4.50" || syntax == "1.2.840.10008.1.2.4.51";
  return jpeg || text_of(set, Tag(0x0028, 0x2110)) == "01";
}

}  // namespace

DicomFile::DicomFile(const std::filesystem::path& path) : path_(path) {
  ingest::check_dicom_start(path);
  ingest::check_dicom_pixels(path);
  reader_.SetFileName(path.c_str());
  IVORY_CHECK(reader_.Read(), path.string(), ": is no DICOM file, or a damaged one");
}

DicomHeader DicomFile::header() const {
  const DataSet& set = reader_.GetFile().GetDataSet();
  DicomHeader header;
  header.sop_class = text_of(set, Tag(0x0008, 0x0016));
  if (header.sop_class.empty()) header.sop_class = text_of(reader_.GetFile().GetHeader(), Tag(0x0002, 0x0002));
  header.instance = text_of(set, Tag(0x0008, 0x0018));
  header.series = text_of(set, Tag(0x0020, 0x000E));
  header.modality = text_of(set, Tag(0x0008, 0x0060));
  header.frame_of_reference = text_of(set, Tag(0x0020, 0x0052));
  header.image_type = text_of(set, Tag(0x0008, 0x0008));
  header.photometric = text_of(set, Tag(0x0028, 0x0004));
  header.syntax = reader_.GetFile().GetHeader().GetDataSetTransferSyntax().GetString();
  header.has_pixels =
      set.FindDataElement(pixel_data) || set.FindDataElement(float_pixels) || set.FindDataElement(double_pixels);
  if (!header.has_pixels || !ingest::no_image_of_class(header.sop_class).empty()) return header;
  header.rows = word_of(set, Tag(0x0028, 0x0010), 0);
  header.columns = word_of(set, Tag(0x0028, 0x0011), 0);
  header.samples = word_of(set, Tag(0x0028, 0x0002), 1);
  header.planar = word_of(set, Tag(0x0028, 0x0006), 0);
  header.bits_allocated = word_of(set, Tag(0x0028, 0x0100), 0);
  header.bits_stored = word_of(set, Tag(0x0028, 0x0101), header.bits_allocated);
  header.high_bit = word_of(set, Tag(0x0028, 0x0102), header.bits_stored - 1);
  header.is_signed = word_of(set, Tag(0x0028, 0x0103), 0);
  header.has_modality_lut = Items(set, Tag(0x0028, 0x3000)).size() > 0;
  header.is_lossy = is_lossy(header, set);
  header.is_film = set.FindDataElement(Tag(0x0018, 0x1063)) || set.FindDataElement(Tag(0x0018, 0x1065));
  const auto frames = numbers_of(set, Tag(0x0028, 0x0008));
  const double count = frames.empty() ? 1 : frames[0];
  IVORY_CHECK(count >= 1 && count < 1 << 20 && count == std::floor(count), path_.string(), ": says that it has ", count,
              " frames");
  try {
    fill_frames(header, set, static_cast<size_t>(count));
  } catch (const Error& error) {
    throw bad_request(path_.string(), ": ", error.what());
  }
  return header;
}

}  // namespace ivory::dicom
