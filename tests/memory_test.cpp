// SPDX-License-Identifier: Apache-2.0
// The memory that forward, backward and explanations take at n = 16384, in a program of its own.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <attn/attn.hpp>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace {

using Eigen::MatrixXf;

constexpr attn::Index n = 16384;
constexpr attn::Index d = 64;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif
#else
constexpr bool is_sanitized = false;
#endif

/// The largest resident size of this process so far, in MB (Linux counts in KiB).
double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) * 1024 / 1e6;
}

// The window keeps the test short; what is stored does not depend on it.
TEST(Memory, OfForwardAndBackwardStaysFarBelowThatOfTheScores) {
  if (is_sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
  const MatrixXf Q = support::random<float>(n, d, 1), K = support::random<float>(n, d, 2),
                 V = support::random<float>(n, d, 3), dO = support::random<float>(n, d, 4);
  const attn::SlidingWindow window{100, 100};
  const double before = peak_megabytes();
  const auto forward = attn::attention_forward(Q, K, V, window);
  const auto gradient = attn::attention_backward(Q, K, V, forward, dO, window);
  const double grown = peak_megabytes() - before;
  EXPECT_TRUE(grown < 100) << grown << " MB; all scores in float would be 1074 MB";
  RecordProperty("megabytes", std::to_string(grown));

  // The last rows are those of a small call.
  const auto last = attn::attention(Q.bottomRows(10), K.bottomRows(700), V.bottomRows(700), window,
                                    attn::PositionOffset{.query = n - 10, .key = n - 700});
  EXPECT_TRUE(support::near(forward.output.bottomRows(10), last, 1e-6));
  EXPECT_TRUE(gradient.query.allFinite());
}

TEST(Memory, OfASparseNormaliserStaysThatOfABlockOfRows) {
  if (is_sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
  const MatrixXf Q = support::random<float>(200, 8, 1), K = support::random<float>(n, 8, 2);
  const double before = peak_megabytes();
  const auto forward = attn::attention_forward(Q, K, K, attn::Entmax15{});
  const auto gradient = attn::attention_backward(Q, K, K, forward, Q, attn::Entmax15{});
  EXPECT_TRUE(peak_megabytes() - before < 20);
  EXPECT_TRUE(gradient.query.allFinite());
}

TEST(Memory, OfExplanationsStaysLinear) {
  if (is_sanitized) GTEST_SKIP() << "a sanitizer has memory of its own";
  const MatrixXf Q = support::random<float>(n, 8, 1), K = support::random<float>(n, 8, 2);
  const attn::SlidingWindow window{200, 200};
  const double before = peak_megabytes();
  const auto top = attn::explain::top_k(Q, K, 4, window);
  const MatrixXf entropy = attn::explain::entropy(Q, K, window);
  const MatrixXf mass = attn::explain::column_mass(Q, K, window);
  attn::explain::Rollout rollout = attn::explain::Rollout::of_every_token(n);
  rollout.layer(Q, K, window);
  const double grown = peak_megabytes() - before;
  EXPECT_TRUE(grown < 20) << grown << " MB; all weights in float would be 1074 MB";
  EXPECT_TRUE(support::near(mass.colwise().sum(), Eigen::RowVectorXd::Constant(1, n), 1));
  EXPECT_NEAR(rollout.relevance().sum(), 1, 1e-5);
  EXPECT_TRUE(top.keys.minCoeff() >= 0 && entropy.allFinite());
}

}  // namespace
