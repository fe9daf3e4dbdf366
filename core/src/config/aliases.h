#pragma once
// Names of the language that stand for a plugin and some of its settings.

#include "config/node.h"

namespace ivory::config {

// "agreement-3d" was a plugin of its own; it is "swav", or "deepcluster-v2" by its option `codes`, on volumes.
bool is_alias(const Node& objective);
// The objective as it is written without the alias, every value at its place.
Node without_alias(const Node& objective);

}  // namespace ivory::config
