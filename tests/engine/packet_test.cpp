// SPDX-License-Identifier: Apache-2.0
// SIMD packs: the functions that must hold at the ends of their range.
#include <gtest/gtest.h>

#include <attn/engine/packet_math.hpp>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using attn::Index;

template <class A>
class PackOf : public testing::Test {
 protected:
  using Numbers = attn::engine::Pack<A>;
  static constexpr A infinity = std::numeric_limits<A>::infinity();
  static constexpr A nan = std::numeric_limits<A>::quiet_NaN();

  static std::vector<A> lanes(const Numbers& pack) {
    std::vector<A> result(static_cast<std::size_t>(Numbers::width));
    pack.store(result.data());
    return result;
  }
  /// The first lane of f(x).
  template <class F>
  static A at(A x, F f) {
    return lanes(f(Numbers(x)))[0];
  }
};

using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(PackOf, Scalars);

TYPED_TEST(PackOf, LoadsAndStoresItsLanesInOrder) {
  using P = typename TestFixture::Numbers;
  const std::vector<TypeParam> counted = this->lanes(P::first_and_up(TypeParam(3)));
  for (Index l = 0; l < P::width; ++l) EXPECT_EQ(counted[std::size_t(l)], TypeParam(3 + l));
  EXPECT_EQ(attn::engine::sum(P(2)), TypeParam(2 * P::width));
}

TYPED_TEST(PackOf, ExpIsExactToAFewUnitsAndHasItsLimits) {
  const auto f = [](const auto& x) { return attn::engine::exp(x); };
  const TypeParam epsilon = std::numeric_limits<TypeParam>::epsilon();
  for (TypeParam x = -80; x < 80; x += TypeParam(0.37)) {
    const TypeParam expected = std::exp(x);
    EXPECT_TRUE(std::abs(this->at(x, f) - expected) <= 4 * epsilon * expected) << x;
  }
  EXPECT_EQ(this->at(TypeParam(-1e4), f), TypeParam(0));
  EXPECT_EQ(this->at(-TestFixture::infinity, f), TypeParam(0));
  EXPECT_EQ(this->at(TypeParam(1e4), f), TestFixture::infinity);
  EXPECT_TRUE(std::isnan(this->at(TestFixture::nan, f)));
}

TYPED_TEST(PackOf, ExpOfADifferenceIsZeroForWhatIsHiddenAlone) {
  using P = typename TestFixture::Numbers;
  const auto f = [](TypeParam m) {
    return [m](const P& s) { return attn::engine::exp_of_difference<true>(s, P(m)); };
  };
  EXPECT_EQ(this->at(TypeParam(3), f(3)), TypeParam(1));
  EXPECT_EQ(this->at(-TestFixture::infinity, f(3)), TypeParam(0));
  EXPECT_EQ(this->at(-TestFixture::infinity, f(std::numeric_limits<TypeParam>::lowest())),
            TypeParam(0));
  EXPECT_GT(this->at(TypeParam(-1e4), f(TypeParam(1e4))), TypeParam(0));
  EXPECT_TRUE(std::isnan(this->at(TestFixture::nan, f(3))));
  EXPECT_TRUE(std::isnan(this->at(TestFixture::infinity, f(TestFixture::infinity))));
  const auto nothing_hides = [](const P& s) {
    return attn::engine::exp_of_difference<false>(s, P(1));
  };
  EXPECT_EQ(this->at(TypeParam(1), nothing_hides), TypeParam(1));
  EXPECT_TRUE(std::isnan(this->at(TestFixture::nan, nothing_hides)));
}

TYPED_TEST(PackOf, ExpOfADifferenceIsExactToAFewUnits) {
  using P = typename TestFixture::Numbers;
  const TypeParam epsilon = std::numeric_limits<TypeParam>::epsilon();
  for (TypeParam x = -85; x <= 0; x += TypeParam(0.37)) {
    const TypeParam found =
        this->at(x, [](const P& s) { return attn::engine::exp_of_difference<true>(s, P(0)); });
    EXPECT_TRUE(std::abs(found - std::exp(x)) <= (2 - x) * epsilon * std::exp(x)) << x;
  }
}

