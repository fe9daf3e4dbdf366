// The CPU's other forms of a convolution against torch's own operator in double precision: values and all gradients.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <ivory/nn/convolution.h>

namespace {

using ivory::nn::convolve;
using torch::Tensor;
using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

constexpr auto channels_last = torch::MemoryFormat::ChannelsLast;

struct Case {
  std::string name;
  int64_t images, in, out, height, width, kernel;
  torch::ScalarType type;
};

struct Result {
  Tensor y, grad_x, grad_weight;
};

struct Problem {
  Tensor x, weight, grad;  // [N, Ci, H, W], [Co, Ci, K, K], [N, Co, H, W]; rounded to the tested type
};

Problem problem(const Case& c) {
  torch::manual_seed(5);
  const Tensor x = torch::randn({c.images, c.in, c.height, c.width});
  const Tensor weight = torch::randn({c.out, c.in, c.kernel, c.kernel});
  const Tensor grad = torch::randn({c.images, c.out, c.height, c.width});
  return {x.to(c.type), weight.to(c.type), grad.to(c.type)};
}

Conv2d convolution(const Tensor& weight) {
  const int64_t kernel = weight.size(2);
  Conv2d made(Conv2dOptions(weight.size(1), weight.size(0), kernel).padding(kernel / 2).bias(false));
  made->weight.set_data(weight.contiguous(channels_last));
  return made;
}

template <class Forward>
Result run(const Problem& p, torch::ScalarType type, const Forward& forward) {
  Conv2d conv = convolution(p.weight.to(type));
  const Tensor x = p.x.to(type).contiguous(channels_last).requires_grad_();
  const Tensor y = forward(conv, x);
  y.backward(p.grad.to(type));
  return {y.detach(), x.grad(), conv->weight.grad()};
}

Result tested(const Case& c) {
  return run(problem(c), c.type, [](Conv2d& conv, const Tensor& x) { return convolve(*conv, x); });
}
Result direct(const Case& c, torch::ScalarType type) {
  return run(problem(c), type, [](Conv2d& conv, const Tensor& x) { return conv(x); });
}

double distance(const Tensor& a, const Tensor& b) {
  const Tensor expected = b.to(torch::kDouble);
  return ((a.to(torch::kDouble) - expected).norm() / expected.norm()).item<double>();
}

void expect_same(const Result& a, const Result& b, double tolerance) {
  EXPECT_LE(distance(a.y, b.y), tolerance);
  EXPECT_LE(distance(a.grad_x, b.grad_x), tolerance);
  EXPECT_LE(distance(a.grad_weight, b.grad_weight), tolerance);
}

class Convolution : public testing::TestWithParam<Case> {};

TEST_P(Convolution, EqualsTorchsOperator) {
  const Case& c = GetParam();
  // Relative, over the whole tensor. float32: a few roundings of 6e-8; bfloat16: one rounding of the stored result.
  const double tolerance = c.type == torch::kFloat ? 1e-6 : 4e-3;
  const Result result = tested(c);
  expect_same(result, direct(c, torch::kDouble), tolerance);
  EXPECT_EQ(result.y.scalar_type(), c.type);
  EXPECT_TRUE(result.y.is_contiguous(channels_last));
  EXPECT_TRUE(result.grad_x.is_contiguous(channels_last));
}

INSTANTIATE_TEST_SUITE_P(All, Convolution,
                         testing::Values(Case{"even", 2, 128, 128, 6, 8, 3, torch::kFloat},
                                         Case{"odd", 3, 64, 96, 7, 5, 3, torch::kFloat},
                                         Case{"one_pixel", 2, 128, 128, 1, 1, 3, torch::kFloat},
                                         Case{"one_row", 1, 136, 128, 1, 9, 3, torch::kFloat},
                                         Case{"narrow", 2, 16, 24, 6, 5, 3, torch::kFloat},
                                         Case{"several_blocks", 16, 128, 128, 28, 28, 3, torch::kFloat},
                                         Case{"pointwise", 3, 64, 32, 7, 5, 1, torch::kBFloat16},
                                         Case{"pointwise_large", 1, 16, 24, 40, 30, 1, torch::kBFloat16},
                                         Case{"pointwise_fp32", 2, 16, 24, 6, 5, 1, torch::kFloat},
                                         Case{"bf16", 2, 128, 128, 6, 8, 3, torch::kBFloat16}),
                         [](const auto& test) { return test.param.name; });

// F(2×2, 3×3) adds a few numbers before it multiplies: its error stays within a small factor of the direct one's.
TEST(WinogradTest, ErrorIsCloseToTheDirectConvolutions) {
  const Case c{"", 4, 256, 256, 14, 14, 3, torch::kFloat};
  const Result exact = direct(c, torch::kDouble), plain = direct(c, torch::kFloat), result = tested(c);
  EXPECT_LT(distance(result.y, exact.y), 4 * distance(plain.y, exact.y));
  EXPECT_LT(distance(result.grad_x, exact.grad_x), 4 * distance(plain.grad_x, exact.grad_x));
  EXPECT_LT(distance(result.grad_weight, exact.grad_weight), 4 * distance(plain.grad_weight, exact.grad_weight));
}

// One weight of one at each place of the kernel shifts the plane; small integers make every step exact.
TEST(WinogradTest, ShiftsThePlane) {
  const Tensor x = torch::arange(128 * 5 * 5).remainder(7).to(torch::kFloat).view({1, 128, 5, 5});
  const Tensor padded = torch::constant_pad_nd(x, {1, 1, 1, 1});
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t s = 0; s < 3; ++s) {
      const Tensor weight = torch::zeros({128, 128, 3, 3});
      weight.select(2, r).select(2, s).copy_(torch::eye(128));
      const Tensor y = convolve(*convolution(weight), x.contiguous(channels_last));
      EXPECT_TRUE(torch::equal(y, padded.slice(2, r, r + 5).slice(3, s, s + 5))) << r << ", " << s;
    }
  }
}

