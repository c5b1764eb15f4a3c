// SPDX-License-Identifier: Apache-2.0
// The entry points: a table worked out by hand, and one answer whatever the inputs are made of.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Problem;
using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

const double e = std::exp(1.0);

// S = Q K^T = ((1, 0), (0, 1), (0, 0))
const MatrixXd Q{{1.0, 0.0}, {0.0, 1.0}, {0.0, 0.0}};
const MatrixXd K = MatrixXd::Identity(2, 2);
const MatrixXd V{{1.0, 2.0}, {3.0, 6.0}};
const MatrixXd P{{e / (1 + e), 1 / (1 + e)}, {1 / (1 + e), e / (1 + e)}, {0.5, 0.5}};
const VectorXd L{{std::log(1 + e), std::log(1 + e), std::log(2.0)}};
const attn::DotProduct dot;

TEST(Attention, IsTheTableWorkedOutByHand) {
  const MatrixXd O = P * V;
  EXPECT_TRUE(support::near(attn::attention(Q, K, V, dot), O, 1e-15));
  EXPECT_TRUE(support::near(attn::attention_weights(Q, K, dot), P, 1e-15));
  const auto forward = attn::attention_forward(Q, K, V, dot);
  EXPECT_TRUE(support::near(forward.output, O, 1e-15));
  EXPECT_TRUE(support::near(forward.log_sum_exp, L, 1e-15));
  const auto weighted = attn::attention_with_weights(Q, K, V, dot);
  EXPECT_TRUE(support::near(weighted.output, O, 1e-15));
  EXPECT_TRUE(support::near(weighted.weights, P, 1e-15));
  MatrixXd into = MatrixXd::Constant(3, 2, 7.0);
  attn::attention_into(into, Q, K, V, dot);
  EXPECT_TRUE(support::near(into, O, 1e-15));
}

// The third query has equal weights: dV = P^T dO, dS = P o (dP - D), worked out for dO = (0, 1)
// in that row alone: dP = (2, 6), D = 4, dS = (-1, 1), dQ = dS K.
TEST(Attention, HasTheGradientsWorkedOutByHand) {
  MatrixXd dO = MatrixXd::Zero(3, 2);
  dO(2, 1) = 1;
  const auto forward = attn::attention_forward(Q, K, V, dot);
  const auto g = attn::attention_backward(Q, K, V, forward, dO, dot);
  EXPECT_TRUE(support::near(g.value, MatrixXd{{0.0, 0.5}, {0.0, 0.5}}, 1e-15));
  EXPECT_TRUE(support::near(g.query, MatrixXd{{0.0, 0.0}, {0.0, 0.0}, {-1.0, 1.0}}, 1e-15));
  EXPECT_TRUE(support::near(g.key, MatrixXd::Zero(2, 2), 1e-15));
}

TEST(Attention, ViewsItsArgumentsAndReturnsNewMemory) {
  const auto forward = attn::attention_forward(Q, K, V, dot);
  static_assert(std::is_same_v<decltype(attn::attention(Q, K, V)), MatrixXd>);
  static_assert(std::is_same_v<decltype(forward.output), MatrixXd>);
  static_assert(std::is_same_v<decltype(forward.log_sum_exp), VectorXd>);
}

/// The same call with inputs of other kinds gives the same numbers.
class AttentionInputs : public testing::Test {
 protected:
  template <class A, class B, class C>
  void expect_same(const A& q, const B& k, const C& v) {
    EXPECT_TRUE(support::near(attn::attention(q, k, v, mask_), expected_, 1e-14));
  }

  Problem<> p_{{.n_q = 11, .n_k = 140, .d = 6, .d_v = 5}};
  attn::Causal mask_ = attn::Causal::bottom_right();
  MatrixXd expected_ = attn::reference::attend(p_.Q, p_.K, p_.V, mask_).output;
};

TEST_F(AttentionInputs, MayHaveEitherStorageOrder) {
  const RowMajor q = p_.Q, k = p_.K, v = p_.V;
  expect_same(p_.Q, p_.K, p_.V);
  expect_same(q, k, v);
  expect_same(p_.Q, k, p_.V);
  static_assert(decltype(attn::attention(q, p_.K, p_.V))::IsRowMajor);
  static_assert(!decltype(attn::attention(p_.Q, k, v))::IsRowMajor);
}