TYPED_TEST(PackOf, TanhKeepsNaNAndItsLimits) {
  const auto f = [](const auto& x) { return attn::engine::tanh(x); };
  const TypeParam epsilon = std::numeric_limits<TypeParam>::epsilon();
  EXPECT_EQ(this->at(TypeParam(0), f), TypeParam(0));
  EXPECT_NEAR(this->at(TypeParam(1e4), f), 1.0, 2 * epsilon);
  EXPECT_NEAR(this->at(TestFixture::infinity, f), 1.0, 2 * epsilon);
  EXPECT_NEAR(this->at(-TestFixture::infinity, f), -1.0, 2 * epsilon);
  EXPECT_TRUE(std::isnan(this->at(TestFixture::nan, f)));
}

/// The largest error of f over 10^5 numbers of either sign between 1e-9 and `largest`, in units in
/// the last place of the result.
template <class A, class F, class Exact>
double error_in_units(A largest, F f, Exact exact) {
  double worst = 0;
  for (A x = A(1e-9); x < largest; x *= A(1.00025))
    for (const A signed_x : {x, -x}) {
      const long double expected = exact(static_cast<long double>(signed_x));
      const A size = std::abs(static_cast<A>(expected));
      const A unit = std::nextafter(size, std::numeric_limits<A>::infinity()) - size;
      std::vector<A> lanes(static_cast<std::size_t>(attn::engine::Pack<A>::width));
      f(attn::engine::Pack<A>(signed_x)).store(lanes.data());
      const double error = static_cast<double>(std::abs(lanes[0] - expected) / unit);
      if (!(error <= worst)) worst = error;
    }
  return worst;
}

TYPED_TEST(PackOf, TanhIsExactToAFewUnits) {
  const double error = error_in_units(
      TypeParam(30), [](const auto& x) { return attn::engine::tanh(x); },
      [](long double x) { return std::tanh(x); });
  EXPECT_TRUE(error <= (sizeof(TypeParam) == 4 ? 6 : 3)) << error;
}

TYPED_TEST(PackOf, ExpOfTwiceIsExactToAFewUnitsAndSoIsItLessOne) {
  using P = typename TestFixture::Numbers;
  const auto part = [](bool less_one) {
    return [=](const P& x) {
      P e, e_less_one;
      attn::engine::exp_of_twice(x, e, e_less_one);
      return less_one ? e_less_one : e;
    };
  };
  const TypeParam largest = sizeof(TypeParam) == 4 ? TypeParam(40) : TypeParam(340);
  const double e =
      error_in_units(largest, part(false), [](long double x) { return std::exp(2 * x); });
  EXPECT_TRUE(e <= 2) << e;
  const double less_one =
      error_in_units(largest, part(true), [](long double x) { return std::expm1(2 * x); });
  EXPECT_TRUE(less_one <= 3) << less_one;
}

TYPED_TEST(PackOf, ComparesAndSelectsLaneByLane) {
  using P = typename TestFixture::Numbers;
  const P x = P::first_and_up(TypeParam(0));
  const auto picked = this->lanes(attn::engine::select(x < P(1), P(5), x));
  for (std::size_t l = 0; l < picked.size(); ++l)
    EXPECT_EQ(picked[l], l < 1 ? TypeParam(5) : TypeParam(l));
  EXPECT_TRUE(attn::engine::any(x == P(0)));
  EXPECT_FALSE(attn::engine::any(x < P(0)));
  EXPECT_TRUE(attn::engine::any((x <= P(0)) & (x >= P(0))));
  EXPECT_TRUE(attn::engine::any((x > P(1000)) | (x == P(0))));
  EXPECT_EQ(this->lanes(attn::engine::max(x, P(-1)))[0], TypeParam(0));
  EXPECT_EQ(this->lanes(attn::engine::min(x, P(-1)))[0], TypeParam(-1));
}

TYPED_TEST(PackOf, PadsToWholePacks) {
  constexpr Index width = TestFixture::Numbers::width;
  EXPECT_EQ(attn::engine::padded<TypeParam>(0), 0);
  EXPECT_EQ(attn::engine::padded<TypeParam>(1), width);
  EXPECT_EQ(attn::engine::padded<TypeParam>(width), width);
  EXPECT_EQ(attn::engine::padded<TypeParam>(width + 1), 2 * width);
}

}  // namespace
