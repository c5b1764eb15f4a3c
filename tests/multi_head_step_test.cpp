// SPDX-License-Identifier: Apache-2.0
// MultiHeadAttention::step: token by token is one causal pass, with rotation, norms, grouped heads,
// windows and every storage type.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <attn/multi_head.hpp>
#include <cstdint>
#include <optional>

#include "support/cached.hpp"

namespace {

using attn::Index;
using attn::KeyValueCache;
using attn::MatrixX;
using support::MatrixXd;
using support::message_of;
using support::near;

constexpr Index n = 70, E = 48;

attn::MultiHeadAttentionOptions options(bool rotates) {
  attn::MultiHeadAttentionOptions o{.embed_dim = E, .num_heads = 6, .num_kv_heads = 2};
  if (rotates) o.rotary = attn::RotaryEmbeddingOptions{.pairing = attn::RotaryPairing::half_split};
  o.qk_norm = rotates;
  return o;
}

/// Steps through X in pieces and compares with the rows of the whole.
template <class T, class S, class... Parts>
void expect_steps(const attn::MultiHeadAttention<T>& layer, const MatrixX<T>& X,
                  attn::KeyValueCacheOptions cache_options, const MatrixXd& whole, double bound,
                  const Parts&... parts) {
  KeyValueCache<T, S> cache(cache_options);
  support::for_each_piece([&](Index first, Index count) {
    const auto Y = layer.step(X.middleRows(first, count), cache, parts...);
    EXPECT_TRUE(near(Y, whole.middleRows(first, count), bound)) << "from token " << first << " on";
  });
  EXPECT_EQ(cache.size(), n);
}

TEST(MultiHeadStep, TokenByTokenIsOneCausalPass) {
  const MatrixX<double> X = support::random(n, E, 1);
  for (const bool rotates : {false, true}) {
    const attn::MultiHeadAttention<double> layer(options(rotates), 3);
    const MatrixXd whole = layer(X, attn::Causal{});
    expect_steps<double, double>(layer, X, layer.cache_options(), whole, 1e-13);
  }
}

/// Storage in fewer bits costs what its rounding of keys and values costs.
TEST(MultiHeadStep, EveryStorageTypeStaysWithinItsRounding) {
  const MatrixX<float> X = support::random<float>(n, E, 1);
  const attn::MultiHeadAttention<float> layer(options(true), 3);
  const MatrixXd whole = layer(X, attn::Causal{}).cast<double>();
  expect_steps<float, float>(layer, X, layer.cache_options(), whole, 2e-6);
  expect_steps<float, Eigen::half>(layer, X, layer.cache_options(), whole, 1e-3);
  expect_steps<float, Eigen::bfloat16>(layer, X, layer.cache_options(), whole, 8e-3);
  expect_steps<float, std::int8_t>(layer, X, layer.cache_options(), whole, 8e-3);
}

TEST(MultiHeadStep, WindowOfTheCacheIsASlidingWindow) {
  const MatrixX<double> X = support::random(n, E, 2);
  const attn::MultiHeadAttention<double> layer(options(true), 4);
  const attn::Alibi slopes = attn::Alibi::standard(6);
  auto cache = layer.cache_options();
  cache.window = 7;
  const MatrixXd whole = layer(X, attn::SlidingWindow{6, 0}, slopes);
  expect_steps<double, double>(layer, X, cache, whole, 1e-13, slopes);
}

TEST(MultiHeadStep, BatchesStepTogether) {
  constexpr Index batch = 3, tokens = 5;
  const attn::MultiHeadAttention<double> layer(options(true), 4);
  const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> X =
      support::random(batch * tokens, E, 6);
  KeyValueCache<double> cache(layer.cache_options(batch));
  MatrixXd Y(batch * tokens, E);
  for (const auto& [first, count] : {std::pair<Index, Index>{0, 3}, {3, 1}, {4, 1}}) {
    const attn::TensorView<const double> x(X.data() + first * E, {batch, 1, count, E},
                                           {tokens * E, 0, E, 1});
    const auto rows = layer.step(x, cache);
    for (Index b = 0; b < batch; ++b)
      Y.middleRows(b * tokens + first, count) = rows.middleRows(b * count, count);
  }
  EXPECT_TRUE(near(
      Y, layer(attn::bhtd<const double>(X.data(), batch, 1, tokens, E), attn::Causal{}), 1e-13));
}

TEST(MultiHeadStep, AfterAnErrorTheCacheIsWhatItWas) {
  const attn::MultiHeadAttention<double> layer(options(false), 4);
  const MatrixX<double> X = support::random(8, E, 6);
  KeyValueCache<double> cache(layer.cache_options());
  layer.step(X.topRows(4), cache);
  EXPECT_EQ(message_of<attn::ValueError>([&] {
              layer.step(X.row(4), cache, attn::SlidingWindow{-2, 0});
            }),
            "attn::MultiHeadAttention::step: SlidingWindow is {-2, 0}; a side is a number of keys, "
            "or -1 for no limit");
  EXPECT_EQ(cache.size(), 4);
  KeyValueCache<double> other({.num_kv_heads = 3, .head_dim = 8});
  EXPECT_EQ(message_of<attn::ShapeError>([&] { layer.step(X.row(4), other); }),
            "attn::KeyValueCache: K has 1 batches and 2 heads and must have 1 and 3; the cache's "
            "options say so");
  EXPECT_EQ(other.size(), 0);
  const MatrixXd Y = layer.step(X.bottomRows(4), cache);
  EXPECT_TRUE(near(Y, MatrixXd(layer(X, attn::Causal{})).bottomRows(4), 1e-13));
}

}  // namespace
