#pragma once
// Labelled volumes and images made here: a chest and upper abdomen as CT, MR or a radiograph shows it. For trying
// things without data, never for results.

#include "config/experiment.h"
#include "ingest/scan.h"

namespace ivory::ingest {

struct LabelledScan {
  Scan image;
  torch::Tensor labels;  // int16, or undefined
};

// A function of the specification and the volume's name and modality alone: the same bits in every run and in any
// order. "ct" is in Hounsfield units; "mr" (also without a modality) has a bias field and Rician noise; "xray" is one
// slice, rows × columns, the projection of such a CT from front to back; of the labelled structures that a ray met, its
// pixel has the id of the one that draw_anatomy gives last.
LabelledScan make_phantom(const config::PhantomSpec& spec, const config::VolumeSource& source);

}  // namespace ivory::ingest
