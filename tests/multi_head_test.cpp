// SPDX-License-Identifier: Apache-2.0
// Multi-head attention against its formula written by hand, in every form of call; its start and
// its errors.
#include <gtest/gtest.h>

#include <attn/multi_head.hpp>
#include <attn/reference.hpp>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/layer.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::made_layer;
using support::message_of;
using Layer = attn::MultiHeadAttention<double>;
using Options = attn::MultiHeadAttentionOptions;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

MatrixXd linear(const MatrixXd& x, const MatrixXd& W, const VectorXd& b) {
  return (x * W.transpose()).rowwise() + b.transpose();
}

/// Every head divided by the root of its mean square, feature by feature times w.
MatrixXd normed(MatrixXd x, const VectorXd& w, double eps) {
  for (Index i = 0; i < x.rows(); ++i)
    for (Index first = 0; first < x.cols(); first += w.size()) {
      const VectorXd head = x.row(i).segment(first, w.size());
      const double rms = std::sqrt(head.array().square().mean() + eps);
      x.row(i).segment(first, w.size()) = (head.array() * w.array() / rms).matrix().transpose();
    }
  return x;
}

/// The layer as the papers write it: rows E, E_kv and E_kv of the stacked weight.
template <class... Parts>
MatrixXd by_hand(const Layer& layer, const MatrixXd& X, const MatrixXd& M, const Parts&... parts) {
  const auto& p = layer.parameters;
  const auto& o = layer.options();
  const Index E = o.embed_dim, heads = o.num_heads;
  const Index kv = o.num_kv_heads == 0 ? heads : Index(o.num_kv_heads), E_kv = E / heads * kv;
  const VectorXd b = o.bias ? p.in_proj_bias : VectorXd(VectorXd::Zero(E + 2 * E_kv));
  const VectorXd b_out = o.bias ? p.out_proj.bias : VectorXd(VectorXd::Zero(E));
  MatrixXd Q = linear(X, p.in_proj_weight.topRows(E), b.head(E));
  MatrixXd K = linear(M, p.in_proj_weight.middleRows(E, E_kv), b.segment(E, E_kv));
  const MatrixXd V = linear(M, p.in_proj_weight.bottomRows(E_kv), b.tail(E_kv));
  if (o.qk_norm) {
    Q = normed(Q, p.q_norm.weight, o.qk_norm_eps);
    K = normed(K, p.k_norm.weight, o.qk_norm_eps);
  }
  if (o.rotary) {
    const attn::RotaryEmbedding<double> rotary(*o.rotary);
    Q = rotary(Q, attn::Heads{heads});
    K = rotary(K, attn::Heads{kv});
  }
  const attn::Heads both{.query = heads, .key_value = kv};
  return linear(attn::reference::attend(Q, K, V, both, parts...).output, p.out_proj.weight, b_out);
}

TEST(MultiHeadAttention, IsProjectionsAroundAttention) {
  const MatrixXd X = support::random(7, 12, 1), M = support::random(5, 12, 2);
  const attn::RotaryEmbeddingOptions turn{.pairing = attn::RotaryPairing::half_split};
  for (const Options& options : {Options{.embed_dim = 12, .num_heads = 3},
                                 Options{.embed_dim = 12, .num_heads = 6, .num_kv_heads = 2},
                                 Options{.embed_dim = 12, .num_heads = 2, .bias = false},
                                 Options{.embed_dim = 12, .num_heads = 3, .rotary = turn},
                                 Options{.embed_dim = 12, .num_heads = 3, .qk_norm = true},
                                 Options{.embed_dim = 12,
                                 .num_heads = 6,
                                 .num_kv_heads = 3,
                                 .bias = false,
                                 .rotary = turn,
                                 .qk_norm = true,
                                 .qk_norm_eps = 0.5}}) {
    const Layer layer = made_layer(options);
    EXPECT_TRUE(
        support::near(layer(X, attn::Causal{}), by_hand(layer, X, X, attn::Causal{}), 1e-13));
    EXPECT_TRUE(support::near(layer(X, M), by_hand(layer, X, M), 1e-13));
    EXPECT_TRUE(support::same_bits(layer.forward(X, M).output, layer(X, M)));
  }
}

