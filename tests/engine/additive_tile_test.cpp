// SPDX-License-Identifier: Apache-2.0
// Additive scores and their gradients, a tile at a time, against sums of std::tanh in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/engine/additive_tile.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using attn::Index;
using attn::MatrixX;
using attn::VectorX;

template <class A>
MatrixX<A> random_matrix(Index rows, Index cols, unsigned seed, double factor) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return MatrixX<A>::NullaryExpr(rows, cols,
                                 [&] { return static_cast<A>(factor * normal(random)); });
}

/// One panel of queries and one tile of keys, already projected.
template <class A>
struct Tile {
  static constexpr Index width = attn::engine::Pack<A>::width;
  using Padded = attn::engine::PaddedTile<A>;

  Index rows, keys, a;
  MatrixX<A> q, k, s, ds, dq, dk;
  VectorX<A> v;
  struct {
    VectorX<A> v;
  } gradient;

  Tile(Index r, Index n, Index features, double factor = 1, double v_factor = 1)
      : rows(r),
        keys(n),
        a(features),
        q(MatrixX<A>::Zero(attn::engine::padded<A>(r) + width, features)),
        k(random_matrix<A>(n + 3, features, 2, factor)),
        s(MatrixX<A>::Constant(q.rows(), n, A(7))),
        ds(MatrixX<A>::Zero(q.rows(), n)),
        dq(MatrixX<A>::Zero(q.rows(), features)),
        dk(MatrixX<A>::Zero(n, features)),
        v(random_matrix<A>(features, 1, 3, v_factor)),
        gradient{VectorX<A>::Zero(features)} {
    q.topRows(r) = random_matrix<A>(r, features, 1, factor);
    ds.topRows(r) = random_matrix<A>(r, n, 4, 1);
  }

  static Padded padded(MatrixX<A>& m) {
    Padded tile;
    tile.data = m.data();
    tile.stride = m.rows();
    return tile;
  }
  attn::engine::Operand<A> key_operand() const { return {k.data(), keys, a, k.rows(), false}; }
  attn::engine::AdditiveTile<A> engine() const {
    const attn::engine::Operand<A> none(nullptr, 0, 0, 0, false);
    return {none, none, a, v.data(), nullptr};
  }

  void run_scores() { engine().scores(padded(s), rows, padded(q), key_operand()); }
  void run_backward() {
    engine().scores_backward(padded(ds), rows, padded(q), key_operand(), padded(dq),
                             {dk.data(), keys, a, Eigen::OuterStride<>(dk.outerStride())},
                             gradient);
  }
  long double tanh_of(Index i, Index j, Index c) const {
    return std::tanh(static_cast<long double>(q(i, c)) + static_cast<long double>(k(j, c)));
  }

  /// The largest error of a score, as a multiple of epsilon sum |v| factor.
  double score_error(double factor = 1) const {
    double worst = 0;
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < keys; ++j) {
        long double expected = 0;
        for (Index c = 0; c < a; ++c) expected += v(c) * tanh_of(i, j, c);
        const double error = static_cast<double>(std::abs(s(i, j) - expected));
        if (!(error <= worst)) worst = error;
      }
    return worst / (std::numeric_limits<A>::epsilon() * double(v.cwiseAbs().sum()) * factor);
  }
};

template <class A>
class AdditiveTile : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(AdditiveTile, Scalars);

TYPED_TEST(AdditiveTile, ScoresAreSumsOfTanhAtAllSizes) {
  const Index width = Tile<TypeParam>::width;
  for (const Index rows : {Index(1), width / 2 + 1, width, 3 * width - 1})
    for (const Index keys : {1, 63, 64, 65, 130})
      for (const Index a : {1, 2, 3, 7, 8, 9, 17}) {
        Tile<TypeParam> tile(rows, keys, a);
        tile.run_scores();
        EXPECT_TRUE(tile.score_error() <= 6) << rows << " x " << keys << " x " << a;
      }
}

TYPED_TEST(AdditiveTile, ScoresAreExactForNumbersOfAnySize) {
  for (const double factor : {0.01, 2.0, 5.0, 10.0, 30.0, 1e3, 1e6})
    for (const double v_factor : {1.0, 1e5}) {
      Tile<TypeParam> tile(2 * Tile<TypeParam>::width, 70, 11, factor, v_factor);
      tile.run_scores();
      EXPECT_TRUE(tile.score_error() <= 6) << factor << ", v " << v_factor;
    }
}

