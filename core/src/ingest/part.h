#pragma once
// `only` of a data set: the part of its volumes that is read.

#include "ingest/layouts.h"

namespace ivory::ingest {

// `sources` as list_volumes() has them. By shares, patients are dealt as the splits of a task on the same files deal
// them: among those with labels, where any have some. Throws bad_request when nothing is left.
Sources part_of(const config::DataSpec& spec, Sources sources, std::vector<std::string>& warnings);

}  // namespace ivory::ingest
