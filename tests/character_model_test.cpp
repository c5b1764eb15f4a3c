// SPDX-License-Identifier: Apache-2.0
// The character model example: gradients of its layers and of the whole, text pieces, baselines,
// training, and decoding through caches.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/character_model/corpus.hpp"
#include "../examples/character_model/loss_page.hpp"
#include "../examples/character_model/ngram.hpp"
#include "../examples/character_model/report.hpp"
#include "../examples/character_model/sampling.hpp"
#include "../examples/character_model/saved_model.hpp"
#include "../examples/character_model/training.hpp"
#include "support/layer_gradients.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

TEST(RmsNorm, GradientsAreThoseOfCentralDifferences) {
  expect_row_layer_gradients(RmsNorm<double>(5));
}

TEST(RmsNorm, GivesRowsOfMeanSquareOne) {
  const Doubles Y = RmsNorm<double>(8).forward(100 * random_doubles(3, 8, 1));
  for (Index i = 0; i < Y.rows(); ++i) EXPECT_NEAR(Y.row(i).squaredNorm() / 8, 1, 1e-6);
}

TEST(SwiGlu, GradientsAreThoseOfCentralDifferences) {
  Random random(3);
  SwiGlu<double> layer(4, 6, random);
  Doubles X = random_doubles(3, 4, 1);
  const Doubles dY = random_doubles(3, 4, 2);
  std::vector<BasicParameter<double>> parameters;
  layer.append_parameters(parameters, "mlp");
  disturb(parameters);
  const auto loss = [&] { return layer.forward(X).output.cwiseProduct(dY).sum(); };
  const Doubles dX = layer.backward(layer.forward(X), dY);
  expect_gradient(X.data(), dX.data(), X.size(), loss, "X");
  expect_parameter_gradients(parameters, loss);
}

DecoderShape tiny_shape() {
  return {.characters = 5,
          .layers = 2,
          .embed_dim = 8,
          .heads = 4,
          .kv_heads = 2,
          .hidden = 6,
          .context = 6};
}

TEST(Decoder, GradientsOfTheWholeAreThoseOfCentralDifferences) {
  Decoder<double> model(tiny_shape(), 1);
  auto parameters = model.parameters();
  disturb(parameters);
  Random random(2);
  std::vector<Index> text;
  for (int i = 0; i < 20; ++i) text.push_back(static_cast<Index>(random.below(5)));
  Windows batch;
  for (const std::size_t first : random_windows(text.size(), 2, 6, random))
    batch.add(text, first, 6);
  const auto loss = [&] {
    return cross_entropy(row_softmax(model.logits(batch.characters, batch.count)), batch.next).loss;
  };
  EXPECT_NEAR(model.differentiate(batch), loss(), 1e-12);
  ASSERT_EQ(parameters.size(), 1u + 2 * (1 + 6 + 1 + 6) + 1 + 2);
  expect_parameter_gradients(parameters, loss);
}

TEST(Decoder, SeesNoLaterCharacterAndNoOtherWindow) {
  const Decoder<double> model(tiny_shape(), 1);
  const std::vector<Index> text{0, 1, 2, 3, 4, 0, 1, 2};
  std::vector<Index> changed = text;
  changed[3] = 0;
  const Doubles before = model.logits(text, 2), after = model.logits(changed, 2);
  EXPECT_EQ(before.topRows(3), after.topRows(3));
  EXPECT_EQ(before.bottomRows(4), after.bottomRows(4));
  EXPECT_NE(before.row(3), after.row(3));
}

TEST(Decoder, DecodesThroughCachesWhatOneCausalPassGives) {
  const Decoder<double> model(tiny_shape(), 1);
  const std::vector<Index> text{0, 1, 2, 3, 4, 3};
  const Doubles whole = model.logits(text, 1);
  auto caches = model.caches();
  const std::span<const Index> all = text;
  EXPECT_LE((model.step(all.first(3), caches) - whole.topRows(3)).cwiseAbs().maxCoeff(), 1e-13);
  for (std::size_t i = 3; i < text.size(); ++i) {
    const Doubles row = model.step(all.subspan(i, 1), caches);
    EXPECT_LE((row - whole.row(static_cast<Index>(i))).cwiseAbs().maxCoeff(), 1e-13) << i;
  }
}

TEST(Windows, CoverEveryCharacterButTheFirstOnce) {
  for (const std::size_t size : {0u, 1u, 2u, 7u, 8u, 9u, 10u, 30u, 31u}) {
    std::size_t next = 1;
    for (const JudgedWindow& w : covering_windows(size, 8)) {
      EXPECT_EQ(w.first + w.length - w.counted + 1, next);
      EXPECT_LE(w.length, 8u);
      EXPECT_TRUE(w.first == 0 || w.length - w.counted == 4u);
      next += w.counted;
    }
    EXPECT_EQ(next, std::max<std::size_t>(size, 1));
  }
}

