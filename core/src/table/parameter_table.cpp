#include "table/parameter_table.h"

#include <ivory/model.h>

#include "train/model_weights.h"

namespace ivory::experiment {
namespace {

int64_t parameters_of(const config::ModelSpec& spec, const plugin::Registry& registry) {
  int64_t count = 0;
  const auto model = train::build_model(spec, registry, /*seed=*/1);
  for (const auto& parameter : model->parameters()) count += parameter.numel();
  return count;
}

}  // namespace

Table make_parameter_table(const config::Experiment& experiment, const plugin::Registry& registry) {
  Table table = empty_table(experiment);
  table.unit = Unit::millions;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    const auto& spec = experiment.table.rows[row];
    Cell& cell = table.cells[row].front();
    if (cell.absent) continue;
    cell.reason.clear();
    cell.repetitions = {static_cast<double>(parameters_of(spec.model.value_or(experiment.model), registry))};
  }
  return table;
}

Table table_of(const config::Experiment& experiment, const Plan& plan, const Store& store,
               const plugin::Registry& registry) {
  const bool counts = experiment.table.kind == config::TableKind::parameters;
  return counts ? make_parameter_table(experiment, registry) : make_table(experiment, plan, store);
}

}  // namespace ivory::experiment
