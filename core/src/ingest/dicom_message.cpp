#include "ingest/dicom_message.h"

#include <ivory/error.h>

#include <cstring>

namespace ivory::ingest {
namespace {

// One list of members for both directions: visit(fields…) of a header or frame.
template <class Frame, class Visitor>
void visit(Frame& frame, Visitor&& f) {
  f(frame.position), f(frame.orientation), f(frame.spacing), f(frame.slope), f(frame.intercept);
  f(frame.stack), f(frame.time), f(frame.type);
}

template <class Header, class Visitor>
void visit_header(Header& h, Visitor&& f) {
  f(h.sop_class), f(h.instance), f(h.series), f(h.modality), f(h.frame_of_reference), f(h.image_type), f(h.photometric);
  f(h.syntax), f(h.rows), f(h.columns), f(h.samples), f(h.planar), f(h.bits_allocated), f(h.bits_stored), f(h.high_bit);
  f(h.is_signed), f(h.has_pixels), f(h.has_modality_lut), f(h.is_lossy), f(h.is_film), f(h.has_frame_groups);
  f(h.slice_distance);
  f(h.slice_numbers), f(h.also_varies), f(h.frames);
}

struct Put {
  Message& to;
  void operator()(const std::string& text) { to.put(text); }
  void operator()(int64_t value) { to.put(value); }
  void operator()(bool value) { to.put(int64_t{value}); }
  void operator()(double value) { to.put(value); }
  void operator()(const DicomFrame& frame) { visit(frame, *this); }
  template <size_t count>
  void operator()(const std::array<double, count>& values) {
    for (const double value : values) to.put(value);
  }
  template <class T>
  void operator()(const std::optional<T>& value) {
    (*this)(value.has_value());
    if (value) (*this)(*value);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    to.put(static_cast<int64_t>(values.size()));
    for (const auto& value : values) (*this)(value);
  }
};

struct Get {
  Message& from;
  void operator()(std::string& text) { text = from.text(); }
  void operator()(int64_t& value) { value = from.integer(); }
  void operator()(bool& value) { value = from.integer() != 0; }
  void operator()(double& value) { value = from.number(); }
  void operator()(DicomFrame& frame) { visit(frame, *this); }
  template <size_t count>
  void operator()(std::array<double, count>& values) {
    for (double& value : values) value = from.number();
  }
  template <class T>
  void operator()(std::optional<T>& value) {
    if (from.integer() != 0) (*this)(value.emplace());
  }
  template <class T>
  void operator()(std::vector<T>& values) {
    for (int64_t left = from.integer(); left > 0; --left) (*this)(values.emplace_back());
  }
};

}  // namespace

void Message::put(int64_t value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void Message::put(double value) {
  bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void Message::put(const std::string& text) {
  put(static_cast<int64_t>(text.size()));
  bytes_ += text;
}

const char* Message::take(size_t bytes) {
  IVORY_CHECK(bytes <= bytes_.size() - at_, "a message ends after ", bytes_.size(), " bytes, expected ", bytes,
              " more");
  at_ += bytes;
  return bytes_.data() + at_ - bytes;
}

int64_t Message::integer() {
  int64_t value = 0;
  std::memcpy(&value, take(sizeof value), sizeof value);
  return value;
}

double Message::number() {
  double value = 0;
  std::memcpy(&value, take(sizeof value), sizeof value);
  return value;
}

std::string Message::text() {
  const auto size = static_cast<size_t>(integer());
  const char* begin = take(size);
  return {begin, size};
}

void Message::end() const {
  IVORY_CHECK(at_ == bytes_.size(), "a message goes on for ", bytes_.size() - at_, " bytes");
}

void put(Message& message, const DicomHeader& header) {
  visit_header(header, Put{message});
}

void put(Message& message, const DicomPixels& pixels) {
  message.put(static_cast<int64_t>(pixels.type));
  message.put(pixels.samples);
  message.put(pixels.bytes);
  Put{message}(pixels.notes);
}

DicomHeader header_from(Message& message) {
  DicomHeader header;
  visit_header(header, Get{message});
  return header;
}

DicomPixels pixels_from(Message& message) {
  DicomPixels pixels;
  const int64_t type = message.integer();
  IVORY_CHECK(type >= 0 && type <= static_cast<int64_t>(DicomType::float64), "a message has pixels of type ", type);
  pixels.type = static_cast<DicomType>(type);
  pixels.samples = message.integer();
  pixels.bytes = message.integer();
  Get{message}(pixels.notes);
  return pixels;
}

}  // namespace ivory::ingest
