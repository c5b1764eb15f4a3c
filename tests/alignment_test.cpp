// SPDX-License-Identifier: Apache-2.0
// The alignment example: gradients of the whole model, batches, training, decoding and judging.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../examples/alignment/decoding.hpp"
#include "../examples/alignment/evaluation.hpp"
#include "../examples/alignment/training.hpp"

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
    return {.attention = GetParam(),
            .source_tokens = 6,
            .target_tokens = 5,
            .embed_dim = 3,
            .hidden = 4};
  }
};
INSTANTIATE_TEST_SUITE_P(All, Translators, testing::Bool(), [](const auto& test) {
  return test.param ? "Attention" : "FixedContext";
});

TEST_P(Translators, HaveTheGradientsOfTheirLoss) {
  Translator<double> model(shape(), 3);
  const PairBatch batch = batch_of(some_pairs());
  Random unused(0);
  EXPECT_NEAR(model.differentiate(batch, 0, unused), model.loss(batch), 1e-12);
  expect_gradients(model.parameters(), [&] { return model.loss(batch); });
}

TEST_P(Translators, DropOutInTraining) {
  Translator<double> model(shape(), 3);
  const PairBatch batch = batch_of(some_pairs());
  Random one(1), again(1), other(2);
  const double loss = model.differentiate(batch, 0.5f, one);
  EXPECT_EQ(model.differentiate(batch, 0.5f, again), loss);
  EXPECT_NE(model.differentiate(batch, 0.5f, other), loss);
  EXPECT_NE(model.loss(batch), loss);
}

/// The loss in a batch is the mean over tokens, not over pairs.
TEST_P(Translators, JudgeAPairInABatchAsIfItWereAlone) {
  const Translator<double> model(shape(), 3);
  double sum = 0;
  Index tokens = 0;
  for (const NumberedPair& pair : some_pairs()) {
    const auto length = static_cast<Index>(pair.target.size()) + 1;
    sum += static_cast<double>(length) * model.loss(batch_of({pair}));
    tokens += length;
  }
  EXPECT_NEAR(model.loss(batch_of(some_pairs())), sum / static_cast<double>(tokens), 1e-12);
}

/// Steps one after the other do what training does for all steps at once.
TEST_P(Translators, DecodeStepByStepAsTheyLearnt) {
  const Translator<double> model(shape(), 3);
  const PairBatch batch = batch_of(some_pairs());
  const auto encoded = model.encode(batch.source);
  const auto size = static_cast<std::size_t>(batch.source.size());
  Translator<double>::Encoded source = encoded;
  MatrixOf<double> state = source.start;
  double sum = 0;
  std::size_t next = 0;
  for (std::size_t t = 0; t < static_cast<std::size_t>(batch.steps); ++t) {
    const std::span<const Index> previous(batch.previous.data() + t * size, size);
    const auto step = model.step(source, previous, state);
    const MatrixOf<double> p = row_softmax(step.logits);
    if (GetParam()) {
      ASSERT_EQ(step.weights.cols(), batch.source.steps);
      EXPECT_NEAR(step.weights.row(2).sum(), 1, 1e-12);
      EXPECT_EQ(step.weights(2, 2), 0);  // the shortest source has two tokens
    }
    for (; next < batch.rows.size() &&
           batch.rows[next] / batch.source.size() == static_cast<Index>(t);
         ++next)
      sum -= std::log(p(batch.rows[next] % batch.source.size(), batch.next[next]));
  }
  EXPECT_NEAR(sum / static_cast<double>(next), model.loss(batch), 1e-12);
}

TEST(PairBatch, IsOrderedByTimeAndPadded) {
  const PairBatch batch = batch_of(some_pairs());
  EXPECT_EQ(batch.source.lengths, (std::vector<Index>{4, 3, 2}));
  EXPECT_EQ(batch.source.tokens, (TokenNumbers{4, 5, 2, 2, 1, 3, 3, 2, 1, 5, 1, 1}));
  EXPECT_EQ(batch.lengths, (std::vector<Index>{2, 3, 5}));
  EXPECT_EQ(batch.steps, 5);
  EXPECT_EQ(batch.previous, (TokenNumbers{0, 0, 0, 3, 4, 2, 0, 2, 3, 0, 0, 4, 0, 0, 2}));
  EXPECT_EQ(batch.rows, (TokenNumbers{0, 1, 2, 3, 4, 5, 7, 8, 11, 14}));
  EXPECT_EQ(batch.next, (TokenNumbers{3, 4, 2, 0, 2, 3, 0, 4, 2, 0}));
}

