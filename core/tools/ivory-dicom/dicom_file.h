#pragma once
// One DICOM file, read by GDCM. Everything throws ivory::Error with one sentence; GDCM may end the process instead.

#include <gdcmReader.h>
#include <gdcmSequenceOfItems.h>

#include <filesystem>
#include <string>
#include <vector>

#include "ingest/dicom_message.h"

namespace ivory::dicom {

class DicomFile {
 public:
  explicit DicomFile(const std::filesystem::path& path);

  ingest::DicomHeader header() const;
  // The values of all pixels, in this machine's byte order; `labels` leaves indices of a palette as they are.
  std::vector<uint8_t> pixels(ingest::DicomPixels& about, bool labels) const;

 private:
  std::filesystem::path path_;
  gdcm::Reader reader_;
};

std::string name_of(const gdcm::Tag& tag);  // "(0028,0010)"
// Values of elements. Text of several values is joined with '\\'; "" where there is no such element.
std::string text_of(const gdcm::DataSet& set, const gdcm::Tag& tag);
int64_t word_of(const gdcm::DataSet& set, const gdcm::Tag& tag, int64_t otherwise);
// Decimal strings; empty where there are none. Throws where they are no numbers.
std::vector<double> numbers_of(const gdcm::DataSet& set, const gdcm::Tag& tag);

// The items of a sequence; none where there is no such element.
class Items {
 public:
  Items(const gdcm::DataSet& set, const gdcm::Tag& tag);
  size_t size() const;
  const gdcm::DataSet& operator[](size_t i) const;

 private:
  gdcm::SmartPointer<gdcm::SequenceOfItems> sequence_;
};

// RLE, the run lengths of DICOM (PS3.5 annex G): `frame` → count samples of each of `planes` byte planes, the highest
// byte of a sample first.
void unpack_rle(const std::string& frame, size_t planes, size_t count, std::vector<uint8_t>& out);

}  // namespace ivory::dicom