TEST_F(AttentionInputs, MayBeMapsOfAnyStride) {
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  std::vector<double> memory(11 * 6 * 6, -99.0);
  Eigen::Map<MatrixXd, 0, Stride> q(memory.data(), 11, 6, Stride(35, 3));
  q = p_.Q;
  std::vector<double> row_memory(140 * 30, -99.0);
  Eigen::Map<RowMajor, 0, Stride> k(row_memory.data(), 140, 6, Stride(30, 4));
  k = p_.K;
  const Eigen::Map<const MatrixXd> v(p_.V.data(), 140, 5);
  expect_same(q, k, v);
}

TEST_F(AttentionInputs, MayBeBlocksRefsAndTransposes) {
  MatrixXd wide = MatrixXd::Constant(150, 20, -99.0);
  wide.block(3, 4, 140, 6) = p_.K;
  wide.block(3, 10, 140, 5) = p_.V;
  const MatrixXd q_transposed = p_.Q.transpose();
  expect_same(q_transposed.transpose(), wide.block(3, 4, 140, 6),
              wide.middleCols(10, 5).middleRows(3, 140));
  const Eigen::Ref<const MatrixXd> q(p_.Q), k(p_.K), v(p_.V);
  expect_same(q, k, v);
}

TEST_F(AttentionInputs, MayBeTemporariesProductsAndLazyExpressions) {
  const MatrixXd W = support::random(6, 6, 9);
  const MatrixXd half = p_.Q / 2;
  expect_same(2 * half, p_.K * MatrixXd::Identity(6, 6), MatrixXd(p_.V));
  expect_same(p_.Q.reverse().reverse(), p_.K.array().matrix(), p_.V + MatrixXd::Zero(140, 5));
  const attn::Bilinear same{W / std::sqrt(6.0)};
  EXPECT_TRUE(support::near(attn::attention(p_.Q * W, p_.K, p_.V),
                            attn::attention(p_.Q, p_.K, p_.V, same), 1e-13));
}

TEST(AttentionOfFixedSizes, KeepsThem) {
  const Eigen::Matrix<double, 3, 2> q = Q;
  const Eigen::Matrix<double, 2, 2, Eigen::RowMajor> k = K;
  const Eigen::Matrix<double, 2, 2> v = V;
  const auto O = attn::attention(q, k, v, dot);
  static_assert(std::is_same_v<decltype(O), const Eigen::Matrix<double, 3, 2>>);
  EXPECT_TRUE(support::near(O, P * V, 1e-15));
  const auto many = attn::attention(q, k, v, attn::Heads{2});
  static_assert(decltype(many)::ColsAtCompileTime == Eigen::Dynamic);
  const auto forward = attn::attention_forward(q, k, v, dot);
  const auto g = attn::attention_backward(q, k, v, forward, O, dot);
  static_assert(std::is_same_v<decltype(g.query), Eigen::Matrix<double, 3, 2>>);
  static_assert(decltype(g.key)::IsRowMajor);
  EXPECT_TRUE(support::near(g.value, P.transpose() * P * V, 1e-14));
}

TEST(AttentionOfFixedSizes, TakesOneQueryAsARowAndOneValueAsAColumn) {
  const Eigen::RowVector2d q = Q.row(0);
  const Eigen::Vector2d v = V.col(0);
  const auto O = attn::attention(q, K, v, dot);
  static_assert(decltype(O)::SizeAtCompileTime == 1);
  EXPECT_NEAR(O(0), (P * V)(0, 0), 1e-15);
  const RowMajor q_rows = Q;
  const auto column = attn::attention(q_rows, K, v, dot);
  static_assert(std::is_same_v<decltype(column), const VectorXd>);
  EXPECT_TRUE(support::near(column, P * V.col(0), 1e-15));
}