TEST(MultiHeadAttention, ReadsKeysAndValuesOfTheirOwnWidths) {
  const Layer apart = made_layer({.embed_dim = 12, .num_heads = 3, .kdim = 5, .vdim = 7});
  const MatrixXd X = support::random(4, 12, 1), K = support::random(6, 5, 2),
                 V = support::random(6, 7, 3);
  const auto& p = apart.parameters;
  const VectorXd& b = p.in_proj_bias;
  const MatrixXd O = attn::reference::attend(linear(X, p.q_proj_weight, b.head(12)),
                                             linear(K, p.k_proj_weight, b.segment(12, 12)),
                                             linear(V, p.v_proj_weight, b.tail(12)), attn::Heads{3})
                         .output;
  EXPECT_TRUE(support::near(apart(X, K, V), linear(O, p.out_proj.weight, p.out_proj.bias), 1e-13));
}

TEST(MultiHeadAttention, WithOneMemoryIsThatWithTwoEqualOnes) {
  const MatrixXd X = support::random(4, 12, 1), M = support::random(6, 8, 2);
  const Layer separate = made_layer({.embed_dim = 12, .num_heads = 3, .kdim = 8, .vdim = 8});
  EXPECT_TRUE(support::near(separate(X, M), separate(X, M, M), 0));
  const Layer stacked = made_layer({.embed_dim = 12, .num_heads = 3});
  EXPECT_TRUE(support::near(stacked(X), stacked(X, X), 1e-14));
  EXPECT_TRUE(support::near(stacked(X), stacked(X, X, X), 1e-14));
}

TEST(MultiHeadAttention, GivesTheWeightsThatItUses) {
  const Layer layer = made_layer({.embed_dim = 12, .num_heads = 3, .bias = false});
  const MatrixXd X = support::random(4, 12, 1), M = support::random(6, 12, 2);
  const MatrixXd P = layer.weights(X, M, attn::KeyPadding{5});
  ASSERT_EQ(P.rows(), 12);
  ASSERT_EQ(P.cols(), 6);
  EXPECT_TRUE((P.col(5).array() == 0).all());
  const MatrixXd V = M * layer.parameters.in_proj_weight.bottomRows(12).transpose();
  MatrixXd O(4, 12);
  for (Index h = 0; h < 3; ++h)
    O.middleCols(4 * h, 4) = P.middleRows(4 * h, 4) * V.middleCols(4 * h, 4);
  EXPECT_TRUE(support::near(layer(X, M, attn::KeyPadding{5}),
                            O * layer.parameters.out_proj.weight.transpose(), 1e-14));
}

TEST(MultiHeadAttention, OfABatchIsALoopThatHidesThePadding) {
  const Layer layer = made_layer(
      {.embed_dim = 8, .num_heads = 4, .num_kv_heads = 2, .rotary = {{}}, .qk_norm = true});
  const Rows X = support::random(3 * 4, 8, 1), dY = support::random(3 * 4, 8, 3);
  Rows M = support::random(3 * 5, 8, 2);
  M.row(4).setConstant(std::nan(""));  // the padding of batch 0 and of batch 2
  M.bottomRows(3).setConstant(std::nan(""));
  const attn::KeyPadding lengths{{4, 5, 2}};
  const auto forward =
      layer.forward(attn::bhtd(X.data(), 3, 1, 4, 8), attn::bhtd(M.data(), 3, 1, 5, 8), lengths);
  const auto gradient = layer.backward(forward, attn::bhtd(dY.data(), 3, 1, 4, 8));
  auto sum = attn::engine::zero_parameters<double>(attn::engine::MultiHeadSizes(layer.options()));
  for (Index b = 0; b < 3; ++b) {
    const Index n = lengths.length(b);
    const auto one = layer.forward(X.middleRows(4 * b, 4), M.middleRows(5 * b, n));
    const auto of_one = layer.backward(one, dY.middleRows(4 * b, 4));
    EXPECT_TRUE(support::near(forward.output.middleRows(4 * b, 4), one.output, 1e-14));
    EXPECT_TRUE(support::near(forward.log_sum_exp.segment(16 * b, 16), one.log_sum_exp, 1e-14));
    EXPECT_TRUE(support::near(gradient.input.middleRows(4 * b, 4), of_one.input, 1e-13));
    EXPECT_TRUE(support::near(gradient.memory.middleRows(5 * b, n), of_one.memory, 1e-13));
    EXPECT_TRUE((gradient.memory.middleRows(5 * b + n, 5 - n).array() == 0.0).all());
    sum.in_proj_weight += of_one.parameters.in_proj_weight;
    sum.out_proj.bias += of_one.parameters.out_proj.bias;
    sum.k_norm.weight += of_one.parameters.k_norm.weight;
  }
  EXPECT_TRUE(support::near(gradient.parameters.in_proj_weight, sum.in_proj_weight, 1e-13));
  EXPECT_TRUE(support::near(gradient.parameters.out_proj.bias, sum.out_proj.bias, 1e-13));
  EXPECT_TRUE(support::near(gradient.parameters.k_norm.weight, sum.k_norm.weight, 1e-13));
}

