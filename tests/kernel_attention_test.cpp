// SPDX-License-Identifier: Apache-2.0
// Kernel attention against its definition with all weights written out, and its gradients against
// central differences of that.
#include <gtest/gtest.h>

#include <attn/executor.hpp>
#include <attn/kernel_attention.hpp>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/nonfinite.hpp"
#include "support/random.hpp"

namespace {

using attn::Causal;
using attn::Index;
using attn::MatrixX;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using support::message_of;

using support::nan;

double elu_plus_one(double x) { return x > 0 ? x + 1 : std::exp(x); }

/// Everything a call has; heads side by side in the columns.
struct Problem {
  Index heads, key_heads;
  MatrixXd Q, K, V, dO;

  Problem(Index n_q, Index n_k, Index d, Index d_v, Index h = 1, Index c = 1)
      : heads(h),
        key_heads(c),
        Q(2 * support::random(n_q, h * d, 1)),
        K(2 * support::random(n_k, c * d, 2)),
        V(support::random(n_k, c * d_v, 3)),
        dO(support::random(n_q, h * d_v, 4)) {}
  attn::Heads parts() const { return {.query = heads, .key_value = key_heads}; }

  /// The definition: phi(q) . phi(k) over the row's sum of them, for the keys j <= i + offset.
  template <class Phi>
  MatrixXd expected(Index offset, Phi phi) const {
    const Index d = Q.cols() / heads, d_v = V.cols() / key_heads;
    MatrixXd O = MatrixXd::Zero(Q.rows(), heads * d_v);
    for (Index h = 0; h < heads; ++h) {
      const Index c = h / (heads / key_heads);
      MatrixXd weights =
          Q.middleCols(h * d, d).unaryExpr(phi) * K.middleCols(c * d, d).unaryExpr(phi).transpose();
      for (Index i = 0; K.rows() > 0 && i < weights.rows(); ++i) {
        for (Index j = 0; j < weights.cols(); ++j)
          if (j > i + offset) weights(i, j) = 0;
        const double sum = weights.row(i).sum();
        if (sum != 0)
          O.row(i).segment(h * d_v, d_v) = weights.row(i) / sum * V.middleCols(c * d_v, d_v);
      }
    }
    return O;
  }
  double loss(Index offset) const { return expected(offset, elu_plus_one).cwiseProduct(dO).sum(); }
};

constexpr Index everything = 1 << 20;

template <class... Parts>
void expect_definition(const Problem& p, Index offset, const Parts&... parts) {
  SCOPED_TRACE("n_q " + std::to_string(p.Q.rows()) + ", n_k " + std::to_string(p.K.rows()) +
               ", offset " + std::to_string(offset));
  const MatrixXd expected = p.expected(offset, elu_plus_one);
  EXPECT_TRUE(
      support::near(attn::kernel_attention(p.Q, p.K, p.V, p.parts(), parts...), expected, 1e-13));
  const MatrixXf O =
      attn::kernel_attention(MatrixXf(p.Q.cast<float>()), MatrixXf(p.K.cast<float>()),
                             MatrixXf(p.V.cast<float>()), p.parts(), parts...);
  EXPECT_TRUE(support::near(O, expected, 5e-6));
}

TEST(KernelAttention, IsItsDefinitionOverAllKeys) {
  for (const Index n_q : {0, 1, 5, 64, 65, 131})
    for (const Index n_k : {0, 1, 63, 130}) expect_definition(Problem(n_q, n_k, 5, 3), everything);
}

TEST(KernelAttention, IsItsDefinitionUnderCausalMasks) {
  for (const Index n_q : {0, 1, 15, 64, 131})
    for (const Index n_k : {0, 1, 63, 131, 200}) {
      const Problem p(n_q, n_k, 16, 17);
      for (const Index offset : {0, 3, 70, 1000, -3, -70, -1000})
        expect_definition(p, offset, Causal{.offset = offset});
      expect_definition(p, n_k - n_q, Causal::bottom_right());
    }
}

TEST(KernelAttention, GroupedHeadsShareKeys) {
  expect_definition(Problem(70, 70, 3, 4, 6, 2), 0, Causal{});
  expect_definition(Problem(70, 41, 1, 1, 4, 4), everything, attn::Threads{3});
}

void expect_gradients(Problem p, Index offset, const auto&... parts) {
  SCOPED_TRACE("n_q " + std::to_string(p.Q.rows()) + ", n_k " + std::to_string(p.K.rows()) +
               ", offset " + std::to_string(offset));
  const auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V, p.parts(), parts...);
  const auto gradient =
      attn::kernel_attention_backward(p.Q, p.K, p.V, forward, p.dO, p.parts(), parts...);
  const auto loss = [&] { return p.loss(offset); };
  EXPECT_TRUE(support::gradient_near(gradient.query, support::central_difference(p.Q, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.key, support::central_difference(p.K, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.value, support::central_difference(p.V, loss)));
}

TEST(KernelAttention, GradientsAreThoseOfTheDefinition) {
  expect_gradients(Problem(7, 9, 3, 4), everything);
  expect_gradients(Problem(20, 20, 3, 2, 4, 2), 0, Causal{});
  expect_gradients(Problem(20, 9, 3, 2), -4, Causal{.offset = -4});
  expect_gradients(Problem(9, 24, 2, 3), 4, Causal{.offset = 4});
  expect_gradients(Problem(70, 75, 2, 1), 5, Causal::bottom_right());
}

/// exp(x / 2): no bound of one half, so that it cannot be taken for elu + 1.
double half_exponential(double x) { return std::exp(x / 2); }

TEST(KernelAttention, TakesAFeatureMapOfTheUsers) {
  const Problem p(20, 20, 3, 2);
  const auto map = attn::feature_map([](auto x) {
    using std::exp;
    return exp(x / 2);
  });
  const auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V, map, Causal{});
  EXPECT_TRUE(support::near(forward.output, p.expected(0, half_exponential), 1e-13));
  const auto gradient =
      attn::kernel_attention_backward(p.Q, p.K, p.V, forward, p.dO, map, Causal{});
  Problem moved = p;
  const auto loss = [&] { return moved.expected(0, half_exponential).cwiseProduct(p.dO).sum(); };
  EXPECT_TRUE(support::gradient_near(gradient.query, support::central_difference(moved.Q, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.key, support::central_difference(moved.K, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.value, support::central_difference(moved.V, loss)));
}

TEST(KernelAttention, TheMapIsRightAtAndFarFromZero) {
  const attn::EluPlusOne map;
  for (const double x : {-800.0, -90.0, -1.0, -0.0, 0.0, 1.0, 1e6}) {
    EXPECT_NEAR(map(x), elu_plus_one(x), 1e-15 * elu_plus_one(x)) << x;
    const auto slope = map(attn::Dual<double>::variable(x, 0)).derivative[0];
    EXPECT_NEAR(slope, x > 0 ? 1 : std::exp(x), 1e-15) << x;
  }
  EXPECT_TRUE(std::isnan(map(nan)));
}

TEST(KernelAttention, ARowWhoseWeightsVanishIsZero) {
  Problem p(3, 4, 2, 2);
  p.Q.row(1).setConstant(-1000);
  const auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V);
  EXPECT_TRUE(support::near(forward.output, p.expected(everything, elu_plus_one), 1e-13));
  EXPECT_EQ(forward.output.row(1).norm(), 0);
  EXPECT_EQ(forward.normalizer(1), 0);
  const auto gradient = attn::kernel_attention_backward(p.Q, p.K, p.V, forward, p.dO);
  EXPECT_EQ(gradient.query.row(1).norm(), 0);
  EXPECT_TRUE(gradient.key.allFinite() && gradient.value.allFinite());
}

TEST(KernelAttention, NaNReachesOnlyTheQueriesThatSeeIt) {
  Problem p(100, 100, 3, 2);
  const MatrixXd clean = attn::kernel_attention(p.Q, p.K, p.V, Causal{});
  for (MatrixXd* from : {&p.K, &p.V}) {
    const double before = (*from)(70, 1);
    (*from)(70, 1) = nan;
    const MatrixXd O = attn::kernel_attention(p.Q, p.K, p.V, Causal{});
    EXPECT_TRUE(support::near(O.topRows(70), clean.topRows(70), 1e-13));
    EXPECT_TRUE(O.bottomRows(30).col(1).array().isNaN().all());
    (*from)(70, 1) = before;
  }
  p.Q(70, 0) = nan;
  const MatrixXd O = attn::kernel_attention(p.Q, p.K, p.V, Causal{});
  EXPECT_TRUE(O.row(70).array().isNaN().all());
  EXPECT_TRUE(support::near(O.topRows(70), clean.topRows(70), 1e-13));
  EXPECT_TRUE(support::near(O.bottomRows(29), clean.bottomRows(29), 1e-13));
}

TEST(KernelAttention, WhatNobodySeesReachesNoOutputAndNoGradient) {
  const Problem p(30, 50, 3, 2), q(40, 30, 3, 2);
  Problem hidden = p, blind = q;
  hidden.K.bottomRows(20).setConstant(nan);
  hidden.V.bottomRows(20).setConstant(nan);
  blind.Q.topRows(10).setConstant(nan);
  const auto expect_same = [](const Problem& clean, const Problem& dirty, Causal causal) {
    const auto run = [&](const Problem& x) {
      const auto forward = attn::kernel_attention_forward(x.Q, x.K, x.V, causal);
      const auto g = attn::kernel_attention_backward(x.Q, x.K, x.V, forward, x.dO, causal);
      return std::vector<MatrixXd>{forward.output, g.query, g.key, g.value};
    };
    const auto a = run(clean), b = run(dirty);
    for (std::size_t m = 0; m < a.size(); ++m) EXPECT_TRUE(support::near(b[m], a[m], 0)) << m;
  };
  expect_same(p, hidden, Causal{});
  expect_same(q, blind, Causal{.offset = -10});
  const MatrixXd no_keys = MatrixXd::Zero(0, 3), nothing = MatrixXd::Zero(0, 2);
  EXPECT_TRUE(support::near(attn::kernel_attention(blind.Q, no_keys, nothing, Causal{}),
                            MatrixXd::Zero(40, 2), 0));
}

TEST(KernelAttention, ViewsThreadsAndAWorkspaceGiveTheSameBits) {
  const Index B = 2, H = 4, C = 2, n = 90, d = 5, d_v = 3;
  const MatrixXf q = support::random<float>(B * H * n * d, 1, 1),
                 k = support::random<float>(B * C * n * d, 1, 2),
                 v = support::random<float>(B * C * n * d_v, 1, 3);
  const auto dO = support::random<float>(B * H * n * d_v, 1, 4);
  const auto Q = attn::bhtd(q.data(), B, H, n, d), K = attn::bhtd(k.data(), B, C, n, d);
  const auto V = attn::bhtd(v.data(), B, C, n, d_v);
  const auto run = [&](auto&&... parts) {
    std::vector<MatrixXf> r{MatrixXf(dO.size(), 1), MatrixXf(B * H * n, 1), q, k, v};
    const auto O = attn::bhtd(r[0].data(), B, H, n, d_v), D = attn::bhtd(r[1].data(), B, H, n, 1);
    attn::kernel_attention_forward_into(O, D, Q, K, V, Causal{}, parts...);
    attn::kernel_attention_backward_into(attn::bhtd(r[2].data(), B, H, n, d),
                                         attn::bhtd(r[3].data(), B, C, n, d),
                                         attn::bhtd(r[4].data(), B, C, n, d_v), Q, K, V, O, D,
                                         attn::bhtd(dO.data(), B, H, n, d_v), Causal{}, parts...);
    return r;
  };
  attn::Workspace workspace;
  const auto once = run(), threads = run(attn::Threads{3}), again = run(workspace);
  for (std::size_t m = 0; m < once.size(); ++m) {
    EXPECT_TRUE(support::same_bits(once[m], threads[m])) << m;
    EXPECT_TRUE(support::same_bits(once[m], again[m])) << m;
  }
  using Rows = Eigen::Map<const Eigen::Matrix<float, -1, -1, Eigen::RowMajor>>;
  const Index head = 3, b = 1, at = b * H + head, key = b * C + 1;
  const auto alone = attn::kernel_attention_forward(
      Rows(q.data() + at * n * d, n, d), Rows(k.data() + key * n * d, n, d),
      Rows(v.data() + key * n * d_v, n, d_v), Causal{});
  EXPECT_TRUE(support::near(alone.output, Rows(once[0].data() + at * n * d_v, n, d_v), 1e-6));
}

TEST(KernelAttention, StorageOfSixteenBitsComputesInFloat) {
  const Problem p(70, 70, 8, 4);
  using Half = MatrixX<Eigen::half>;
  const Half Q = p.Q.cast<Eigen::half>(), K = p.K.cast<Eigen::half>(), V = p.V.cast<Eigen::half>();
  Problem rounded = p;
  rounded.Q = Q.cast<double>(), rounded.K = K.cast<double>(), rounded.V = V.cast<double>();
  Half O(70, 4);
  attn::kernel_attention_into(O, Q, K, V, Causal{});
  EXPECT_TRUE(support::near(O, rounded.expected(0, elu_plus_one), 1e-3));
  const auto forward = attn::kernel_attention_forward(Q, K, V, Causal{});
  const auto gradient =
      attn::kernel_attention_backward(Q, K, V, forward, Half(p.dO.cast<Eigen::half>()), Causal{});
  const auto exact_forward =
      attn::kernel_attention_forward(rounded.Q, rounded.K, rounded.V, Causal{});
  const auto exact = attn::kernel_attention_backward(rounded.Q, rounded.K, rounded.V, exact_forward,
                                                     p.dO, Causal{});
  EXPECT_TRUE(support::near(gradient.value, exact.value, 4e-3 * exact.value.cwiseAbs().maxCoeff()));
  EXPECT_TRUE(support::near(gradient.key, exact.key, 4e-3 * exact.key.cwiseAbs().maxCoeff()));
}

TEST(KernelAttention, WrongSizesAreOneSentence) {
  const Problem p(4, 4, 3, 2);
  const auto call = [&](const MatrixXd& Q, const MatrixXd& K, const MatrixXd& V, auto... parts) {
    return message_of<std::invalid_argument>([&] { attn::kernel_attention(Q, K, V, parts...); });
  };
  EXPECT_EQ(call(p.Q, p.K.leftCols(2), p.V),
            "attn::kernel_attention: a head of K has 2 features and one of Q has 3; queries and "
            "keys need the same feature size");
  EXPECT_EQ(call(p.Q, p.K, p.V.topRows(3)),
            "attn::kernel_attention: V has 3 rows and K has 4; each key needs one value, so both "
            "need the same number n_k");
  EXPECT_EQ(call(p.Q, p.K, p.V, attn::Heads{2}),
            "attn::kernel_attention: Q has 3 columns, which cannot be split into 2 heads; the head "
            "count must divide the columns");
  EXPECT_EQ(call(p.Q, p.K, p.V, attn::Threads{-1}),
            "attn::kernel_attention: Threads is -1; it must be 0 or more");
  MatrixXd O = MatrixXd::Zero(3, 2);
  EXPECT_EQ(
      message_of<std::invalid_argument>([&] { attn::kernel_attention_into(O, p.Q, p.K, p.V); }),
      "attn::kernel_attention_into: O is 3 x 2 and must be 4 x 2; a result is never resized");
  auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V);
  const auto backward = [&](const MatrixXd& dO) {
    return message_of<std::invalid_argument>(
        [&] { attn::kernel_attention_backward(p.Q, p.K, p.V, forward, dO); });
  };
  EXPECT_EQ(backward(p.dO.topRows(3)),
            "attn::kernel_attention_backward: dO is 3 x 2 and must be 4 x 2; the gradient of the "
            "output has the output's shape");
  forward.normalizer.conservativeResize(2, 1);
  EXPECT_EQ(backward(p.dO),
            "attn::kernel_attention_backward: the forward result's normalizer is 2 x 1 and must be "
            "4 x 1; it belongs to the forward call with the same Q, K and V");
  forward.output.conservativeResize(2, 2);
  EXPECT_EQ(backward(p.dO),
            "attn::kernel_attention_backward: the forward result's output is 2 x 2 and must be 4 x "
            "2; it belongs to the forward call with the same Q, K and V");
}

TEST(KernelAttention, GradientsNeedMemoryOfTheirOwn) {
  const Problem p(4, 4, 3, 3);
  auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V);
  MatrixXd dQ(4, 3), dK(4, 3), dV(4, 3);
  const auto backward = [&](MatrixXd& query, MatrixXd& key, MatrixXd& value) {
    return message_of<std::invalid_argument>([&] {
      attn::kernel_attention_backward_into(attn::view(query), attn::view(key), attn::view(value),
                                           attn::view(p.Q), attn::view(p.K), attn::view(p.V),
                                           attn::view(forward.output),
                                           attn::view(forward.normalizer), attn::view(p.dO));
    });
  };
  EXPECT_EQ(backward(dQ, dK, dV), "no exception");
  EXPECT_EQ(backward(dQ, dK, dK),
            "attn::kernel_attention_backward_into: dK overlaps dV in memory; results need memory "
            "of their own");
  EXPECT_EQ(backward(dQ, forward.output, dV),
            "attn::kernel_attention_backward_into: dK overlaps the forward result's output in "
            "memory; results need memory of their own");
}

}  // namespace
