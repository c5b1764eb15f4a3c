// SPDX-License-Identifier: Apache-2.0
// Attention pooling against its formula, with gradients, padding and batches.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "support/gradients.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

attn::AttentionPooling<double> made() {
  attn::AttentionPooling<double> pooling({.embed_dim = 4, .attention_dim = 3}, 7);
  pooling.parameters.b = support::random_vector(3, 8);
  return pooling;
}

/// sum_i alpha_i x_i, alpha = softmax(v . tanh(W x_i + b)), as the papers write it.
VectorXd pooled(const attn::AttentionPooling<double>& pooling, const MatrixXd& X) {
  const auto& [W, b, v] = pooling.parameters;
  VectorXd alpha(X.rows());
  for (Index i = 0; i < X.rows(); ++i)
    alpha(i) = std::exp(v.dot((W * X.row(i).transpose() + b).array().tanh().matrix()));
  return X.transpose() * alpha / alpha.sum();
}

TEST(AttentionPooling, IsTheFormulaOfThePapers) {
  const auto pooling = made();
  const MatrixXd X = support::random(6, 4, 1);
  EXPECT_TRUE(support::near(pooling(X), pooled(pooling, X).transpose(), 1e-15));
  const auto forward = pooling.forward(X);
  EXPECT_TRUE(support::near(forward.weights * X, forward.output, 1e-15));
  EXPECT_NEAR(forward.weights.sum(), 1.0, 1e-15);
  EXPECT_TRUE(support::near(pooling.weights(X), forward.weights, 0));
}

TEST(AttentionPooling, StartsFromItsSeedAlone) {
  const attn::AttentionPoolingOptions options{.embed_dim = 5, .attention_dim = 2};
  const attn::AttentionPooling<float> a(options, 3), b(options, 3), c(options, 4);
  EXPECT_TRUE(support::same_bits(a.parameters.W, b.parameters.W));
  EXPECT_FALSE(support::same_bits(a.parameters.W, c.parameters.W));
  EXPECT_EQ(a.parameters.W.rows(), 2);
  EXPECT_EQ(a.parameters.W.cols(), 5);
  EXPECT_TRUE((a.parameters.b.array() == 0.F).all());
  const float bound = std::sqrt(6.F / 7.F);
  EXPECT_TRUE((a.parameters.W.array().abs() <= bound).all());
}

/// The loss <dO, pooling(X)> moved in every number of X and of the parameters.
template <class... Parts>
void expect_gradients(Index tokens, const Parts&... parts) {
  auto pooling = made();
  MatrixXd X = support::random(tokens, 4, 2);
  const MatrixXd dO = support::random(1, 4, 3);
  const auto loss = [&] { return pooling(X, parts...).cwiseProduct(dO).sum(); };
  const auto gradient = pooling.backward(pooling.forward(X, parts...), dO);
  EXPECT_TRUE(support::gradient_near(gradient.input, support::central_difference(X, loss)));
  auto& [W, b, v] = pooling.parameters;
  const auto& [dW, db, dv] = gradient.parameters;
  EXPECT_TRUE(support::gradient_near(dW, support::central_difference(W, loss)));
  EXPECT_TRUE(support::gradient_near(db, support::central_difference(b, loss)));
  EXPECT_TRUE(support::gradient_near(dv, support::central_difference(v, loss)));
}

TEST(AttentionPooling, HasTheGradientsOfCentralDifferences) {
  expect_gradients(6);
  expect_gradients(150, attn::KeyPadding{140});
  expect_gradients(6, attn::Dropout{.p = 0.3, .seed = 2});
}

TEST(AttentionPooling, OfABatchIsALoopThatHidesThePadding) {
  const auto pooling = made();
  Rows X = support::random(3 * 5, 4, 4);
  X.row(4).setConstant(std::nan(""));  // the padding of batch 0 and of batch 2
  X.bottomRows(3).setConstant(std::nan(""));
  const attn::KeyPadding lengths{{4, 5, 2}};
  const attn::TensorView<const double> view = attn::bhtd<const double>(X.data(), 3, 1, 5, 4);
  const auto forward = pooling.forward(view, lengths);
  const Rows dO = support::random(3, 4, 5);
  const auto gradient = pooling.backward(forward, dO);
  MatrixXd dW = MatrixXd::Zero(3, 4);
  for (Index b = 0; b < 3; ++b) {
    const Index n = lengths.length(b);
    const auto one = pooling.forward(X.middleRows(5 * b, n));
    const auto of_one = pooling.backward(one, dO.row(b));
    EXPECT_TRUE(support::near(forward.output.row(b), one.output, 1e-15));
    EXPECT_TRUE(support::near(forward.weights.row(b).head(n), one.weights, 1e-15));
    EXPECT_TRUE((forward.weights.row(b).tail(5 - n).array() == 0.0).all());
    EXPECT_TRUE(support::near(gradient.input.middleRows(5 * b, n), of_one.input, 1e-14));
    EXPECT_TRUE((gradient.input.middleRows(5 * b + n, 5 - n).array() == 0.0).all());
    dW += of_one.parameters.W;
  }
  EXPECT_TRUE(support::near(gradient.parameters.W, dW, 1e-14));
}

TEST(AttentionPooling, OfNothingIsZero) {
  const auto pooling = made();
  EXPECT_TRUE(support::near(pooling(MatrixXd(0, 4)), MatrixXd::Zero(1, 4), 0));
  const MatrixXd X = support::random(3, 4, 6);
  EXPECT_TRUE(support::near(pooling(X, attn::KeyPadding{0}), MatrixXd::Zero(1, 4), 0));
}

TEST(AttentionPooling, NamesItsParametersInOrder) {
  auto pooling = made();
  std::string names;
  pooling.parameters.for_each([&](std::string_view name, auto& tensor) {
    names += std::string(name) + " " + std::to_string(tensor.size()) + ", ";
  });
  EXPECT_EQ(names, "W 12, b 3, v 3, ");
}

TEST(AttentionPooling, SaysWhatDoesNotFit) {
  const auto pooling = made();
  const auto message = [](auto&& call) {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(message([&] { pooling(MatrixXd(MatrixXd::Zero(3, 5))); }),
            "attn::AttentionPooling: X has 5 columns and W is 3 x 4; a token needs the same d "
            "features");
  EXPECT_EQ(
      message([&] { attn::AttentionPooling<float>({.embed_dim = 4}); }),
      "attn::AttentionPooling: embed_dim is 4 and attention_dim is 0; both must be 1 or more");
  const std::vector<double> numbers(24);
  EXPECT_EQ(message([&] { pooling(attn::bhtd(numbers.data(), 1, 2, 3, 4)); }),
            "attn::AttentionPooling: X has 2 heads; it must have 1");
  EXPECT_EQ(message([&] { pooling(MatrixXd(MatrixXd::Zero(3, 4)), attn::KeyPadding{-1}); }),
            "attn::AttentionPooling: KeyPadding's length 0 is -1; a length is a number of keys");
}

}  // namespace