/// Learns to write a source backwards, which a greedy decoder then does.
TEST(Decoding, TranslatesWhatWasLearnt) {
  std::vector<NumberedPair> pairs;
  std::vector<TokenNumbers> sources;
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    TokenNumbers source(1 + random.below(3));
    for (Index& token : source) token = 2 + static_cast<Index>(random.below(3));
    sources.push_back(source);
    pairs.push_back({source, {source.rbegin(), source.rend()}});
  }
  Translator<float> model({.source_tokens = 5, .target_tokens = 5, .embed_dim = 6, .hidden = 16},
                          1);
  std::ostringstream silence;
  Progress progress(silence, false);
  TrainingOptions options{
      .loop = {.epochs = 12, .batch_size = 16, .adam = {.learning_rate = 2e-2f}, .threads = 1}};
  train(model, pairs, pairs, options, "backwards", progress);
  EXPECT_LT(mean_loss(model, pairs, 1), 0.1);
  EXPECT_EQ(mean_loss(model, pairs, 1), mean_loss(model, pairs, 3));
  const std::vector<Translation> translated = translate(model, sources, 2);
  int right = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    right += translated[i].tokens == pairs[i].target ? 1 : 0;
    ASSERT_EQ(translated[i].weights.rows(), static_cast<Index>(translated[i].tokens.size()));
    ASSERT_EQ(translated[i].weights.cols(), static_cast<Index>(sources[i].size()));
  }
  EXPECT_GE(right, 190);
}

TEST(Decoding, EndsWhereTheModelDoesNot) {
  Translator<float> model({.source_tokens = 3, .target_tokens = 4, .embed_dim = 2, .hidden = 2}, 1);
  for (Parameter& p : model.parameters()) {
    p.value.setZero();
    if (p.name == "output.bias") p.value(3) = 1;  // always the same token, never the end
  }
  const auto translated = translate(model, {{2, 2}, {2}}, 1);
  EXPECT_EQ(translated[0].tokens, TokenNumbers(24, 3));
  EXPECT_EQ(translated[1].tokens, TokenNumbers(22, 3));
}

TEST(Judging, TakesTheNearestRightTarget) {
  const Item item{{"a", "b"}, {{"x", "y", "z"}, {"x", "q"}}};
  const JudgedTranslation judged = judge({"x", "y"}, {}, item);
  EXPECT_EQ(judged.edits, 1u);
  EXPECT_EQ(judged.target_length, 3u);
  EXPECT_EQ(judged.source_length, 2u);
  Score score;
  score.add(judged);
  score.add(judge({"x", "q"}, {}, item));
  EXPECT_EQ(score.exact_match(), 0.5);
  EXPECT_EQ(score.error_rate(), 1.0 / 5);
  EXPECT_EQ(Score{}.error_rate(), 0);
}

TEST(LengthRanges, HaveARoundWidthAndAnItemEach) {
  const auto items = [](std::initializer_list<std::size_t> lengths) {
    std::vector<Item> list;
    for (const std::size_t length : lengths) list.push_back({Tokens(length, "x"), {}});
    return list;
  };
  const auto narrow = length_ranges(items({3, 3, 10}));
  ASSERT_EQ(narrow.size(), 2u);
  EXPECT_EQ(narrow[1].first, 10u);
  EXPECT_EQ(narrow[1].last, 10u);
  const auto wide = length_ranges(items({7, 35, 60}));
  ASSERT_EQ(wide.size(), 3u);
  EXPECT_EQ(wide[1].first, 31u);
  EXPECT_EQ(wide[1].last, 40u);
  EXPECT_TRUE(length_ranges({}).empty());
}

}  // namespace
}  // namespace examples
