#pragma once
// `patients` of a data set: a table that says whose each volume is.

#include "ingest/layouts.h"

namespace ivory::ingest {

// Columns `volume` (its name) and `patient`. A volume without a row keeps its patient, with a warning. Throws
// missing_data where there is no table.
void name_patients(const config::DataSpec& spec, Sources& sources, std::vector<std::string>& warnings);

}  // namespace ivory::ingest
