#pragma once

namespace ivory::data {

// Keeps freed blocks in the process, in huge pages where the system has them: glibc otherwise returns large ones to the
// system and faults them in again, in every step (3–11 % of a multi-crop step) and for every volume of a cache that is
// built (a quarter of the processor's time). Harmless to call twice.
void keep_freed_memory();

}  // namespace ivory::data
