#include "ingest/dicom_stack.h"

#include <fmt/format.h>
#include <ivory/error.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "ingest/geometry.h"

namespace ivory::ingest {
namespace {

constexpr double same_direction = 2e-3;  // cosines: a tenth of a degree
constexpr std::array<double, 6> axial = {1, 0, 0, 0, 1, 0};

double along(const Vector3& direction, const Vector3& position) {
  return direction[0] * position[0] + direction[1] * position[1] + direction[2] * position[2];
}

Vector3 difference(const Vector3& a, const Vector3& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

double length(const Vector3& v) {
  return std::hypot(v[0], v[1], v[2]);
}

Vector3 normal_of(const std::array<double, 6>& o) {
  return {o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]};
}

// One frame while it is decided about.
struct Candidate {
  DicomSlice slice;
  const DicomHeader* header;
  DicomFrame frame;
};

// The first three values of the type of an image or frame: ORIGINAL\PRIMARY\AXIAL.
std::string kind_of(const Candidate& c) {
  std::string kind = c.frame.type.empty() ? c.header->image_type : c.frame.type;
  std::erase(kind, ' ');
  size_t end = std::string::npos;
  for (size_t at = kind.find('\\'), count = 1; at != std::string::npos; at = kind.find('\\', at + 1), ++count) {
    if (count == 3) end = at;
  }
  return kind.substr(0, end);
}

template <size_t count>
bool near(const std::optional<std::array<double, count>>& a, const std::optional<std::array<double, count>>& b,
          double tolerance) {
  if (!a || !b) return true;
  for (size_t i = 0; i < count; ++i) {
    if (std::abs((*a)[i] - (*b)[i]) > tolerance) return false;
  }
  return true;
}

template <size_t count>
bool is_finite(const std::optional<std::array<double, count>>& values) {
  return !values || std::ranges::all_of(*values, [](double value) { return std::isfinite(value); });
}

bool differ(const std::string& a, const std::string& b) {
  return !a.empty() && !b.empty() && a != b;
}

// In what `a` differs from an image `b` of the most, as the end of a sentence; "" where it belongs to them.
std::string distinction(const Candidate& a, const Candidate& b) {
  const DicomHeader &x = *a.header, &y = *b.header;
  if (differ(x.modality, y.modality)) return fmt::format("is of modality {}, the others of {}", x.modality, y.modality);
  if (differ(kind_of(a), kind_of(b))) return fmt::format("is of type {}, the others of {}", kind_of(a), kind_of(b));
  if (x.rows != y.rows || x.columns != y.columns)
    return fmt::format("has {} × {} pixels, the others {} × {}", x.columns, x.rows, y.columns, y.rows);
  if (x.samples != y.samples) return fmt::format("has {} values per pixel, the others {}", x.samples, y.samples);
  if (!near(a.frame.orientation, b.frame.orientation, same_direction)) return "lies in a plane of another orientation";
  const double tolerance = b.frame.spacing ? 1e-3 * std::max((*b.frame.spacing)[0], (*b.frame.spacing)[1]) : 0;
  if (!near(a.frame.spacing, b.frame.spacing, tolerance)) {
    return fmt::format("has pixels of {:.4g} × {:.4g} mm, the others of {:.4g} × {:.4g} mm", (*a.frame.spacing)[1],
                       (*a.frame.spacing)[0], (*b.frame.spacing)[1], (*b.frame.spacing)[0]);
  }
  if (differ(x.frame_of_reference, y.frame_of_reference)) return "has another frame of reference";
  return "";
}

class Decision {
 public:
  Decision(const std::vector<DicomSource>& sources, const std::string& folder) : sources_(sources), folder_(folder) {}

  DicomStack run() {
    for (size_t i = 0; i < sources_.size(); ++i) add(i);
    check_mosaic();
    keep_the_most();
    set_plane();
    if (all_.size() > 1) place();
    for (auto& c : all_) stack_.slices.push_back(c.slice);
    std::ranges::stable_sort(stack_.slices, [&](const DicomSlice& a, const DicomSlice& b) {
      return std::tie(a.position, sources_[a.source].file, a.frame) <
             std::tie(b.position, sources_[b.source].file, b.frame);
    });
    return std::move(stack_);
  }

 private:
  std::string name(const Candidate& c) const { return name_of(c.slice, sources_); }