TEST(MultiHeadAttention, ReadsBatchesOfAnyStrides) {
  const Layer layer = made_layer({.embed_dim = 8, .num_heads = 2});
  const Rows X = support::random(2 * 5, 8, 1);
  const MatrixXd by_columns = X;  // token t of batch b in row 5 b + t, features 10 apart
  const attn::TensorView<const double> view{by_columns.data(), {2, 1, 5, 8}, {5, 0, 1, 10}};
  EXPECT_TRUE(support::near(layer(view), layer(attn::bhtd(X.data(), 2, 1, 5, 8)), 0));
}

TEST(MultiHeadAttention, TurnsByThePositionsOfAChunk) {
  const Layer layer = made_layer({.embed_dim = 8, .num_heads = 2, .rotary = {{}}});
  const MatrixXd X = support::random(9, 8, 1);
  const MatrixXd last = layer(X.bottomRows(3), X, attn::Causal{}, attn::PositionOffset{.query = 6});
  EXPECT_TRUE(support::near(last, layer(X, attn::Causal{}).bottomRows(3), 1e-14));
}

TEST(MultiHeadAttention, TurnsPackedSequencesByPositionsOfTheirOwn) {
  const Layer layer =
      made_layer({.embed_dim = 12, .num_heads = 2, .rotary = {{}}, .qk_norm = true});
  const attn::CumulativeLengths packed{{0, 4, 4, 9}};
  const MatrixXd X = support::random<double>(9, 12, 3), dY = support::random<double>(9, 12, 4);
  const attn::Causal mask;
  const auto forward = layer.forward(X, packed, mask);
  const auto gradient = layer.backward(forward, dY);
  MatrixXd weight = MatrixXd::Zero(36, 12);
  for (const auto& [first, count] : {std::pair{0, 4}, std::pair{4, 5}}) {
    const auto alone = layer.forward(X.middleRows(first, count), mask);
    const auto gradient_alone = layer.backward(alone, dY.middleRows(first, count));
    EXPECT_TRUE(support::near(forward.output.middleRows(first, count), alone.output, 1e-12));
    EXPECT_TRUE(
        support::near(gradient.input.middleRows(first, count), gradient_alone.input, 1e-12));
    weight += gradient_alone.parameters.in_proj_weight;
  }
  EXPECT_TRUE(support::near(gradient.parameters.in_proj_weight, weight, 1e-11));
}

TEST(MultiHeadAttention, SaysWhichPackingDoesNotFitBeforeItTurnsAnything) {
  const Layer layer = made_layer({.embed_dim = 12, .num_heads = 2, .rotary = {{}}});
  EXPECT_THROW(layer(MatrixXd(9, 12), attn::CumulativeLengths{{0, 4, 10}}), attn::ShapeError);
}

TEST(MultiHeadAttention, InHalfPrecisionComputesInFloat) {
  const Options options{.embed_dim = 16, .num_heads = 2, .num_kv_heads = 1, .qk_norm = true};
  attn::MultiHeadAttention<Eigen::bfloat16> narrow(options, 1);
  attn::MultiHeadAttention<float> wide(options, 1);
  wide.parameters.in_proj_weight = narrow.parameters.in_proj_weight.cast<float>();
  wide.parameters.out_proj.weight = narrow.parameters.out_proj.weight.cast<float>();
  const Eigen::MatrixX<Eigen::bfloat16> X =
      support::random<float>(6, 16, 1).cast<Eigen::bfloat16>();
  const Eigen::MatrixXf x = X.cast<float>();
  const auto forward = narrow.forward(X, attn::Causal{});
  const auto expected = wide.forward(x, attn::Causal{});
  EXPECT_TRUE(support::near(forward.output, expected.output, 0.02));
  const auto gradient = narrow.backward(forward, X);
  const auto of_wide = wide.backward(expected, x);
  EXPECT_TRUE(support::near(gradient.input, of_wide.input, 0.05));
  EXPECT_TRUE(
      support::near(gradient.parameters.in_proj_weight, of_wide.parameters.in_proj_weight, 0.1));
}

