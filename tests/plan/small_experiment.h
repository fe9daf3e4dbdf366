#pragma once
// An experiment of two stages and one task, made by hand.

#include "config/experiment.h"

namespace ivory::test {

inline config::Experiment small_experiment() {
  config::Experiment experiment;
  experiment.name = "small";
  experiment.repetitions = 2;
  config::StageSpec first;
  first.name = "slices";
  first.data = {"scans"};
  first.objectives = {{.plugin = {.name = "swav"}}};
  config::StageSpec second = first;
  second.name = "volumes";
  second.from = "slices";
  experiment.stages = {second, first};  // the plan sorts them
  config::TaskSpec task;
  task.name = "organs";
  task.from = {"volumes", "scratch"};
  task.data = "scans";
  experiment.tasks = {task};
  experiment.data = {{.name = "scans"}};
  experiment.table = {.caption = "Small",
                      .rows = {{"Pre-trained", "volumes"}, {"From scratch", "scratch"}},
                      .columns = {{"IoU", "organs", "iou"}}};
  return experiment;
}

}  // namespace ivory::test
