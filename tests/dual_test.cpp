// SPDX-License-Identifier: Apache-2.0
// Dual numbers and attn::math: derivatives against finite differences, and packs against scalars.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <vector>

namespace {

using attn::Index;
using D = attn::Dual<double, 2>;
using P = attn::engine::Pack<double>;
namespace math = attn::math;

/// Both derivatives of f(x, y) against central differences.
template <class F>
void expect_derivatives(F f, double x, double y) {
  const D result = f(D::variable(x, 0), D::variable(y, 1));
  const double h = 1e-6;
  EXPECT_DOUBLE_EQ(result.value, f(x, y));
  EXPECT_NEAR(result.derivative[0], (f(x + h, y) - f(x - h, y)) / (2 * h), 1e-8);
  EXPECT_NEAR(result.derivative[1], (f(x, y + h) - f(x, y - h)) / (2 * h), 1e-8);
}

TEST(Dual, DifferentiatesArithmetic) {
  for (const auto& [x, y] : {std::pair(0.7, -1.3), std::pair(-2.0, 0.4)}) {
    expect_derivatives([](auto a, auto b) { return a + b; }, x, y);
    expect_derivatives([](auto a, auto b) { return a - b; }, x, y);
    expect_derivatives([](auto a, auto b) { return a * b; }, x, y);
    expect_derivatives([](auto a, auto b) { return a / b; }, x, y);
    expect_derivatives([](auto a, auto b) { return -a + +b; }, x, y);
    expect_derivatives([](auto a, auto b) { return 3 - a * 2.0F + 1 / b; }, x, y);
  }
}

TEST(Dual, DifferentiatesCompoundAssignment) {
  const auto f = [](auto a, auto b) {
    auto c = a;
    c += b;
    c *= a;
    c -= 2.0;
    c /= b;
    return c;
  };
  expect_derivatives(f, 0.7, -1.3);
}

TEST(Dual, DifferentiatesFunctions) {
  using std::cos, std::exp, std::log, std::pow, std::sin, std::sqrt, std::tanh;
  expect_derivatives([](auto a, auto b) { return exp(a) * b; }, 0.7, -1.3);
  expect_derivatives([](auto a, auto b) { return log(a) + tanh(b); }, 0.7, -1.3);
  expect_derivatives([](auto a, auto b) { return sqrt(a) * sin(b); }, 0.7, -1.3);
  expect_derivatives([](auto a, auto b) { return cos(a) * pow(a, 2.5) + b; }, 0.7, -1.3);
}

TEST(Dual, DifferentiatesTheChosenBranch) {
  for (const auto& [x, y] : {std::pair(0.7, -1.3), std::pair(-2.0, 0.4)}) {
    expect_derivatives([](auto a, auto b) { return math::abs(a) * b; }, x, y);
    expect_derivatives([](auto a, auto b) { return math::min(a, b) * a; }, x, y);
    expect_derivatives([](auto a, auto b) { return math::max(a, b) * b; }, x, y);
    expect_derivatives([](auto a, auto b) { return math::max(a, 0.0) + math::min(1.0, b); }, x, y);
    expect_derivatives([](auto a, auto b) { return math::select(a < b, a * a, b * a); }, x, y);
    expect_derivatives([](auto a, auto b) { return math::select(a > 0, a, 0.5) * b; }, x, y);
    expect_derivatives([](auto a, auto b) { return a < b ? a * b : b; }, x, y);
  }
}

TEST(Dual, ComparesByValue) {
  const D a = D::variable(1.0, 0), b = D::variable(2.0, 1);
  EXPECT_TRUE(a < b && a <= b && b > a && b >= a && a == D(1.0));
  EXPECT_FALSE(b < a || b <= a || a > b || a >= b || a == b);
}

TEST(Dual, IsAScalarOfEigen) {
  using Row = Eigen::Matrix<attn::Dual<double>, 1, 3>;
  Row q(1.0, 2.0, 3.0), k(0.5, -1.0, 2.0);
  q(1).derivative[0] = 1;
  EXPECT_DOUBLE_EQ(q.dot(k).derivative[0], -1.0);
  EXPECT_DOUBLE_EQ((q - k).squaredNorm().derivative[0], 6.0);
  EXPECT_DOUBLE_EQ(q.norm().derivative[0], 2.0 / std::sqrt(14.0));
  EXPECT_DOUBLE_EQ((q * Eigen::Matrix3d::Identity()).dot(k).derivative[0], -1.0);
}

/// f of a pack, lane by lane the same as f of a number.
template <class F>
void expect_same_lanes(F f, double tolerance = 0) {
  std::vector<double> x(static_cast<std::size_t>(P::width)), y(x.size()), result(x.size());
  for (int start = 0; start < 6; ++start) {
    for (std::size_t l = 0; l < x.size(); ++l) {
      x[l] = 0.5 + 0.37 * double(l) - 0.3 * start;
      y[l] = 0.9 - 0.21 * double(l) * start;
    }
    P(f(P::load(x.data()), P::load(y.data()))).store(result.data());
    for (std::size_t l = 0; l < x.size(); ++l)
      EXPECT_NEAR(result[l], f(x[l], y[l]), tolerance * std::max(1.0, std::abs(f(x[l], y[l]))))
          << "x " << x[l] << ", y " << y[l];
  }
}

TEST(Math, IsTheSameOnPacks) {
  expect_same_lanes([](auto a, auto b) { return a * b - a / (b + 10) + 2 * a; }, 1e-15);
  expect_same_lanes([](auto a, auto b) { return math::exp(a) + math::tanh(b); }, 1e-14);
  expect_same_lanes([](auto a, auto b) { return math::log(math::abs(a) + 0.1) * b; }, 1e-14);
  expect_same_lanes([](auto a, auto b) { return math::min(a, b) + 2 * math::max(a, b); });
  expect_same_lanes([](auto a, auto b) { return math::max(a, 0.0) - math::min(1.0, b); });
  expect_same_lanes([](auto a, auto b) { return math::select(a < b, a, b * 2); });
  expect_same_lanes([](auto a, auto b) { return math::select(a >= b, a, 0.0); });
  expect_same_lanes([](auto a, auto b) { return math::select(a <= 0.5, 1.0, 2.0) * b; });
}

TEST(Math, KnowsTheLimitsOfExp) {
  const auto at = [](double x) {
    std::vector<double> lanes(static_cast<std::size_t>(P::width));
    math::exp(P(x)).store(lanes.data());
    return lanes[0];
  };
  EXPECT_EQ(at(-1e4), 0.0);
  EXPECT_EQ(at(-std::numeric_limits<double>::infinity()), 0.0);
  EXPECT_EQ(at(1e4), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(at(std::nan(""))));
}

TEST(Math, DifferentiatesPacks) {
  using DP = attn::Dual<P, 1>;
  std::vector<double> lanes(static_cast<std::size_t>(P::width));
  const DP x = DP::variable(P(0.3), 0);
  const DP y = math::select(x.value < P(0.5), math::tanh(x), math::exp(x));
  y.derivative[0].store(lanes.data());
  EXPECT_NEAR(lanes[0], 1 - std::tanh(0.3) * std::tanh(0.3), 1e-14);
  const DP z = math::max(math::abs(-x), 0.1) * math::min(x, 2.0);
  z.derivative[0].store(lanes.data());
  EXPECT_NEAR(lanes[0], 0.6, 1e-14);
}

}  // namespace