TEST(Windows, HoldTheCharacterAfterEach) {
  const std::vector<Index> text{0, 1, 2, 3, 4, 5, 6, 7};
  Windows windows;
  windows.add(text, 1, 6);
  windows.add(text, 0, 6);
  EXPECT_EQ(windows.count, 2);
  EXPECT_EQ(windows.characters, (std::vector<Index>{1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(windows.next, (std::vector<Index>{2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6}));
}

TEST(Windows, StartWhereverTheyFit) {
  Random random(1);
  std::set<std::size_t> starts;
  for (const std::size_t first : random_windows(9, 100, 6, random)) starts.insert(first);
  EXPECT_EQ(starts, (std::set<std::size_t>{0, 1, 2}));
}

TEST(Alphabet, NumbersCodePointsAndGivesThemBack) {
  const Alphabet alphabet("n\xC3\xA4nny");
  EXPECT_EQ(alphabet.size(), 3);
  EXPECT_EQ(alphabet.encode("x", "yn\xC3\xA4"), (std::vector<Index>{2, 0, 1}));
  EXPECT_EQ(alphabet.character(1), "\xC3\xA4");
  try {
    alphabet.encode("--prompt", "nz");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "--prompt: the model does not know the character 'z', which the text that it "
                 "learnt from has not.");
  }
}

/// Follows the rules of a line, drawing nothing: what is left to chance is what the loss counts.
TEST(MadeUpText, SaysTheSameTwiceInAnyOrder) {
  Random random(5);
  std::map<std::string, int> orders;
  for (int i = 0; i < 300; ++i) {
    const std::string line = made_up_line(random);
    ASSERT_EQ(line.size(), kMadeUpLine) << line;
    std::vector<std::string> facts;
    for (std::size_t at = 0; at < line.size(); at += 8) facts.push_back(line.substr(at, 6));
    std::string order;
    for (std::size_t k = 2; k < 4; ++k)
      for (std::size_t first = 0; first < 2; ++first)
        if (facts[first] == facts[k]) order += static_cast<char>('0' + static_cast<int>(first));
    ++orders[order];
  }
  EXPECT_EQ(orders.size(), 2u);
  for (const auto& [order, count] : orders) {
    EXPECT_EQ(order.size(), 2u);
    EXPECT_GT(count, 100) << order;
  }
}

TEST(NgramModel, IsTheWrittenFormula) {
  const std::vector<Index> text{0, 1, 0, 2, 0, 1};
  const NgramModel model(text, 4, 2);
  // Alone: 3 of 6 with 3 kinds, mixed with 1/4. After 0: 2 of 3 with 2 kinds.
  const double alone = (2 + 3 * 0.25) / (6 + 3);
  EXPECT_DOUBLE_EQ(model.probability({}, 1), alone);
  const std::vector<Index> zero{3, 0};
  EXPECT_DOUBLE_EQ(model.probability(zero, 1), (2 + 2 * alone) / (3 + 2));
}

TEST(NgramModel, ProbabilitiesAddUpToOneAfterAnything) {
  const std::vector<Index> text{0, 1, 0, 2, 0, 1, 1, 2};
  const NgramModel model(text, 4, 3);
  for (Index a = 0; a < 4; ++a)
    for (Index b = 0; b < 4; ++b) {
      const std::vector<Index> before{a, b};
      double sum = 0;
      for (Index c = 0; c < 4; ++c) sum += model.probability(before, c);
      EXPECT_NEAR(sum, 1, 1e-12);
    }
}

TEST(Gradients, AreShortenedTogetherAndOnlyWhereTooLong) {
  Vector a = Vector::Zero(1), b = a, da = Vector::Constant(1, 3.f), db = Vector::Constant(1, 4.f);
  std::vector<Parameter> parameters{parameter("a", a, da), parameter("b", b, db)};
  EXPECT_DOUBLE_EQ(clip_gradients(parameters, 10), 5);
  EXPECT_EQ(da(0), 3.f);
  clip_gradients(parameters, 1);
  EXPECT_FLOAT_EQ(da(0), 0.6f);
  EXPECT_FLOAT_EQ(db(0), 0.8f);
}

TEST(LearningRate, RisesAndFalls) {
  EXPECT_DOUBLE_EQ(warmup_and_cosine(0.05, 0.1, 0.2), 0.5);
  EXPECT_DOUBLE_EQ(warmup_and_cosine(0.1, 0.1, 0.2), 1);
  EXPECT_NEAR(warmup_and_cosine(0.55, 0.1, 0.2), 0.6, 1e-12);
  EXPECT_NEAR(warmup_and_cosine(1, 0.1, 0.2), 0.2, 1e-12);
}

TEST(Draw, FollowsTemperatureAndTopK) {
  const Vector logits = (Vector(3) << 0.f, std::log(2.f), std::log(5.f)).finished();
  const auto counts = [&](const SamplingOptions& options) {
    Random random(4);
    std::vector<double> shares(3);
    for (int i = 0; i < 8000; ++i)
      shares[static_cast<std::size_t>(draw(logits, options, random))] += 1.0 / 8000;
    return shares;
  };
  const auto plain = counts({.temperature = 1});
  EXPECT_NEAR(plain[0], 1.0 / 8, 0.02);
  EXPECT_NEAR(plain[1], 2.0 / 8, 0.025);
  const auto warm = counts({.temperature = 2});
  EXPECT_NEAR(warm[2], std::sqrt(5.0) / (1 + std::sqrt(2.0) + std::sqrt(5.0)), 0.03);
  EXPECT_EQ(counts({.temperature = 0})[0] + counts({.temperature = 0})[1], 0);
  const auto two = counts({.temperature = 1, .top_k = 2});
  EXPECT_EQ(two[0], 0);
  EXPECT_NEAR(two[1], 2.0 / 7, 0.025);
}

/// A small model that has learnt a little, with what it learnt from.
class Trained : public testing::Test {
 protected:
  static TrainingSummary train(CharacterModel& model, Index threads) {
    std::ostringstream silence;
    Progress progress(silence, false, "characters");
    const TrainingOptions options{.steps = 100,
                                  .batch_size = 6,
                                  .report_every = 50,
                                  .adam = {.learning_rate = 2e-2f},
                                  .threads = threads};
    const auto text = model.alphabet.encode("text", corpus().train);
    return Trainer(model.decoder, options, progress).train(text, validation(model));
  }
  static CharacterModel untrained() {
    Alphabet alphabet(corpus().train);
    const DecoderShape shape{.characters = alphabet.size(),
                             .layers = 1,
                             .embed_dim = 16,
                             .heads = 2,
                             .kv_heads = 1,
                             .hidden = 16,
                             .context = 24};
    return {std::move(alphabet), Decoder<float>(shape, 1)};
  }
  static const Corpus& corpus() {
    static const Corpus corpus = [] {
      Random random(1);
      return Corpus{.source = "text",
                    .train = made_up_text(300, random),
                    .validation = made_up_text(40, random)};
    }();
    return corpus;
  }
  static std::vector<Index> validation(const CharacterModel& model) {
    return model.alphabet.encode("text", corpus().validation);
  }
};

TEST_F(Trained, StandsBetweenTheBestPossibleAndTheBigramOnAnyNumberOfThreads) {
  CharacterModel model = untrained();
  const TrainingSummary summary = train(model, 1);
  ASSERT_EQ(summary.curve.size(), 2u);
  EXPECT_EQ(summary.steps, 100);
  EXPECT_LT(summary.curve[1].train, summary.curve[0].train);
  const auto text = validation(model);
  const double loss = mean_loss(model.decoder, text, 1);
  EXPECT_EQ(loss, mean_loss(model.decoder, text, 2));
  const auto others =
      baselines(model.alphabet.encode("text", corpus().train), text, model.alphabet.size());
  EXPECT_EQ(others[0].name, "bigram");
  EXPECT_LT(loss, others[0].loss);
  EXPECT_GT(loss, best_made_up_loss());

  CharacterModel again = untrained();
  train(again, 2);
  EXPECT_EQ(loss, mean_loss(again.decoder, text, 1));
}

TEST_F(Trained, ComesBackFromItsFile) {
  CharacterModel model = untrained();
  const std::string path = support::temporary_path("character.model");
  save_model(path, model);
  const CharacterModel loaded = load_model(path);
  EXPECT_EQ(loaded.alphabet.characters(), model.alphabet.characters());
  EXPECT_EQ(mean_loss(loaded.decoder, validation(model), 1),
            mean_loss(model.decoder, validation(model), 1));
}

TEST(LossPage, ShowsCurvesAndLevels) {
  Report report;
  report.models = {{"attention", 0.5}, {"bigram", 1.5}};
  report.best_loss = 0.25;
  report.training = TrainingSummary{{{10, 2, 1.9}, {20, 1, 0.9}}, 20, 1.5, false};
  const std::string page = loss_page(report);
  for (const char* part : {"<polyline class=\"curve first\" points=\"367.0,70.0 670.0,240.0",
                           ">bigram<", ">best possible<", ">training step<",
                           ">loss, nats a character<", "prefers-color-scheme: dark"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  EXPECT_EQ(page.find("http"), std::string::npos);
}

}  // namespace
}  // namespace examples
