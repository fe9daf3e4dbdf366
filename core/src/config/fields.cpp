#include "config/fields.h"

namespace ivory::config {

void Fields::ends(const char* key, double& low, double& high, Field field) {
  std::array<double, 2> pair = {low, high};
  field.ascending = true;
  (*this)(key, pair, std::move(field));
  low = pair[0];
  high = pair[1];
}

}  // namespace ivory::config
