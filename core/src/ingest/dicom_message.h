#pragma once
// Messages between the readers of this library and ivory-dicom (core/tools/ivory-dicom), the process that GDCM runs in:
// over a socket, each message after its length. No torch: the process has to start in a moment.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ivory::ingest {

// Statements of one frame, or of its file for all frames. A value is empty where the file does not state it.
struct DicomFrame {
  std::optional<std::array<double, 3>> position;     // mm, x to the patient's left, y to posterior
  std::optional<std::array<double, 6>> orientation;  // along a row, then down a column
  std::optional<std::array<double, 2>> spacing;      // mm between rows, between columns
  std::optional<double> slope, intercept;
  std::string stack, time, type;  // StackID, TemporalPositionIndex, FrameType; or empty
};

struct DicomHeader {
  std::string sop_class, instance, series, modality, frame_of_reference, image_type, photometric, syntax;
  int64_t rows = 0, columns = 0, samples = 1, planar = 0;
  int64_t bits_allocated = 0, bits_stored = 0, high_bit = 0, is_signed = 0;
  bool has_pixels = false, has_modality_lut = false, is_lossy = false, is_film = false;
  bool has_frame_groups = false;         // frames say for themselves where they lie
  double slice_distance = 0;             // SpacingBetweenSlices; 0 where it is not said
  std::vector<int64_t> slice_numbers;    // of nuclear medicine: for each frame
  std::vector<std::string> also_varies;  // names of vectors that tell frames apart, beside slice_numbers
  std::vector<DicomFrame> frames;        // one at least
};

enum class DicomRequest : uint8_t { header, pixels, labels };  // labels: indices of a palette, not its colours

// Values of pixels as they are stored, cut to their bits and signed where they are.
enum class DicomType : uint8_t { uint8, int8, uint16, int16, uint32, int32, float32, float64 };

// The message that precedes the pixels: frames · rows · columns · samples values, colours of a pixel together.
struct DicomPixels {
  DicomType type = DicomType::uint16;
  int64_t samples = 1;
  int64_t bytes = 0;
  std::vector<std::string> notes;  // "colours of a palette": what was done to them
};

// A message under construction, and one that is read. Reading throws bad_request where the message is shorter than what
// is asked for: the other side may have lost its mind.
class Message {
 public:
  Message() = default;
  explicit Message(std::string bytes) : bytes_(std::move(bytes)) {}
  const std::string& bytes() const { return bytes_; }

  void put(int64_t value);
  void put(double value);
  void put(const std::string& text);
  int64_t integer();
  double number();
  std::string text();
  void end() const;  // throws unless everything was read

 private:
  const char* take(size_t bytes);
  std::string bytes_;
  size_t at_ = 0;
};

void put(Message& message, const DicomHeader& header);
void put(Message& message, const DicomPixels& pixels);
DicomHeader header_from(Message& message);
DicomPixels pixels_from(Message& message);

}  // namespace ivory::ingest
