#pragma once
// The text headers of MetaImage and NRRD, read far enough to refuse what their libraries do not survive or report.

#include "ingest/format.h"
#include "ingest/scan.h"

namespace ivory::ingest {

// Adds a detached data file to scan.files. Throws bad_request on an absurd header, missing_data when the detached file
// is missing, bad_request when uncompressed data are shorter than the header announces.
void check_text_header(const std::filesystem::path& file, Format format, Scan& scan);

}  // namespace ivory::ingest
