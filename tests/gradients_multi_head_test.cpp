// SPDX-License-Identifier: Apache-2.0
// Multi-head attention: gradients by every input and every parameter, against central differences.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <string>

#include "support/gradients.hpp"
#include "support/layer.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using support::made_layer;
using Layer = attn::MultiHeadAttention<double>;
using Options = attn::MultiHeadAttentionOptions;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr attn::RotaryEmbeddingOptions half_turned{
    .dim = 2, .pairing = attn::RotaryPairing::half_split, .base = 3};

/// The loss <dY, Y> moved in every number of the parameters.
template <class Gradient, class Loss>
void expect_parameter_gradients(Layer& layer, const Gradient& gradient, const Loss& loss) {
  std::size_t compared = 0;
  layer.parameters.for_each([&](std::string_view name, auto& tensor) {
    const MatrixXd expected = support::central_difference(tensor, loss);
    gradient.parameters.for_each([&](std::string_view other, const auto& d) {
      if (name != other) return;
      EXPECT_TRUE(support::gradient_near(d, expected)) << name;
      ++compared;
    });
  });
  std::size_t count = 0;
  layer.parameters.for_each([&](std::string_view, auto&) { ++count; });
  EXPECT_EQ(compared, count);
}

template <class... Parts>
void expect_self(const Options& options, const Parts&... parts) {
  Layer layer = made_layer(options);
  MatrixXd X = support::random(6, options.embed_dim, 1);
  const MatrixXd dY = support::random(6, options.embed_dim, 2);
  const auto loss = [&] { return layer(X, parts...).cwiseProduct(dY).sum(); };
  const auto gradient = layer.backward(layer.forward(X, parts...), dY);
  EXPECT_TRUE(support::gradient_near(gradient.input, support::central_difference(X, loss)));
  EXPECT_EQ(gradient.memory.size() + gradient.values.size(), 0);
  expect_parameter_gradients(layer, gradient, loss);
}

template <class... Parts>
void expect_cross(const Options& options, const Parts&... parts) {
  Layer layer = made_layer(options);
  const Index kdim = options.kdim == 0 ? options.embed_dim : options.kdim;
  MatrixXd X = support::random(4, options.embed_dim, 1), M = support::random(7, kdim, 3);
  const MatrixXd dY = support::random(4, options.embed_dim, 2);
  const auto loss = [&] { return layer(X, M, parts...).cwiseProduct(dY).sum(); };
  const auto gradient = layer.backward(layer.forward(X, M, parts...), dY);
  EXPECT_TRUE(support::gradient_near(gradient.input, support::central_difference(X, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.memory, support::central_difference(M, loss)));
  expect_parameter_gradients(layer, gradient, loss);
}

TEST(GradientsOfMultiHeadAttention, OfSelfAttention) {
  expect_self({.embed_dim = 8, .num_heads = 2});
  expect_self({.embed_dim = 8, .num_heads = 2, .bias = false});
  expect_self({.embed_dim = 8, .num_heads = 4, .num_kv_heads = 2});
  expect_self({.embed_dim = 8, .num_heads = 2, .rotary = half_turned});
  expect_self({.embed_dim = 8, .num_heads = 2, .qk_norm = true});
  expect_self({.embed_dim = 8,
               .num_heads = 4,
               .num_kv_heads = 1,
               .bias = false,
               .rotary = half_turned,
               .qk_norm = true,
               .qk_norm_eps = 0.3});
}

TEST(GradientsOfMultiHeadAttention, OfCrossAttention) {
  expect_cross({.embed_dim = 8, .num_heads = 2});
  expect_cross({.embed_dim = 8, .num_heads = 4, .num_kv_heads = 2, .kdim = 5, .vdim = 5});
  expect_cross({.embed_dim = 8,
                .num_heads = 2,
                .kdim = 6,
                .vdim = 6,
                .bias = false,
                .rotary = half_turned,
                .qk_norm = true});
}

TEST(GradientsOfMultiHeadAttention, OfKeysAndValuesApart) {
  Layer layer =
      made_layer({.embed_dim = 8, .num_heads = 2, .num_kv_heads = 1, .kdim = 5, .vdim = 3});
  MatrixXd X = support::random(4, 8, 1), K = support::random(7, 5, 3), V = support::random(7, 3, 4);
  const MatrixXd dY = support::random(4, 8, 2);
  const auto loss = [&] { return layer(X, K, V).cwiseProduct(dY).sum(); };
  const auto gradient = layer.backward(layer.forward(X, K, V), dY);
  EXPECT_TRUE(support::gradient_near(gradient.input, support::central_difference(X, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.memory, support::central_difference(K, loss)));
  EXPECT_TRUE(support::gradient_near(gradient.values, support::central_difference(V, loss)));
  expect_parameter_gradients(layer, gradient, loss);
}

TEST(GradientsOfMultiHeadAttention, UnderMasksAndAtPositionsOfAWhole) {
  const attn::PositionOffset offset{.query = 2, .key = 1};
  expect_self({.embed_dim = 8, .num_heads = 2, .rotary = half_turned, .qk_norm = true},
              attn::Causal{}, attn::KeyPadding{6}, offset);
  expect_cross({.embed_dim = 8, .num_heads = 2, .rotary = half_turned}, attn::Causal{},
               attn::KeyPadding{6}, offset);
}

TEST(GradientsOfMultiHeadAttention, OfABatch) {
  Layer layer =
      made_layer({.embed_dim = 8, .num_heads = 4, .num_kv_heads = 2, .rotary = half_turned});
  Rows X = support::random(2 * 5, 8, 1);
  const Rows dY = support::random(2 * 5, 8, 2);
  const auto view = attn::bhtd<const double>(X.data(), 2, 1, 5, 8);
  const attn::KeyPadding lengths{{5, 3}};
  const auto loss = [&] { return layer(view, lengths).cwiseProduct(dY).sum(); };
  const auto gradient = layer.backward(layer.forward(view, lengths), dY);
  // the rows of X move in place: a map by columns of its transpose
  Eigen::Map<MatrixXd> transposed(X.data(), 8, 10);
  EXPECT_TRUE(support::gradient_near(gradient.input.transpose(),
                                     support::central_difference(transposed, loss)));
  expect_parameter_gradients(layer, gradient, loss);
}

TEST(GradientsOfMultiHeadAttention, OfAPartsOwnParameters) {
  Layer layer = made_layer({.embed_dim = 8, .num_heads = 2});
  const MatrixXd X = support::random(5, 8, 1), dY = support::random(5, 8, 2);
  MatrixXd B = support::random(5, 5, 3);
  const auto forward_with = [&](const MatrixXd& bias) {
    return layer.forward(X, attn::DenseBias{bias}, attn::Dropout{.p = 0.3, .seed = 2});
  };
  const auto loss = [&] { return forward_with(B).output.cwiseProduct(dY).sum(); };
  const auto gradient = layer.backward(forward_with(B), dY);
  const MatrixXd expected = support::central_difference(B, loss);
  EXPECT_TRUE(support::gradient_near(gradient.of<attn::DenseBias>().B, expected));
}

}  // namespace
