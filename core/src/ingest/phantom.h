#pragma once
// Labelled volumes made here: a body with organs, texture and noise. For trying things without data, never for results.

#include "config/experiment.h"
#include "ingest/scan.h"

namespace ivory::ingest {

struct LabelledScan {
  Scan image;
  torch::Tensor labels;  // int16, or undefined
};

// A function of the specification's seed and the volume's name and modality alone: the same bits in every run. Each
// label id is one ellipsoid; where it lies and how bright it is depends on its place in the list, with some change per
// volume.
LabelledScan make_phantom(const config::PhantomSpec& spec, const config::VolumeSource& source);

}  // namespace ivory::ingest