TYPED_TEST(AdditiveTile, KeepsDigitsNearZero) {
  for (const double factor : {1e-1, 1e-2, 1e-4, 1e-10}) {
    Tile<TypeParam> tile(2 * Tile<TypeParam>::width, 70, 9, factor);
    tile.k = tile.k.cwiseMin(TypeParam(0.25)).cwiseMax(TypeParam(-0.25)).eval();
    tile.run_scores();
    EXPECT_TRUE(tile.score_error(factor) <= 12) << factor;
  }
}

TYPED_TEST(AdditiveTile, OpposedLargeNumbersCancel) {
  Tile<TypeParam> tile(2 * Tile<TypeParam>::width, 70, 8);
  for (const double large : {8.0, 20.0, 39.0, 60.0, 339.0, 1e5}) {
    tile.q.array() += static_cast<TypeParam>(large);
    tile.k.array() -= static_cast<TypeParam>(large);
    tile.run_scores();
    // the sum q + k is itself rounded where tanh is
    EXPECT_TRUE(tile.score_error() <= 6 + large) << large;
  }
}

TYPED_TEST(AdditiveTile, NaNAndInfinityReachTheirOwnPairsAlone) {
  const TypeParam infinity = std::numeric_limits<TypeParam>::infinity();
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  const Index width = Tile<TypeParam>::width;
  for (const Index rows : {Index(1), 2 * width}) {
    Tile<TypeParam> tile(rows, 70, 9);
    tile.run_scores();
    const MatrixX<TypeParam> before = tile.s;
    tile.k(3, 2) = nan;
    tile.k(5, 4) = infinity;
    tile.k(6, 4) = -infinity;
    tile.q(0, 7) = nan;
    tile.run_scores();
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < tile.keys; ++j) {
        if (i == 0 || j == 3)
          EXPECT_TRUE(std::isnan(tile.s(i, j))) << i << ", " << j;
        else if (j != 5 && j != 6)
          EXPECT_NEAR(tile.s(i, j), before(i, j), 1e-5) << i << ", " << j;
        else
          EXPECT_TRUE(std::isfinite(tile.s(i, j))) << i << ", " << j;
      }
  }
}

TYPED_TEST(AdditiveTile, BackwardIsTheDerivative) {
  const Index width = Tile<TypeParam>::width;
  for (const double factor : {0.01, 1.0, 5.0, 40.0})
    for (const Index rows : {Index(1), 2 * width - 1})
      for (const Index a : {1, 2, 5}) {
        Tile<TypeParam> tile(rows, 70, a, factor);
        tile.run_backward();
        MatrixX<double> dq = MatrixX<double>::Zero(rows, a), dk = MatrixX<double>::Zero(70, a);
        VectorX<double> dv = VectorX<double>::Zero(a);
        for (Index c = 0; c < a; ++c)
          for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < 70; ++j) {
              const long double t = tile.tanh_of(i, j, c), ds = tile.ds(i, j);
              const double through = static_cast<double>(ds * (1 - t * t) * tile.v(c));
              dq(i, c) += through;
              dk(j, c) += through;
              dv(c) += static_cast<double>(ds * t);
            }
        const double allowed = 300 * double(std::numeric_limits<TypeParam>::epsilon());
        const auto error = [](const auto& found, const auto& expected) {
          return (found.template cast<double>() - expected).cwiseAbs().maxCoeff();
        };
        EXPECT_TRUE(error(tile.dq.topRows(rows), dq) <= allowed) << factor;
        EXPECT_TRUE(error(tile.dk, dk) <= allowed) << factor;
        EXPECT_TRUE(error(tile.gradient.v, dv) <= allowed * std::sqrt(double(rows))) << factor;
      }
}

TYPED_TEST(AdditiveTile, BackwardLetsNothingOfAHiddenPairThrough) {
  for (const Index rows : {Index(1), 2 * Tile<TypeParam>::width}) {
    Tile<TypeParam> tile(rows, 70, 3);
    tile.ds.col(4).setZero();
    tile.run_backward();
    const MatrixX<TypeParam> dq = tile.dq, dk = tile.dk;
    tile.dq.setZero();
    tile.dk.setZero();
    tile.gradient.v.setZero();
    tile.k.row(4).setConstant(std::numeric_limits<TypeParam>::quiet_NaN());
    tile.run_backward();
    EXPECT_TRUE((tile.dq - dq).cwiseAbs().maxCoeff() <= 1e-4);
    EXPECT_TRUE((tile.dk - dk).cwiseAbs().maxCoeff() <= 1e-4);
    EXPECT_TRUE(tile.gradient.v.allFinite());
  }
}

}  // namespace
