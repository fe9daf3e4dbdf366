#pragma once
// Recipes of the batches of downstream tasks (LabelledSamples).

#include "data/labelled_slice.h"
#include "data/prefetch.h"

namespace ivory::data {

using TaskRecipe = std::unique_ptr<const Recipe<TaskBatch>>;
TaskRecipe make_labelled_slices(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                                const LoaderOptions& options);
TaskRecipe make_labelled_boxes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                               const LoaderOptions& options);
TaskRecipe make_labelled_volumes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                                 const LoaderOptions& options);
TaskRecipe make_labelled_cubes(std::shared_ptr<const DataSet> data, const LabelledSamples& samples,
                               const LoaderOptions& options);

// Throws bad_request where a volume has no labels.
void check_labels(const DataSet& data, int64_t volume);
// Throws bad_request where volumes have neither a class nor masks.
void check_volume_samples(const DataSet& data, const LabelledSamples& samples);

}  // namespace ivory::data
