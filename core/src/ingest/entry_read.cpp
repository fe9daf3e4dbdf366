#include "ingest/ingest.h"

extern "C" void ivory_ingest_read(const ivory::config::VolumeSource& source, const ivory::config::DataSpec& spec,
                                  ivory::data::VolumeData& volume) {
  volume = ivory::ingest::read_volume(source, spec);
}