  void add(size_t source) {
    const DicomHeader& header = sources_[source].header;
    const std::string file = sources_[source].file.string();
    std::set<std::string> stacks, times;
    std::vector<DicomFrame> frames = header.frames;
    if (frames.size() > 1 && !header.has_frame_groups) place_by_number(frames, header, file);
    for (size_t i = 0; i < frames.size(); ++i) {
      const DicomFrame& frame = frames[i];
      stacks.insert(frame.stack);
      times.insert(frame.time);
      const double slope = frame.slope.value_or(1), intercept = frame.intercept.value_or(0);
      IVORY_CHECK(is_finite(frame.position) && is_finite(frame.orientation) && is_finite(frame.spacing) &&
                      std::isfinite(slope) && std::isfinite(intercept),
                  file, ": says where it lies in what are no numbers");
      IVORY_CHECK(slope != 0, file, ": says that its values are to be multiplied by 0");
      IVORY_CHECK(!frame.spacing || std::min((*frame.spacing)[0], (*frame.spacing)[1]) > 0, file,
                  ": says that its pixels are ", frame.spacing ? (*frame.spacing)[1] : 0, " × ",
                  frame.spacing ? (*frame.spacing)[0] : 0, " mm");
      all_.push_back({{.source = source, .frame = i, .slope = slope, .intercept = intercept}, &header, frame});
    }
    IVORY_CHECK(stacks.size() <= 1, file, ": holds ", stacks.size(), " stacks of frames, expected one");
    IVORY_CHECK(times.size() <= 1, file, ": holds ", times.size(), " points of time, expected one");
  }

  // Frames that are only numbered lie behind one another.
  void place_by_number(std::vector<DicomFrame>& frames, const DicomHeader& header, const std::string& file) const {
    IVORY_CHECK(header.also_varies.empty(), file, ": its ", frames.size(), " frames differ in ",
                fmt::format("{}", fmt::join(header.also_varies, ", ")), ", expected the slices of one volume");
    const DicomFrame first = frames[0];
    const bool numbered = header.slice_numbers.size() == frames.size();
    IVORY_CHECK(first.position && first.orientation && header.slice_distance != 0 && (numbered || !header.is_film),
                file, ": its ", frames.size(),
                " frames do not say where they lie (a film, or pictures without a place)");
    const Vector3 normal = normal_of(*first.orientation);
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto steps = numbered ? static_cast<double>(header.slice_numbers[i]) - 1 : static_cast<double>(i);
      auto& position = frames[i].position.emplace(*first.position);
      frames[i].orientation = first.orientation;
      for (size_t k = 0; k < 3; ++k) position[k] += normal[k] * steps * header.slice_distance;
    }
  }

  void check_mosaic() const {
    for (const auto& c : all_) {
      IVORY_CHECK(c.header->image_type.find("MOSAIC") == std::string::npos, sources_[c.slice.source].file.string(),
                  ": is a mosaic, slices side by side in one picture; convert it (dcm2niix does) before");
    }
  }

  // Groups of images that belong together: the largest stays if it is more than half of all.
  void keep_the_most() {
    std::vector<std::vector<size_t>> groups;
    for (size_t i = 0; i < all_.size(); ++i) {
      const auto own = std::ranges::find_if(
          groups, [&](const auto& group) { return distinction(all_[i], all_[group.front()]).empty(); });
      own == groups.end() ? groups.push_back({i}) : own->push_back(i);
    }
    if (groups.size() == 1) return;
    const auto most = std::ranges::max_element(groups, {}, &std::vector<size_t>::size);
    const Candidate& typical = all_[most->front()];
    const Candidate& other = all_[groups[most == groups.begin() ? 1 : 0].front()];
    IVORY_CHECK(2 * most->size() > all_.size(), folder_, ": holds images of ", groups.size(),
                " kinds, none of which makes up the most; ", name(other), " ", distinction(other, typical),
                " (such as ", name(typical), ")");
    std::vector<Candidate> kept;
    for (const auto& c : all_) {
      const std::string reason = distinction(c, typical);
      reason.empty() ? kept.push_back(c) : leave_out(c, reason);
    }
    all_ = std::move(kept);
  }

  void leave_out(const Candidate& c, const std::string& reason) {
    stack_.warnings.push_back(fmt::format("{}: {} is left out, it {}", folder_, name(c), reason));
  }

  void set_plane() {
    const Candidate* placed = nullptr;
    for (const auto& c : all_) {
      if (!placed || (!placed->frame.orientation && c.frame.orientation)) placed = &c;
    }
    const auto spaced = std::ranges::find_if(all_, [](const auto& c) { return c.frame.spacing.has_value(); });
    const auto orientation = placed->frame.orientation.value_or(axial);
    const Vector3 normal = normal_of(orientation);
    Geometry& plane = stack_.plane;
    for (size_t i = 0; i < 3; ++i) {
      plane.direction[i * 3] = orientation[i];
      plane.direction[i * 3 + 1] = orientation[3 + i];
      plane.direction[i * 3 + 2] = normal[i];
    }
    if (spaced != all_.end()) {
      plane.spacing = {(*spaced->frame.spacing)[1], (*spaced->frame.spacing)[0], 1};
    }
    if (all_.size() == 1) {
      plane.origin = all_[0].frame.position.value_or(Vector3{0, 0, 0});
      return;
    }
    if (!placed->frame.orientation)
      stack_.warnings.push_back(folder_ + ": no image says its orientation; axes are taken as running to L, P, S");
    if (spaced == all_.end())
      stack_.warnings.push_back(folder_ + ": no image says the size of its pixels; they are taken as 1 mm");
  }