template <class T>
void expect_storage_type(double epsilon) {
  const Problem<> p({.n_q = 20, .n_k = 150, .d = 8, .d_v = 4});
  const attn::MatrixX<T> q = p.Q.cast<T>(), k = p.K.cast<T>(), v = p.V.cast<T>(),
                         d_out = p.dO.cast<T>();
  const attn::Causal mask{.offset = 100};
  const auto exact = attn::reference::attend(q, k, v, mask);
  const auto forward = attn::attention_forward(q, k, v, mask);
  static_assert(std::is_same_v<decltype(forward.output), attn::MatrixX<T>>);
  static_assert(std::is_same_v<decltype(forward.log_sum_exp), Eigen::VectorXf>);
  // Arithmetic is in float: one rounding to storage, of numbers below 1.
  EXPECT_TRUE(support::near(forward.output, exact.output, epsilon));
  EXPECT_TRUE(support::near(forward.log_sum_exp, exact.log_sum_exp, 1e-5));
  const auto g = attn::attention_backward(q, k, v, forward, d_out, mask);
  const MatrixXd Qd = q.template cast<double>(), Kd = k.template cast<double>(),
                 Vd = v.template cast<double>(), dOd = d_out.template cast<double>();
  const auto wide = attn::attention_forward(Qd, Kd, Vd, mask);
  const auto expected = attn::attention_backward(Qd, Kd, Vd, wide, dOd, mask);
  EXPECT_TRUE(support::near(g.query, expected.query, 4 * epsilon));
  EXPECT_TRUE(support::near(g.key, expected.key, 4 * epsilon));
  EXPECT_TRUE(support::near(g.value, expected.value, 4 * epsilon));
}

TEST(AttentionOfStorageTypes, ComputesInFloat) {
  expect_storage_type<Eigen::half>(0x1p-11);
  expect_storage_type<Eigen::bfloat16>(0x1p-8);
}

TEST(AttentionOfNothing, IsEmptyOrZero) {
  const MatrixXd none(0, 2);
  EXPECT_EQ(attn::attention(none, K, V).rows(), 0);
  EXPECT_EQ(attn::attention(none, K, V).cols(), 2);
  const auto forward = attn::attention_forward(Q, none, none, attn::Causal{});
  EXPECT_TRUE(support::near(forward.output, MatrixXd::Zero(3, 2), 0));
  EXPECT_TRUE((forward.log_sum_exp.array() == -std::numeric_limits<double>::infinity()).all());
  EXPECT_EQ(attn::attention_weights(Q, none).cols(), 0);
  EXPECT_EQ(attn::attention(Q, K, MatrixXd(2, 0)).cols(), 0);
  // Without features all scores are 0.
  EXPECT_TRUE(support::near(attn::attention(MatrixXd(3, 0), MatrixXd(2, 0), V),
                            V.colwise().mean().replicate(3, 1), 1e-15));
}

class AttentionInto : public AttentionInputs {
 protected:
  void expect_written(const MatrixXd& O) { EXPECT_TRUE(support::near(O, expected_, 1e-14)); }
};

TEST_F(AttentionInto, WritesATemporaryBlockAndNothingAroundIt) {
  MatrixXd memory = MatrixXd::Constant(20, 12, 7.0);
  attn::attention_into(memory.block(2, 3, 11, 5), p_.Q, p_.K, p_.V, mask_);
  expect_written(memory.block(2, 3, 11, 5));
  memory.block(2, 3, 11, 5).setConstant(7.0);
  EXPECT_TRUE((memory.array() == 7.0).all());
}

TEST_F(AttentionInto, WritesRowMajorMapsAndRefs) {
  RowMajor rows(11, 5);
  attn::attention_into(rows, p_.Q, p_.K, p_.V, mask_);
  expect_written(rows);
  using Stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  std::vector<double> memory(11 * 20, 7.0);
  Eigen::Map<RowMajor, 0, Stride> strided(memory.data(), 11, 5, Stride(20, 3));
  attn::attention_into(strided, p_.Q, p_.K, p_.V, mask_);
  expect_written(strided);
  MatrixXd plain(11, 5);
  Eigen::Ref<MatrixXd> ref(plain);
  attn::attention_into(ref, p_.Q, p_.K, p_.V, mask_);
  expect_written(plain);
}

TEST_F(AttentionInto, WritesExpressionsWithoutMemoryOfTheirOwn) {
  MatrixXd memory(11, 5);
  attn::attention_into(memory.reverse(), p_.Q, p_.K, p_.V, mask_);
  expect_written(memory.reverse());
  attn::attention_into(memory.transpose().transpose(), p_.Q, p_.K, p_.V, mask_);
  expect_written(memory);
}