TEST(MultiHeadAttention, OfNothingIsNothing) {
  const Layer layer = made_layer({.embed_dim = 8, .num_heads = 2});
  const MatrixXd X = support::random(3, 8, 1), none(0, 8);
  EXPECT_EQ(layer(none).rows(), 0);
  const auto forward = layer.forward(X, none);
  EXPECT_TRUE(
      support::near(forward.output, layer.parameters.out_proj.bias.transpose().replicate(3, 1), 0));
  const auto gradient = layer.backward(forward, X);
  EXPECT_TRUE((gradient.input.array() == 0).all());
  EXPECT_TRUE((gradient.parameters.in_proj_weight.array() == 0).all());
}

TEST(MultiHeadAttention, NamesItsParametersAsPyTorchDoes) {
  const auto names = [](const Options& options) {
    Layer layer(options);
    std::string list;
    layer.parameters.for_each([&](std::string_view name, auto& tensor) {
      list += std::string(name) + " " + std::to_string(tensor.rows()) + "x" +
              std::to_string(tensor.cols()) + ", ";
    });
    return list;
  };
  EXPECT_EQ(names({.embed_dim = 8, .num_heads = 4, .num_kv_heads = 2}),
            "in_proj_weight 16x8, in_proj_bias 16x1, out_proj.weight 8x8, out_proj.bias 8x1, ");
  EXPECT_EQ(names({.embed_dim = 8, .num_heads = 4, .kdim = 5, .bias = false, .qk_norm = true}),
            "q_proj_weight 8x8, k_proj_weight 8x5, v_proj_weight 8x8, out_proj.weight 8x8, "
            "q_norm.weight 2x1, k_norm.weight 2x1, ");
}

/// Whether numbers look like U(-bound, bound): none beyond, and mean and variance as they should.
void expect_uniform(const Eigen::MatrixXf& numbers, double bound) {
  const auto x = numbers.cast<double>().array();
  EXPECT_LE(x.abs().maxCoeff(), bound);
  EXPECT_GE(x.abs().maxCoeff(), 0.99 * bound);
  EXPECT_NEAR(x.mean() / bound, 0.0, 0.02);
  EXPECT_NEAR(x.square().mean() / (bound * bound), 1.0 / 3.0, 0.02);
}

TEST(MultiHeadAttention, StartsAsPyTorchDoes) {
  const attn::MultiHeadAttention<float> stacked({.embed_dim = 64, .num_heads = 4}, 3);
  expect_uniform(stacked.parameters.in_proj_weight, std::sqrt(6.0 / (64 + 192)));
  expect_uniform(stacked.parameters.out_proj.weight, 1.0 / 8.0);
  EXPECT_TRUE((stacked.parameters.in_proj_bias.array() == 0.F).all());
  EXPECT_TRUE((stacked.parameters.out_proj.bias.array() == 0.F).all());
  const attn::MultiHeadAttention<float> apart(
      {.embed_dim = 64, .num_heads = 4, .kdim = 96, .qk_norm = true}, 3);
  expect_uniform(apart.parameters.q_proj_weight, std::sqrt(6.0 / 128));
  expect_uniform(apart.parameters.k_proj_weight, std::sqrt(6.0 / 160));
  expect_uniform(apart.parameters.v_proj_weight, std::sqrt(6.0 / 128));
  EXPECT_TRUE((apart.parameters.q_norm.weight.array() == 1.F).all());
  EXPECT_TRUE((apart.parameters.k_norm.weight.array() == 1.F).all());
}

TEST(MultiHeadAttention, StartsFromItsSeedAlone) {
  const Options options{.embed_dim = 8, .num_heads = 2};
  const Layer a(options, 3), b(options, 3), c(options, 4);
  EXPECT_TRUE(support::same_bits(a.parameters.in_proj_weight, b.parameters.in_proj_weight));
  EXPECT_TRUE(support::same_bits(a.parameters.out_proj.weight, b.parameters.out_proj.weight));
  EXPECT_FALSE(support::same_bits(a.parameters.in_proj_weight, c.parameters.in_proj_weight));
}

