// SPDX-License-Identifier: Apache-2.0
// Matrices whose sizes the compiler knows: which of them take a path of their own, its accuracy,
// and that whatever it cannot compute comes out as it does for matrices of other sizes.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <limits>

#include "support/random.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::engine::ResultMatrix;
using attn::engine::takes_fixed_path;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

template <class T, int n_q, int n_k, int d, int d_v, bool by_rows>
struct FixedProblem {
  ResultMatrix<T, n_q, d, by_rows> Q = support::random<T>(n_q, d, 1);
  ResultMatrix<T, n_k, d, by_rows> K = support::random<T>(n_k, d, 2);
  ResultMatrix<T, n_k, d_v, by_rows> V = support::random<T>(n_k, d_v, 3);

  MatrixX<T> attend() const { return attn::attention(Q, K, V); }
  /// The same by way of sizes that the compiler does not know.
  MatrixX<T> attend_dynamic() const {
    using Dynamic = ResultMatrix<T, Eigen::Dynamic, Eigen::Dynamic, by_rows>;
    return attn::attention(Dynamic(Q), Dynamic(K), Dynamic(V));
  }
};

template <class T, int n_q, int n_k, int d, int d_v, bool by_rows>
void expect_accurate() {
  SCOPED_TRACE(testing::Message() << n_q << " on " << n_k << ", d " << d << ", d_v " << d_v
                                  << (by_rows ? " by rows" : " by columns"));
  const FixedProblem<T, n_q, n_k, d, d_v, by_rows> p;
  static_assert(takes_fixed_path<decltype(p.Q), decltype(p.K), decltype(p.V)>);
  ResultMatrix<T, n_q, d_v, by_rows> O;
  ASSERT_TRUE(attn::engine::attend_fixed(p.Q, p.K, p.V, O));
  using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;
  const MatrixX<T> Q = p.Q, K = p.K, V = p.V;
  const auto exact = attn::reference::attend<Wide>(Q, K, V).output.template cast<double>().eval();
  const double error = (O.template cast<double>() - exact).cwiseAbs().maxCoeff();
  EXPECT_LE(error, 8 * double(std::numeric_limits<T>::epsilon()) * double(V.cwiseAbs().maxCoeff()));
}

/// Few, since a size takes the compiler one or two seconds.
TEST(FixedSizes, AreAsAccurateAsTheTextbook) {
  expect_accurate<float, 1, 1, 1, 1, false>();
  expect_accurate<float, 1, 7, 1, 5, true>();
  expect_accurate<float, 5, 1, 3, 2, false>();
  expect_accurate<float, 2, 2, 4, 4, true>();
  expect_accurate<float, 4, 4, 32, 32, false>();
  expect_accurate<float, 8, 8, 8, 8, true>();
  expect_accurate<double, 2, 2, 4, 4, false>();
  expect_accurate<double, 3, 5, 7, 2, true>();
}

TEST(FixedSizes, HaveAPathWhereTheyAreFewMatchAndComeAlone) {
  using Q = Eigen::Matrix<float, 2, 4>;
  using Half = Eigen::Matrix<Eigen::half, 2, 4>;
  using Wide = Eigen::Matrix<float, 2, 512>;
  using Other = Eigen::Matrix<float, 2, 3>;
  using Sum = decltype(Q() + Q());
  static_assert(takes_fixed_path<Q, Q, Q>);
  static_assert(takes_fixed_path<Eigen::Map<const Q>, Q, Eigen::Ref<const Q>>);
  static_assert(!takes_fixed_path<Q, Q, Q, attn::Causal>);
  static_assert(!takes_fixed_path<MatrixX<float>, Q, Q>);
  static_assert(!takes_fixed_path<Half, Half, Half>);
  static_assert(!takes_fixed_path<Wide, Wide, Wide>);
  static_assert(!takes_fixed_path<Q, Other, Q>);
  static_assert(!takes_fixed_path<Sum, Q, Q>);
}

TEST(FixedSizes, OfArraysGoByTheOtherPaths) {
  const Eigen::Array<float, 4, 3> x = support::random<float>(4, 3, 5);
  const MatrixX<float> O = attn::attention(x, x, x), dynamic = x.matrix();
  EXPECT_EQ(O, attn::attention(dynamic, dynamic, dynamic));
}

using Small = FixedProblem<float, 3, 4, 4, 2, true>;

TEST(FixedSizes, TakeTheirPath) {
  const Small p;
  ResultMatrix<float, 3, 2, true> O;
  ASSERT_TRUE(attn::engine::attend_fixed(p.Q, p.K, p.V, O));
  EXPECT_EQ(p.attend(), O);
}

/// O of both ways, which must agree to the bit, NaN where NaN is.
void expect_as_dynamic(const Small& p) {
  const MatrixX<float> O = p.attend(), expected = p.attend_dynamic();
  EXPECT_TRUE(
      (O.array() == expected.array() || (O.array().isNaN() && expected.array().isNaN())).all())
      << O << "\n\n"
      << expected;
}

TEST(FixedSizes, LeaveScoresFarFromZeroToTheOtherPaths) {
  Small p;
  p.Q *= 1000;
  expect_as_dynamic(p);
}

TEST(FixedSizes, LeaveScoresThatAreNotFiniteToTheOtherPaths) {
  Small infinite;
  infinite.K(1, 0) = -inf;  // hides the key from queries whose first feature is above zero
  infinite.Q.col(0).setOnes();
  infinite.V(1, 0) = nan;  // which nobody sees
  expect_as_dynamic(infinite);
  EXPECT_TRUE(infinite.attend().allFinite());

  Small broken;
  broken.Q(2, 1) = nan;
  expect_as_dynamic(broken);

  Small nothing;
  nothing.K.col(0).setConstant(-inf);
  nothing.Q.col(0).setOnes();
  expect_as_dynamic(nothing);
  EXPECT_TRUE((nothing.attend().array() == 0).all());
}

TEST(FixedSizes, CarryWhatVHolds) {
  Small p;
  p.V(0, 0) = inf;
  p.V(1, 1) = nan;
  const MatrixX<float> O = p.attend();
  EXPECT_TRUE((O.col(0).array() == inf).all());
  EXPECT_TRUE(O.col(1).array().isNaN().all());

  p.V.setConstant(3e38f);
  EXPECT_LE((p.attend().array() / 3e38f - 1).abs().maxCoeff(), 1e-6f);
}

}  // namespace
