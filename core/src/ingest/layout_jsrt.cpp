// JSRT: JPC{LN,NN}NNN.IMG, 2048 × 2048 big-endian 16-bit words without a header, 12 bits used, high values dark; and
// the masks of SCR, foldN/masks/ORGAN/NAME.gif of 1024 × 1024. The left of a picture is the patient's right. Organs
// overlap: an id is the sum of its organs' ids.
#include <fmt/format.h>
#include <ivory/error.h>

#include <array>
#include <fstream>
#include <map>

#include "base/file_kind.h"
#include "ingest/gif.h"
#include "ingest/layouts.h"

namespace ivory::ingest {
namespace {

namespace fs = std::filesystem;

constexpr int64_t side = 2048;
constexpr int64_t highest = 4095;
constexpr double millimetres = 0.175;

struct Organ {
  const char* folder;
  int16_t id;
};
constexpr std::array organs = {Organ{"right lung", 1}, Organ{"left lung", 2}, Organ{"heart", 4},
                               Organ{"right clavicle", 8}, Organ{"left clavicle", 16}};

bool is_radiograph(const fs::path& file) {
  const std::string stem = file.stem().string();
  return (file.extension() == ".IMG" || file.extension() == ".img") &&
         (number_after(stem, "JPCLN") || number_after(stem, "JPCNN"));
}

// A source's label is the folder of the five organs' folders.
Sources list(const config::DataSpec& spec, std::vector<std::string>&) {
  const auto files = files_below(spec.path);
  std::map<std::string, fs::path> masks;
  for (const auto& file : files) {
    if (file.extension() == ".gif" && file.parent_path().filename() == organs[0].folder)
      masks[file.stem().string()] = file.parent_path().parent_path();
  }
  Sources sources;
  for (const auto& file : files) {
    if (!is_radiograph(file)) continue;
    const auto found = masks.find(file.stem().string());
    sources.push_back({.name = file.stem().string(),
                       .image = file.string(),
                       .label = found == masks.end() ? "" : found->second.string(),
                       .modality = "xray",
                       .patient = file.stem().string()});
  }
  return sources;
}

Scan read_radiograph(const fs::path& file) {
  constexpr int64_t bytes = 2 * side * side;
  const auto size = static_cast<int64_t>(fs::file_size(file));
  const std::string mistaken = size == bytes ? "" : base::mistaken_file(file);
  IVORY_CHECK(mistaken.empty(), file.string(), ": is ", mistaken);
  IVORY_CHECK(size == bytes, file.string(), ": is ", size, " bytes long, a radiograph of JSRT has ", bytes,
              " (2048 × 2048 words of 16 bits)");
  std::string raw(static_cast<size_t>(bytes), '\0');
  std::ifstream(file, std::ios::binary).read(raw.data(), bytes);
  Scan scan{.voxels = torch::empty({1, side, side}, torch::kInt16),
            .geometry = {.spacing = {millimetres, millimetres, 1}},
            .modality = "xray",
            .files = {file},
            .also_read = {},
            .notes = {"inverted over 12 bits"},
            .warnings = {}};
  auto* out = scan.voxels.data_ptr<int16_t>();
  for (size_t at = 0; at < raw.size(); at += 2) {
    const int64_t value = (int64_t{static_cast<uint8_t>(raw[at])} << 8) | static_cast<uint8_t>(raw[at + 1]);
    IVORY_CHECK(value <= highest, file.string(), ": holds ", value, " at pixel ", at / 2,
                ", expected big-endian words of 12 bits");
    *out++ = static_cast<int16_t>(highest - value);
  }
  return scan;
}

Scan read_masks(const fs::path& folder, const std::string& name, const Scan& image) {
  Scan label{.voxels = torch::zeros({1, side, side}, torch::kInt16),
             .geometry = image.geometry,
             .modality = "",
             .files = {},
             .also_read = {},
             .notes = {},
             .warnings = {}};
  for (const auto& [organ, id] : organs) {
    const fs::path file = folder / organ / (name + ".gif");
    if (!fs::exists(file)) throw missing_data(file.string(), ": no such file; an SCR mask is expected for each organ");
    const torch::Tensor mask = read_gif(file) > 127;
    IVORY_CHECK(mask.size(1) > 0 && mask.size(1) == mask.size(2) && side % mask.size(1) == 0, file.string(), ": is ",
                mask.size(2), " × ", mask.size(1), " pixels, which do not divide the radiograph's ", side, " × ", side);
    const int64_t factor = side / mask.size(1);
    label.voxels += id * mask.to(torch::kInt16).repeat_interleave(factor, 1).repeat_interleave(factor, 2);
    label.files.push_back(file);
  }
  return label;
}

LabelledScan read(const config::VolumeSource& source, const config::DataSpec&) {
  Scan image = read_radiograph(source.image);
  std::optional<Scan> label;
  if (!source.label.empty()) label = read_masks(source.label, fs::path(source.image).stem().string(), image);
  return combine(std::move(image), std::move(label), source, layout_jsrt);
}

}  // namespace

const Layout layout_jsrt = {.name = "jsrt", .list = list, .read = read};

}  // namespace ivory::ingest