TEST(MultiHeadAttention, SaysWhichOptionsContradictEachOther) {
  const auto of = [](const Options& options) {
    return message_of<std::invalid_argument>([&] { Layer layer(options); });
  };
  EXPECT_EQ(of({.num_heads = 2}),
            "attn::MultiHeadAttention: embed_dim is 0, num_heads 2, num_kv_heads 2, kdim 0 and "
            "vdim 0; all must be 1 or more");
  EXPECT_EQ(of({.embed_dim = 8, .num_heads = 3}),
            "attn::MultiHeadAttention: num_heads is 3 and embed_dim is 8; the heads share the "
            "features, so their number must divide embed_dim");
  EXPECT_EQ(of({.embed_dim = 8, .num_heads = 4, .num_kv_heads = 3}),
            "attn::MultiHeadAttention: num_kv_heads is 3 and num_heads is 4; each key-value head "
            "serves the same number of query heads");
  EXPECT_EQ(of({.embed_dim = 8, .num_heads = 2, .rotary = {{.dim = 6}}}),
            "attn::MultiHeadAttention: rotary.dim is 6 and a head has 4 features; no more than "
            "these can turn");
  EXPECT_EQ(of({.embed_dim = 6, .num_heads = 2, .rotary = {{}}}),
            "attn::MultiHeadAttention: a head has 3 features; features turn in pairs, so give "
            "rotary an even dim");
  EXPECT_EQ(of({.embed_dim = 8, .num_heads = 2, .qk_norm = true, .qk_norm_eps = 0}),
            "attn::MultiHeadAttention: qk_norm_eps is 0; it must be above 0");
}

TEST(MultiHeadAttention, SaysWhichInputDoesNotFit) {
  const Layer layer({.embed_dim = 8, .num_heads = 2});
  const Layer apart({.embed_dim = 8, .num_heads = 2, .kdim = 5, .vdim = 7});
  const MatrixXd X = MatrixXd::Zero(3, 8), narrow = MatrixXd::Zero(3, 5);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer(narrow); }),
            "attn::MultiHeadAttention: X has 5 columns and embed_dim is 8; both must be equal");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer(X, narrow); }),
            "attn::MultiHeadAttention: memory has 5 columns and kdim is 8; both must be equal");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { apart(X, X, narrow); }),
            "attn::MultiHeadAttention: keys has 8 columns and kdim is 5; both must be equal");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { apart(X, narrow, narrow); }),
            "attn::MultiHeadAttention: values has 5 columns and vdim is 7; both must be equal");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { apart(X); }),
            "attn::MultiHeadAttention: kdim is 5, vdim 7 and embed_dim 8; self-attention needs all "
            "three equal, so give what to attend to: layer(X, memory)");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { apart(X, narrow); }),
            "attn::MultiHeadAttention: kdim is 5 and vdim is 7; one memory cannot have both, so "
            "give them apart: layer(X, keys, values)");
  EXPECT_EQ(
      message_of<std::invalid_argument>([&] { layer(X, attn::bhtd(X.data(), 3, 1, 1, 8)); }),
      "attn::MultiHeadAttention: X has 1 batches and memory has 3; both need the same number");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer(attn::bhtd(X.data(), 1, 3, 1, 8)); }),
            "attn::MultiHeadAttention: X has 3 heads; it must have 1");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer(X, X, MatrixXd(MatrixXd::Zero(2, 8))); }),
            "attn::MultiHeadAttention: V has 2 rows and K has 3; each key needs one value, so both "
            "need the same number n_k");
}

TEST(MultiHeadAttention, SaysWhatBackwardCannotTake) {
  Layer layer({.embed_dim = 8, .num_heads = 2});
  const Layer other({.embed_dim = 8, .num_heads = 2, .num_kv_heads = 1});
  const MatrixXd X = MatrixXd::Zero(3, 8);
  const auto forward = layer.forward(X);
  EXPECT_EQ(message_of<std::invalid_argument>(
                [&] { layer.backward(forward, MatrixXd(MatrixXd::Zero(2, 8))); }),
            "attn::MultiHeadAttention: dY is 2 x 8 and must be 3 x 8; the gradient of the output "
            "has the output's shape");
  EXPECT_EQ(message_of<std::invalid_argument>([&] { other.backward(forward, X); }),
            "attn::MultiHeadAttention: the forward result is that of a layer of other sizes; "
            "backward takes one of the same layer");
  layer.parameters.in_proj_weight.resize(3, 3);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { layer(X); }),
            "attn::MultiHeadAttention: in_proj_weight is 3 x 3 and must be 24 x 8, as the layer "
            "was made");
}

}  // namespace