  void place() {
    const auto lost = static_cast<size_t>(std::ranges::count_if(all_, [](const auto& c) { return !c.frame.position; }));
    IVORY_CHECK(2 * lost < all_.size(), folder_, ": ", lost, " of ", all_.size(),
                " images do not say where they lie (ImagePositionPatient)");
    std::vector<Candidate> kept;
    const auto& d = stack_.plane.direction;
    for (auto& c : all_) {
      if (!c.frame.position) {
        leave_out(c, "does not say where it lies");
        continue;
      }
      c.slice.origin = *c.frame.position;
      c.slice.position = along({d[2], d[5], d[8]}, c.slice.origin);
      kept.push_back(c);
    }
    all_ = std::move(kept);
  }

  const std::vector<DicomSource>& sources_;
  const std::string& folder_;
  std::vector<Candidate> all_;
  DicomStack stack_;
};

// The distance that at least half of the neighbours have, else the mean; a warning where others differ from it.
double slice_distance(const DicomStack& stack, const std::vector<DicomSource>& sources, const std::string& folder,
                      std::vector<std::string>& warnings) {
  const auto& slices = stack.slices;
  std::vector<double> gaps;
  for (size_t i = 1; i < slices.size(); ++i) gaps.push_back(slices[i].position - slices[i - 1].position);
  const double mean = (slices.back().position - slices.front().position) / static_cast<double>(gaps.size());
  std::vector<double> sorted = gaps;
  std::ranges::sort(sorted);
  const double median = sorted[sorted.size() / 2];
  const auto near = [](double a, double b) { return std::abs(a - b) <= 0.01 * b; };
  const auto usual = std::ranges::count_if(gaps, [&](double gap) { return near(gap, median); });
  const bool has_usual = 2 * usual >= static_cast<int64_t>(gaps.size()) && usual < static_cast<int64_t>(gaps.size());
  const double distance = has_usual ? median : mean;
  const auto worst = std::ranges::max_element(gaps, {}, [&](double gap) { return std::abs(gap - distance); });
  if (near(*worst, distance)) return distance;
  const auto at = static_cast<size_t>(worst - gaps.begin());
  warnings.push_back(
      fmt::format("{}: distances between slices differ: {:.4g} mm is taken, {} and {} are {:.4g} mm apart "
                  "(a slice may be missing)",
                  folder, distance, name_of(slices[at], sources), name_of(slices[at + 1], sources), *worst));
  return distance;
}

// Slices may be shifted against each other by a tilted gantry: all by as much for each millimetre.
void check_shifts(const DicomStack& stack, const std::vector<DicomSource>& sources, const std::string& folder,
                  std::vector<std::string>& warnings) {
  const auto &first = stack.slices.front(), &last = stack.slices.back();
  const Vector3 line = difference(last.origin, first.origin);
  const double height = last.position - first.position;
  const double tilt = std::acos(std::min(1.0, height / length(line))) * 180 / M_PI;
  if (tilt > 0.5) {
    warnings.push_back(fmt::format("{}: the gantry was tilted by {:.1f} degrees; slices are stacked along their normal",
                                   folder, tilt));
  }
  double farthest = 0;
  const DicomSlice* worst = nullptr;
  for (const auto& slice : stack.slices) {
    Vector3 off = difference(slice.origin, first.origin);
    for (size_t i = 0; i < 3; ++i) off[i] -= line[i] * (slice.position - first.position) / height;
    if (length(off) > farthest) farthest = length(off), worst = &slice;
  }
  if (worst && farthest > std::max(0.1, 0.5 * std::min(stack.plane.spacing[0], stack.plane.spacing[1]))) {
    warnings.push_back(fmt::format("{}: {} lies {:.3g} mm beside the line of the other slices, which is not undone",
                                   folder, name_of(*worst, sources), farthest));
  }
}

}  // namespace

DicomStack stack_of(const std::vector<DicomSource>& sources, const std::string& folder) {
  return Decision(sources, folder).run();
}

Geometry geometry_of(const DicomStack& stack, const std::vector<DicomSource>& sources, const std::string& folder,
                     std::vector<std::string>& warnings) {
  Geometry geometry = stack.plane;
  if (stack.slices.size() > 1) {
    geometry.origin = stack.slices.front().origin;
    geometry.spacing[2] = slice_distance(stack, sources, folder, warnings);
    check_shifts(stack, sources, folder, warnings);
    make_orthonormal(geometry.direction, folder, warnings);
  }
  flip_frame(geometry);
  return geometry;
}

std::string name_of(const DicomSlice& slice, const std::vector<DicomSource>& sources) {
  const auto& [file, header] = sources[slice.source];
  const std::string name = file.filename().string();
  return header.frames.size() == 1 ? name : fmt::format("{}, frame {}", name, slice.frame + 1);
}

}  // namespace ivory::ingest
