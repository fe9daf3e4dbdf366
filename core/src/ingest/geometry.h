#pragma once
// Axes of a scan: checks, the canonical order, comparison of grids.

#include <string>

#include "ingest/scan.h"

namespace ivory::ingest {

inline constexpr double geometry_tolerance = 1e-3;  // mm, and of cosines

// Largest entry of |DᵀD − I|.
double skew(const Matrix3& direction);

// Replaces nearly orthonormal directions by the nearest orthonormal ones, with a warning when the difference could be
// seen; throws bad_request past the tolerance. `file` begins the sentences.
void make_orthonormal(Matrix3& direction, const std::string& file, std::vector<std::string>& warnings);

// Frames of ITK and DICOM (x to the left, y to posterior) and ours: both ways.
void flip_frame(Geometry& geometry);

// "RAS", "PIR", …: where the axes run to, fastest first, by the nearest anatomical direction.
std::string axis_codes(const Geometry& geometry);

// Permutes and flips so that columns run to the patient's left, rows to posterior, slices to superior ("LPS"): a slice
// shown with row 0 on top looks as radiological software shows it. A scan of one slice is left as it is.
void reorient(Scan& scan);

// Puts a mask that covers a box of the image's grid (same axes and spacing) where it belongs, with zeros around it and
// a note of the image. Leaves any other mask as it is.
void place_on_grid(Scan& image, Scan& mask);

// Throws bad_request when the grids of image and mask differ by more than the tolerance.
void check_same_grid(const Scan& image, const std::string& image_file, const Scan& mask, const std::string& mask_file);

// "35 × 51 × 35": columns, rows, slices.
std::string size_text(const torch::Tensor& voxels);

}  // namespace ivory::ingest
