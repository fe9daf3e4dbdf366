#pragma once
// Whether a split can be scored by ranks at all: the area under the ROC curve needs samples with and without a class.

#include <ivory/task.h>

#include <string>
#include <vector>

#include "config/task_spec.h"
#include "data/loader.h"

namespace ivory::train {

// Why no prediction would give these samples a score, as the end of a sentence; "" where there are no ranks, or one
// class at least (with `ranks_every_class` each class) that some samples have and others have not.
std::string unranked(const TaskNeeds& needs, const data::DataSet& data, const data::LabelledSamples& samples,
                     const std::vector<config::ClassSpec>& classes);

}  // namespace ivory::train
