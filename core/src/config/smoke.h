#pragma once
// [smoke]: what `--smoke` sets, so that every part of the experiment runs in seconds on generated volumes.

#include "config/diagnostics.h"

namespace ivory::config {

// Takes [smoke] out of the document. With `apply`, sets what it says, paths with `*` first, and beside it data.source =
// "phantom" and experiment.smoke; a document without [smoke] is then a mistake.
void take_smoke(Node& document, bool apply, Diagnostics& diagnostics);

}  // namespace ivory::config