TEST_F(AttentionInto, WritesBesideItsInputsInOneMatrix) {
  // Column blocks of a row-major matrix interleave in memory without sharing any of it.
  RowMajor all = RowMajor::Zero(140, 17);
  all.leftCols(6).topRows(11) = p_.Q;
  all.middleCols(6, 6) = p_.K;
  all.middleRows(0, 140).rightCols(5).setConstant(0);
  attn::attention_into(all.topRows(11).rightCols(5), all.leftCols(6).topRows(11),
                       all.middleCols(6, 6), p_.V, mask_);
  expect_written(all.topRows(11).rightCols(5));
}

TEST_F(AttentionInto, TakesViewsAllThrough) {
  MatrixXd O(11, 5);
  const MatrixXd &q = p_.Q, &k = p_.K, &v = p_.V;
  attn::attention_into(attn::view(O), attn::view(q), attn::view(k), attn::view(v), mask_);
  expect_written(O);
}

TEST(AttentionOfBatches, IsALoopOverBatchesAndHeads) {
  // Q {2, 4, 5, 3} of contiguous heads, K and V {2, 2, 6, .} with tokens outside heads.
  const VectorXd q = support::random_vector(2 * 4 * 5 * 3, 1), k = support::random_vector(72, 2),
                 v = support::random_vector(48, 3);
  VectorXd o = VectorXd::Zero(2 * 4 * 5 * 2), lse = VectorXd::Zero(2 * 4 * 5);
  const auto q_view = attn::bhtd(q.data(), 2, 4, 5, 3);
  const auto k_view = attn::bthd(k.data(), 2, 6, 2, 3);
  const auto v_view = attn::bthd(v.data(), 2, 6, 2, 2);
  const attn::KeyPadding padding{{4, 6}};
  attn::attention_forward_into(attn::bhtd(o.data(), 2, 4, 5, 2), attn::bhtd(lse.data(), 2, 4, 5, 1),
                               q_view, k_view, v_view, padding, attn::Causal::bottom_right());
  const auto matrix = [](const auto& view, Index b, Index h) {
    MatrixXd m(view.tokens(), view.features());
    for (Index t = 0; t < m.rows(); ++t)
      for (Index f = 0; f < m.cols(); ++f) m(t, f) = view(b, h, t, f);
    return m;
  };
  for (Index b = 0; b < 2; ++b)
    for (Index h = 0; h < 4; ++h) {
      const auto expected = attn::reference::attend(
          matrix(q_view, b, h), matrix(k_view, b, h / 2), matrix(v_view, b, h / 2),
          attn::KeyPadding{padding.length(b)}, attn::Causal::bottom_right());
      EXPECT_TRUE(
          support::near(matrix(attn::bhtd(o.data(), 2, 4, 5, 2), b, h), expected.output, 1e-14));
      EXPECT_TRUE(support::near(lse.segment((4 * b + h) * 5, 5), expected.log_sum_exp, 1e-14));
    }
}

TEST(AttentionOfBatches, WritesGradientsIntoViews) {
  const Problem<> p({.n_q = 6, .n_k = 7, .d = 3, .d_v = 2, .heads = 2, .key_heads = 2});
  const attn::Heads heads{2};
  const attn::Softcap cap{2};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads, cap);
  const auto expected = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, cap);
  MatrixXd dQ(6, 6), dK(7, 6), dV(7, 4);
  const MatrixXd lse = forward.log_sum_exp;
  const auto parts = attn::attention_backward_into(
      attn::view(dQ, heads), attn::view(dK, heads), attn::view(dV, heads), attn::view(p.Q, heads),
      attn::view(p.K, heads), attn::view(p.V, heads), attn::view(forward.output, heads),
      attn::view(lse, heads), attn::view(p.dO, heads), cap);
  EXPECT_TRUE(support::same_bits(dQ, expected.query));
  EXPECT_TRUE(support::same_bits(dK, expected.key));
  EXPECT_TRUE(support::same_bits(dV, expected.value));
  EXPECT_EQ(parts.of<attn::Softcap>().cap, expected.of<attn::Softcap>().cap);
}

}  // namespace
