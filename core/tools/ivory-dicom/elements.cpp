#include <ivory/error.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "dicom_file.h"

namespace ivory::dicom {
namespace {

const gdcm::ByteValue* bytes_of(const gdcm::DataSet& set, const gdcm::Tag& tag) {
  return set.FindDataElement(tag) ? set.GetDataElement(tag).GetByteValue() : nullptr;
}

std::string trimmed(const std::string& text) {
  const auto blank = std::string_view(" \0\t\r\n", 5);
  const size_t first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

std::string name_of(const gdcm::Tag& tag) {
  char text[16];
  std::snprintf(text, sizeof text, "(%04x,%04x)", tag.GetGroup(), tag.GetElement());
  return text;
}

std::string text_of(const gdcm::DataSet& set, const gdcm::Tag& tag) {
  const auto* value = bytes_of(set, tag);
  return value ? trimmed({value->GetPointer(), value->GetLength()}) : "";
}

int64_t word_of(const gdcm::DataSet& set, const gdcm::Tag& tag, int64_t otherwise) {
  const auto* value = bytes_of(set, tag);
  if (!value || value->GetLength() < 2) return otherwise;
  uint16_t word = 0;
  std::memcpy(&word, value->GetPointer(), sizeof word);
  return word;
}

std::vector<double> numbers_of(const gdcm::DataSet& set, const gdcm::Tag& tag) {
  std::vector<double> values;
  const std::string text = text_of(set, tag);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.size(), text.find('\\', at));
    std::string one = trimmed(text.substr(at, end - at));
    if (one.starts_with('+')) one.erase(0, 1);
    double value = 0;
    const auto [stop, error] = std::from_chars(one.data(), one.data() + one.size(), value);
    IVORY_CHECK(error == std::errc() && stop == one.data() + one.size() && std::isfinite(value), "its element ",
                name_of(tag), " is '", text, "', expected numbers");
    values.push_back(value);
    at = end + 1;
  }
  return values;
}

Items::Items(const gdcm::DataSet& set, const gdcm::Tag& tag) {
  if (set.FindDataElement(tag)) sequence_ = set.GetDataElement(tag).GetValueAsSQ();
}

size_t Items::size() const {
  return sequence_ ? sequence_->GetNumberOfItems() : 0;
}

const gdcm::DataSet& Items::operator[](size_t i) const {
  return sequence_->GetItem(i + 1).GetNestedDataSet();
}

}  // namespace ivory::dicom
