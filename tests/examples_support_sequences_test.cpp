// SPDX-License-Identifier: Apache-2.0
// Support of the examples for sequences: the recurrent layer, token tables, edit distance, hashes,
// and curves as SVG.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "../examples/support/dropout.hpp"
#include "../examples/support/edit_distance.hpp"
#include "../examples/support/gru.hpp"
#include "../examples/support/hash.hpp"
#include "../examples/support/line_chart.hpp"
#include "../examples/support/token_table.hpp"
#include "support/layer_gradients.hpp"

namespace examples {
namespace {

class Grus : public testing::TestWithParam<Direction> {
 protected:
  /// Four steps of three sequences, the longest neither first nor last.
  static constexpr Index kSteps = 4, kBatch = 3, kInputs = 2, kHidden = 3;
  std::vector<Index> lengths_ = {2, 4, 1};
  Doubles X_ = random_doubles(kSteps * kBatch, kInputs, 1);
  Doubles initial_ = random_doubles(kBatch, kHidden, 2);

  Gru<double> gru() const {
    Random random(3);
    return {kInputs, kHidden, GetParam(), random};
  }
};
INSTANTIATE_TEST_SUITE_P(All, Grus, testing::Values(Direction::kForward, Direction::kBackward),
                         [](const auto& test) {
                           return test.param == Direction::kForward ? "Forward" : "Backward";
                         });

TEST_P(Grus, HaveTheGradientsOfTheirStates) {
  Gru<double> gru = this->gru();
  const Doubles weights = random_doubles(kSteps * kBatch, kHidden, 4);
  const auto loss = [&] {
    return gru.forward(X_, lengths_, initial_).states.cwiseProduct(weights).sum();
  };
  const auto gradient = gru.backward(gru.forward(X_, lengths_, initial_), weights);
  expect_gradient(X_.data(), gradient.input.data(), X_.size(), loss, "input");
  expect_gradient(initial_.data(), gradient.initial.data(), initial_.size(), loss, "initial");
  std::vector<BasicParameter<double>> parameters;
  gru.append_parameters(parameters, "gru");
  EXPECT_EQ(parameters.size(), 4u);
  for (auto& p : parameters)
    expect_gradient(p.value.data(), p.gradient.data(), p.value.size(), loss, p.name);
}

TEST_P(Grus, TreatEachSequenceAsIfItWereAlone) {
  const Gru<double> gru = this->gru();
  const Doubles states = gru.forward(X_, lengths_, initial_).states;
  for (Index b = 0; b < kBatch; ++b) {
    const Index length = lengths_[static_cast<std::size_t>(b)];
    Doubles alone(length, kInputs);
    for (Index t = 0; t < length; ++t) alone.row(t) = X_.row(t * kBatch + b);
    const Doubles expected = gru.forward(alone, {length}, initial_.row(b)).states;
    for (Index t = 0; t < length; ++t)
      EXPECT_TRUE((states.row(t * kBatch + b) - expected.row(t)).cwiseAbs().maxCoeff() <= 1e-14);
    // Where a sequence is padded it keeps the state that it has there.
    for (Index t = length; t < kSteps; ++t) {
      const bool forward = GetParam() == Direction::kForward;
      const Doubles kept = forward ? Doubles(expected.row(length - 1)) : Doubles(initial_.row(b));
      EXPECT_EQ(states.row(t * kBatch + b), kept) << "sequence " << b << ", step " << t;
    }
  }
}

TEST(Gru, IsTheFormulaOfItsComment) {
  Random random(5);
  Gru<double> gru(1, 1, Direction::kForward, random);
  std::vector<BasicParameter<double>> p;
  gru.append_parameters(p, "gru");
  p[0].value << 0.5, -1.0, 2.0;   // Wr, Wz, Wn
  p[1].value << 0.1, 0.2, 0.3;    // br, bz, bn
  p[2].value << -0.4, 0.6, 1.5;   // Ur, Uz, Un
  p[3].value << 0.0, 0.0, -0.25;  // of the state's product: cn
  const double x = 0.7, h = -0.2;
  const double r = 1 / (1 + std::exp(-(0.5 * x - 0.4 * h + 0.1)));
  const double z = 1 / (1 + std::exp(-(-1.0 * x + 0.6 * h + 0.2)));
  const double n = std::tanh(2.0 * x + 0.3 + r * (1.5 * h - 0.25));
  const Doubles X = Doubles::Constant(1, 1, x), initial = Doubles::Constant(1, 1, h);
  EXPECT_NEAR(gru.forward(X, {1}, initial).states(0, 0), (1 - z) * n + z * h, 1e-15);
}

TEST(TokenTable, LooksUpAndAddsUpGradients) {
  Random random(1);
  TokenTable<double> table(4, 2, random);
  std::vector<BasicParameter<double>> p;
  table.append_parameters(p, "table");
  const std::vector<Index> tokens = {3, 1, 3};
  const Doubles X = table.forward(tokens);
  EXPECT_EQ(X(0, 1), p[0].value(7));
  EXPECT_EQ(X.row(0), X.row(2));
  Doubles dX(3, 2);
  dX << 1, 2, 10, 20, 100, 200;
  table.backward(tokens, dX);
  table.backward(tokens, dX);  // overwrites
  EXPECT_EQ(p[0].gradient, (VectorOf<double>(8) << 0, 0, 10, 20, 0, 0, 101, 202).finished());
}

std::size_t distance(const std::string& from, const std::string& to) {
  return edit_distance(std::span<const char>(from), std::span<const char>(to));
}

TEST(EditDistance, CountsInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(distance("", ""), 0u);
  EXPECT_EQ(distance("", "abc"), 3u);
  EXPECT_EQ(distance("abc", ""), 3u);
  EXPECT_EQ(distance("kitten", "sitting"), 3u);
  EXPECT_EQ(distance("sitting", "kitten"), 3u);
  EXPECT_EQ(distance("flaw", "lawn"), 2u);
  EXPECT_EQ(distance("same", "same"), 0u);
}

TEST(Fnv1a, HasThePublishedValues) {
  EXPECT_EQ(fnv1a(""), 0xCBF29CE484222325u);
  EXPECT_EQ(fnv1a("a"), 0xAF63DC4C8601EC8Cu);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171F73967E8u);
}

LineChart a_chart() {
  return {.label = "a < b",
          .x_label = "length",
          .y_label = "right, %",
          .curves = {{"first", "one", {{0, 50, "at 0"}, {10, 100}}},
                     {"second", "two & more", {{5, std::nan("")}, {10, 25}}}},
          .levels = {{"chance", 10}},
          .highest = 100,
          .decimals = 0};
}

TEST(LineChart, DrawsCurvesLevelsAndNotes) {
  const std::string svg = line_chart(a_chart());
  for (const char* part :
       {"aria-label=\"a &lt; b\"", "<polyline class=\"curve first\" points=\"64.0,240.0 670.0,70.0",
        "<polyline class=\"curve second\" points=\"670.0,325.0 \"", ">two &amp; more<",
        "<title>at 0</title>", "x1=\"64.0\" y1=\"376.0\"", ">chance<", ">length<", ">right, %<"})
    EXPECT_NE(svg.find(part), std::string::npos) << part << "\n" << svg;
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(LineChart, TakesARoundHighestWhereNoneIsGiven) {
  LineChart chart = a_chart();
  chart.highest = 0;
  chart.levels = {{"above", 130}};
  const std::string svg = line_chart(chart);
  EXPECT_NE(svg.find(">150<"), std::string::npos) << svg;
}

TEST(LineChart, HasRoundStepsOnItsAxis) {
  LineChart chart = a_chart();
  chart.curves = {{"first", "one", {{13.5, 50}}}};
  const std::string svg = line_chart(chart);
  EXPECT_NE(svg.find(">12<"), std::string::npos) << svg;
  EXPECT_EQ(svg.find(">14<"), std::string::npos) << svg;
  EXPECT_EQ(svg.find(">7<"), std::string::npos) << svg;
}

TEST(LineChart, IsAFileOfItsOwn) {
  const std::string svg = line_chart_file(a_chart());
  EXPECT_TRUE(svg.starts_with("<svg "));
  EXPECT_NE(svg.find(" xmlns=\"http://www.w3.org/2000/svg\""), std::string::npos);
  EXPECT_NE(svg.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(Dropout, KeepsTheMean) {
  Random random(1);
  const Matrix mask = dropout_mask<float>(100, 100, 0.25f, random);
  EXPECT_NEAR(mask.mean(), 1, 0.03);
  EXPECT_NEAR((mask.array() == 0).cast<float>().mean(), 0.25, 0.02);
  EXPECT_FLOAT_EQ(mask.maxCoeff(), 4.f / 3);
}

}  // namespace
}  // namespace examples
