// What the loaders' threads and the CUDA kernels have in common, against torch and the generator.
#include "data/view_math.h"

#include <gtest/gtest.h>
#include <ivory/random.h>
#include <ivory/torch.h>

#include <limits>

#include "data/intensity.h"

namespace ivory::data {
namespace {

TEST(ViewMath, NumbersByPlaceAreThoseOfTheStream) {
  CounterRandom random(7, 3, 11, 5);
  const auto key = random.key(), stream = random.stream();
  for (uint64_t n = 0; n < 41; ++n) {
    ASSERT_EQ(random.drawn(), n);
    EXPECT_EQ(random.bits(), view_math::stream_bits(key, stream, n)) << "number " << n;
  }
  // What kernels add to a number of draws may reach into the counter's second word.
  EXPECT_EQ(view_math::stream_bits(key, stream, (uint64_t{1} << 34) + 2), philox({0, 1, stream[0], stream[1]}, key)[2]);
}

TEST(ViewMath, Bfloat16IsTheNearestAsTorchHasIt) {
  torch::manual_seed(1);
  using Limits = std::numeric_limits<float>;
  const torch::Tensor special =
      torch::tensor({0.0F, -0.0F, Limits::infinity(), -Limits::infinity(), Limits::max(), Limits::min(),
                     Limits::denorm_min(), 1 + 0x1p-8F, 1 + 0x3p-8F, -1 - 0x1p-8F, 1 + 0x1p-8F + 0x1p-23F});
  const torch::Tensor values = torch::cat({torch::randn(5000) * 2, special});
  const torch::Tensor got = torch::empty(values.sizes(), torch::kBFloat16);
  to_bfloat16({values.data_ptr<float>(), static_cast<size_t>(values.numel())}, static_cast<uint16_t*>(got.data_ptr()));
  EXPECT_TRUE(torch::equal(got.view(torch::kInt16), values.to(torch::kBFloat16).view(torch::kInt16)));
  EXPECT_EQ(view_math::bfloat16_bits(Limits::quiet_NaN()), 0x7FC0);  // torch's vector code has other NaN
}

TEST(ViewMath, ABlurHasWeightOneAndRefusesWhatItHasNoRoomFor) {
  for (const double sigma : {0.0, 0.1, 0.9, 2.0, 10.0}) {
    const Blur half = make_blur(sigma);
    double total = half.weight[0];
    for (int32_t k = 1; k <= half.radius; ++k) total += 2.0 * static_cast<double>(half.weight[k]);
    EXPECT_NEAR(total, 1, 1e-6) << "sigma " << sigma;
  }
  EXPECT_ANY_THROW(make_blur(10.1));
  EXPECT_ANY_THROW(make_blur(-1));
}

}  // namespace
}  // namespace ivory::data
