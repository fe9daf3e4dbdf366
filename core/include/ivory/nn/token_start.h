#pragma once
// Where the projection to tokens begins, for objectives on volumes.

#include <ivory/image_volume.h>
#include <ivory/objective.h>
#include <ivory/options.h>

namespace ivory::nn {

// "standardise_tokens": for a projection that no stage has trained yet.
Option standardise_tokens_option();

// Scales and shifts the projection so that over the stage's volumes (all views, all slices, all processes) every entry
// of the tokens has mean 0 and variance 1. The features are unit vectors that lie close together (§1): without this,
// what tells two slices apart is a few per cent of a token, and normalisation layers and unit-length holistic features
// see little else than the common part. An entry that is the same everywhere is shifted only. f_intra runs in
// evaluation mode. Needs stage.for_each_batch.
void standardise_tokens(ImageVolumeModel& model, const StageContext& stage);

}  // namespace ivory::nn
