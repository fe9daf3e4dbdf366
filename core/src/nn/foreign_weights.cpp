#include <ivory/nn/foreign_weights.h>

namespace ivory::nn {

ForeignWeights::~ForeignWeights() = default;

}  // namespace ivory::nn
