#pragma once
// [table] kind = "parameters": how many parameters a row's model has. Needs no data and trains nothing.

#include "table/table.h"

namespace ivory::plugin {
class Registry;
}

namespace ivory::experiment {

Table make_parameter_table(const config::Experiment& experiment, const plugin::Registry& registry);

// The table that the experiment asks for: of parameters, or of results in the store.
Table table_of(const config::Experiment& experiment, const Plan& plan, const Store& store,
               const plugin::Registry& registry);

}  // namespace ivory::experiment