// The convolution is linear in x and in the weight: a difference quotient has no truncation error, only rounding.
TEST(WinogradTest, GradientsAreDifferenceQuotients) {
  const Case c{"", 2, 128, 128, 5, 4, 3, torch::kFloat};
  const Problem p = problem(c);
  const Result result = tested(c);
  const auto objective = [&p](const Tensor& x, const Tensor& weight) {
    const torch::NoGradGuard no_grad;
    const Tensor y = convolve(*convolution(weight), x.contiguous(channels_last));
    return (y.to(torch::kDouble) * p.grad).sum().item<double>();
  };
  const Tensor dx = torch::randn_like(p.x), dw = torch::randn_like(p.weight);
  const double by_x = (objective(p.x + dx, p.weight) - objective(p.x - dx, p.weight)) / 2;
  const double by_w = (objective(p.x, p.weight + dw) - objective(p.x, p.weight - dw)) / 2;
  // The sums over |terms| are some 1e3 times float32's 6e-8 · |y| · |g|.
  const double scale = (result.y.norm() * p.grad.norm()).item<double>();
  EXPECT_NEAR(by_x, (result.grad_x * dx).sum().item<double>(), 1e-5 * scale);
  EXPECT_NEAR(by_w, (result.grad_weight * dw).sum().item<double>(), 1e-5 * scale);
}

TEST(ConvolutionTest, OneAndTwoThreadsAgreeAndRepeatTheirBits) {
  for (const Case& c :
       {Case{"", 4, 128, 128, 9, 9, 3, torch::kFloat}, Case{"", 4, 64, 64, 9, 9, 1, torch::kBFloat16}}) {
    const Result one = tested(c);
    at::set_num_threads(2);
    const Result two = tested(c), again = tested(c);
    at::set_num_threads(1);
    expect_same(two, one, c.type == torch::kFloat ? 1e-6 : 4e-3);
    expect_same(again, two, 0);
  }
}

