#pragma once
// Which frames of DICOM files make a volume, in which order and on what grid: decided frame by frame. Reads nothing.

#include <filesystem>
#include <string>
#include <vector>

#include "ingest/dicom_message.h"
#include "ingest/scan.h"

namespace ivory::ingest {

struct DicomSource {
  std::filesystem::path file;
  DicomHeader header;
};

struct DicomSlice {
  size_t source = 0, frame = 0;  // of the files, of its frames
  Vector3 origin = {0, 0, 0};    // in the frame of DICOM
  double position = 0;           // mm along the normal of the planes
  double slope = 1, intercept = 0;
};

struct DicomStack {
  std::vector<DicomSlice> slices;  // by position, then file and frame; several may lie at one position
  Geometry plane;                  // in the frame of DICOM: spacing and direction of all, except between slices
  std::vector<std::string> warnings;
};

// Frames that differ from the most in size, pixel spacing, orientation, modality, frame of reference or kind are left
// out by name, with a warning. Throws bad_request where there are no most, where frames do not say where they lie, and
// where they are several stacks or points of time. `folder` begins the sentences. One image alone need not say where it
// lies.
DicomStack stack_of(const std::vector<DicomSource>& sources, const std::string& folder);

// The geometry of slices at different positions, in our frame. Uneven distances, a tilted gantry and slices beside the
// line of the others are warnings.
Geometry geometry_of(const DicomStack& stack, const std::vector<DicomSource>& sources, const std::string& folder,
                     std::vector<std::string>& warnings);

// "IM7.dcm", or of a file of several frames "IM7.dcm, frame 3".
std::string name_of(const DicomSlice& slice, const std::vector<DicomSource>& sources);

}  // namespace ivory::ingest
