// SPDX-License-Identifier: Apache-2.0
// The alignment example: gradients of the whole model, batches, decoding, judging, and dates.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "../examples/alignment/sequence_batch.hpp"
#include "../examples/alignment/translator.hpp"

namespace examples {
namespace {

/// The gradients of all parameters against central differences of `loss`.
void expect_gradients(std::vector<BasicParameter<double>> parameters,
                      const std::function<double()>& loss) {
  constexpr double h = 1e-5;
  for (auto& p : parameters) {
    ASSERT_GT(p.value.size(), 0) << p.name;
    for (Index i = 0; i < p.value.size(); ++i) {
      const double before = p.value(i);
      p.value(i) = before + h;
      const double above = loss();
      p.value(i) = before - h;
      const double below = loss();
      p.value(i) = before;
      const double expected = (above - below) / (2 * h);
      EXPECT_TRUE(std::abs(p.gradient(i) - expected) <= 1e-7 * std::max(1.0, std::abs(expected)))
          << p.name << ", number " << i << ": " << p.gradient(i) << " and should be " << expected;
    }
  }
}

/// Pairs of different lengths, so that every kind of padding occurs.
const std::vector<NumberedPair>& some_pairs() {
  static const std::vector<NumberedPair> pairs = {
      {{2, 3}, {2, 3, 4, 2}}, {{4, 2, 3, 5}, {3}}, {{5, 1, 2}, {4, 2}}};
  return pairs;
}

PairBatch batch_of(const std::vector<NumberedPair>& pairs) {
  std::vector<const NumberedPair*> chosen;
  for (const NumberedPair& pair : pairs) chosen.push_back(&pair);
  return pair_batch(std::move(chosen));
}

class Translators : public testing::TestWithParam<bool> {
 protected:
  TranslatorShape shape() const {
    return {.attention = GetParam(), .source_tokens = 6, .target_tokens = 5, .embed_dim = 3,
            .hidden = 4};
  }
};
INSTANTIATE_TEST_SUITE_P(All, Translators, testing::Bool(), [](const auto& info) {
  return info.param ? "Attention" : "FixedContext";
});

TEST_P(Translators, HaveTheGradientsOfTheirLoss) {
  Translator<double> model(shape(), 3);
  const PairBatch batch = batch_of(some_pairs());
  Random unused(0);
  EXPECT_NEAR(model.differentiate(batch, 0, unused), model.loss(batch), 1e-12);
  expect_gradients(model.parameters(), [&] { return model.loss(batch); });
}

}  // namespace
}  // namespace examples