TEST(ConvolutionTest, CastsUnderAutocastAndReturnsFloatGradients) {
  const Case c{"", 2, 64, 32, 6, 6, 1, torch::kBFloat16};
  const Problem p = problem(c);
  Conv2d conv = convolution(p.weight.to(torch::kFloat));
  const Tensor x = p.x.to(torch::kFloat).contiguous(channels_last).requires_grad_();
  at::autocast::set_autocast_enabled(at::kCPU, true);
  const Tensor y = convolve(*conv, x);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  ASSERT_EQ(y.scalar_type(), torch::kBFloat16);
  y.backward(p.grad);
  EXPECT_EQ(conv->weight.grad().scalar_type(), torch::kFloat);
  expect_same({y.detach(), x.grad(), conv->weight.grad()}, direct(c, torch::kDouble), 4e-3);
}

TEST(ConvolutionTest, FrozenInputsGetNoGradient) {
  const Problem p = problem({"", 2, 128, 128, 6, 6, 3, torch::kFloat});
  Conv2d conv = convolution(p.weight);
  conv->weight.requires_grad_(false);
  const Tensor x = p.x.contiguous(channels_last).requires_grad_();
  convolve(*conv, x).backward(p.grad);
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(conv->weight.grad().defined());
}

// What the fast paths do not cover goes to the module.
TEST(ConvolutionTest, OtherOptionsAreTheModulesOwn) {
  torch::manual_seed(1);
  const Tensor x = torch::randn({2, 128, 9, 9}).contiguous(channels_last);
  const auto base = Conv2dOptions(128, 128, 3).padding(1);
  auto strided = base, grouped = base, dilated = base, biased = base, reflected = base, valid = base, same = base;
  for (Conv2dOptions* options : {&strided, &grouped, &dilated, &reflected, &valid, &same}) options->bias(false);
  strided.stride(2);
  grouped.groups(2);
  dilated.dilation(2);
  reflected.padding_mode(torch::kReflect);
  valid.padding(0);
  same.padding(torch::kSame);
  for (const Conv2dOptions& options : {strided, grouped, dilated, biased, reflected, valid, same}) {
    Conv2d conv(options);
    conv->weight.set_data(conv->weight.contiguous(channels_last));
    EXPECT_TRUE(torch::equal(convolve(*conv, x), conv(x))) << options.stride()->at(0);
  }
}

// torch itself leaves garbage in the gradient of those taps, in bfloat16.
TEST(ConvolutionTest, AStrideOverOnePixelReachesItsMiddleTapOnly) {
  torch::manual_seed(1);
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    for (int repeat = 0; repeat < 10; ++repeat) {
      const std::vector<Tensor> junk(8, torch::full({16 * 16 * 9 + repeat}, NAN, type));
      Conv2d conv(Conv2dOptions(16, 16, 3).stride(2).padding(1));
      conv->to(type);
      conv->weight.set_data(conv->weight.contiguous(channels_last));
      const Tensor x = torch::randint(-3, 4, {4, 16, 1, 1}).to(type),
                   grad = torch::randint(-3, 4, {4, 16, 1, 1}).to(type);
      convolve(*conv, x).backward(grad);
      Tensor expected = torch::zeros({16, 16, 3, 3});
      const auto pixels = [](const Tensor& t) { return t.flatten(1).to(torch::kFloat); };
      expected.select(3, 1).select(2, 1).copy_(pixels(grad).t().mm(pixels(x)));  // small integers: exact
      EXPECT_TRUE(torch::equal(conv->weight.grad().to(torch::kFloat), expected)) << type;
      EXPECT_TRUE(torch::equal(conv->bias.grad(), grad.sum({0, 2, 3}))) << type;
    }
  }
}

}  // namespace
