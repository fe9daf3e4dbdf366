#include <ivory/collective.h>

namespace ivory {

const Collective& Collective::alone() {
  static const Collective one_process;
  return one_process;
}

}  // namespace ivory
