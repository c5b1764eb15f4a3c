// SPDX-License-Identifier: Apache-2.0
// The recommendation example: gradients of its layers and of the whole model, what it may see, its
// saved form.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "../examples/recommendation/evaluation.hpp"
#include "../examples/recommendation/recommender.hpp"
#include "../examples/recommendation/saved_model.hpp"
#include "../examples/support/dropout.hpp"
#include "../examples/support/layer_norm.hpp"
#include "../examples/support/text_file.hpp"
#include "support/layer_gradients.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

TEST(LayerNorm, GradientsAreThoseOfCentralDifferences) {
  expect_row_layer_gradients(LayerNorm<double>(5));
}

TEST(LayerNorm, GivesRowsOfMeanZeroAndVarianceOne) {
  const Doubles Y = LayerNorm<double>(8).forward((100 * random_doubles(3, 8, 1)).array().matrix() +
                                                 Doubles::Constant(3, 8, 7));
  for (Index i = 0; i < Y.rows(); ++i) {
    EXPECT_NEAR(Y.row(i).mean(), 0, 1e-12);
    EXPECT_NEAR(Y.row(i).squaredNorm() / 8, 1, 1e-6);
  }
}

TEST(Dropout, KeepsTheMeanAndLeavesOutItsShare) {
  Random random(5);
  const Matrix mask = dropout_mask(100, 100, 0.25f, random);
  EXPECT_NEAR((mask.array() == 0).cast<float>().mean(), 0.25f, 0.02f);  // 4 standard errors
  EXPECT_EQ(mask.maxCoeff(), 1 / 0.75f);
  EXPECT_EQ(dropout_mask(2, 2, 0, random), Matrix::Ones(2, 2));
}

constexpr RecommenderShape kTiny{.items = 7, .layers = 2, .embed_dim = 4, .heads = 2, .context = 5};

HistoryBatch tiny_batch() {
  const std::vector<Index> first = {2, 0, 6, 3}, second = {1, 5};
  HistoryBatch batch;
  batch.add_training(first);
  batch.add_training(second);
  return batch;
}

TEST(HistoryBatch, LiesOneHistoryBehindTheOther) {
  const HistoryBatch batch = tiny_batch();
  EXPECT_EQ(batch.items, (std::vector<Index>{2, 0, 6, 1}));
  EXPECT_EQ(batch.next, (std::vector<Index>{0, 6, 3, 5}));
  EXPECT_EQ(batch.offsets, (std::vector<Index>{0, 3, 4}));
  HistoryBatch latest;
  latest.add(std::vector<Index>{1, 2, 3, 4}, 3);
  EXPECT_EQ(latest.items, (std::vector<Index>{2, 3, 4}));
}

TEST(TrainingPieces, ForetellEveryItemButTheFirstOnce) {
  std::vector<Index> items(12);
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = static_cast<Index>(i);
  const std::vector<Index> one = {3};
  std::vector<int> foretold(items.size(), 0);
  for (const auto& piece : training_pieces({items, one}, 4)) {
    EXPECT_LE(piece.size(), 5u);
    for (const Index next : piece.subspan(1)) ++foretold[static_cast<std::size_t>(next)];
  }
  EXPECT_EQ(foretold.front(), 0);
  for (std::size_t i = 1; i < items.size(); ++i) EXPECT_EQ(foretold[i], 1) << i;
}

TEST(Recommender, GradientsOfTheWholeAreThoseOfCentralDifferences) {
  for (const float dropout : {0.f, 0.3f}) {
    Recommender<double> model(kTiny, VectorOf<double>::Zero(kTiny.items), 1);
    auto parameters = model.parameters();
    disturb(parameters);
    const HistoryBatch batch = tiny_batch();
    model.differentiate(batch, 0.7, dropout, 9);
    ASSERT_EQ(parameters.size(), 3u + 2 * (2 + 4 + 2 + 4) + 2);
    std::vector<VectorOf<double>> gradients;
    for (const auto& p : parameters) gradients.emplace_back(p.gradient);
    // The loss overwrites the gradients, so they are compared as they were.
    const auto loss = [&] { return model.differentiate(batch, 0.7, dropout, 9); };
    for (std::size_t i = 0; i < parameters.size(); ++i)
      expect_gradient(parameters[i].value.data(), gradients[i].data(), gradients[i].size(), loss,
                      parameters[i].name, 3);
  }
}

TEST(Recommender, LossIsTheCrossEntropyOverItemsNotYetHad) {
  Recommender<double> model(kTiny, VectorOf<double>::LinSpaced(kTiny.items, 0, 1), 1);
  const std::vector<Index> known = {4, 2};
  HistoryBatch question;
  question.add(known, 5);
  const VectorOf<double> scores = model.scores(question).row(0).transpose();
  double sum = 0;
  for (const Index item : {0, 1, 3, 5, 6}) sum += std::exp(scores(item));
  HistoryBatch first, both;
  first.add_training(std::vector<Index>{4, 2});
  both.add_training(std::vector<Index>{4, 2, 6});
  const double of_second = model.differentiate(both, 1, 0, 0) - model.differentiate(first, 1, 0, 0);
  EXPECT_NEAR(of_second, std::log(sum) - scores(6), 1e-12);
}

TEST(Recommender, ScoresDependOnEarlierItemsOfTheSameHistoryAlone) {
  std::vector<BasicParameter<double>> parameters;
  Recommender<double> model(kTiny, VectorOf<double>::Zero(kTiny.items), 1);
  parameters = model.parameters();
  disturb(parameters);
  const auto scores = [&](const std::vector<Index>& before, const std::vector<Index>& history) {
    HistoryBatch batch;
    batch.add(before, 5);
    batch.add(history, 5);
    return VectorOf<double>(model.scores(batch).row(1).transpose());
  };
  const VectorOf<double> one = scores({0}, {1, 2, 3});
  EXPECT_TRUE(scores({6, 5, 4}, {1, 2, 3}).isApprox(one, 1e-12));
  EXPECT_GT((scores({0}, {2, 1, 3}) - one).norm(), 1e-3) << "the order does not matter";
}

TEST(Recommender, StartsNearThePopularities) {
  const Vector popularity = Vector::LinSpaced(20, -2, 3);
  const Recommender<float> model({.items = 20, .embed_dim = 16}, popularity, 3);
  HistoryBatch batch;
  batch.add(std::vector<Index>{5, 6}, 50);
  EXPECT_LT((model.scores(batch).row(0).transpose() - popularity).cwiseAbs().maxCoeff(), 0.5f);
}

TEST(Recommender, AttentionIsADistributionOverTheLatestItems) {
  const Recommender<float> model(kTiny, Vector::Zero(kTiny.items), 3);
  const std::vector<Index> history = {0, 1, 2, 3, 4, 5, 6};
  const Vector weights = model.attention(history);
  ASSERT_EQ(weights.size(), kTiny.context);
  EXPECT_NEAR(weights.sum(), 1, 1e-5);
  EXPECT_GE(weights.minCoeff(), 0);
}

TEST(SavedRecommender, ComesBackAsItWas) {
  const std::string path = support::temporary_path("recommender.model");
  Catalogue catalogue{"test", Vocabulary({"a", "b", "c", "d", "e", "f", "g"}), {}, {}};
  Recommender<float> model(kTiny, Vector::LinSpaced(kTiny.items, 0, 1), 4);
  save_model(path, catalogue, model);
  const SavedRecommender loaded = load_model(path);
  EXPECT_EQ(loaded.items.words(), catalogue.items.words());
  HistoryBatch batch;
  batch.add(std::vector<Index>{5, 6}, 5);
  EXPECT_EQ(loaded.model.scores(batch), model.scores(batch));
  std::filesystem::remove(path);
}

TEST(SavedRecommender, RefusesDamage) {
  const std::string path = support::temporary_path("damaged.model");
  const auto sentence = [&](const std::string& description) -> std::string {
    write_file(path, std::string(kModelKind) + "\n{\"description\": " + description +
                         ", \"tensors\": []}\n");
    try {
      load_model(path);
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  const std::string rest = R"("layers": 1, "embed_dim": 6, "context": 3)";
  const std::string start = path + ":2: the description of the saved model is damaged: ";
  EXPECT_EQ(sentence(R"({"items": [], "heads": 1, )" + rest + "}"), start + "it knows no item.");
  EXPECT_EQ(sentence(R"({"items": ["a"], "heads": 4, )" + rest + "}"),
            start + "its heads do not divide its embed_dim.");
  EXPECT_EQ(sentence(R"({"items": ["a"], "heads": 0, )" + rest + "}"), start + "its heads is 0.");
  EXPECT_NE(sentence(R"({"items": ["a"], )" + rest + "}").find("heads"), std::string::npos);
  EXPECT_NE(sentence(R"({"items": ["a"], "heads": 1, )" + rest + "}").find("tensor 1 is missing"),
            std::string::npos);
  std::filesystem::remove(path);
}

TEST(RenumberedCatalogue, FollowsTheModelsNumbers) {
  Catalogue catalogue = catalogue_of("r.csv", {{"u", "b", 1}, {"u", "a", 2}});
  catalogue.titles = {"Bee", "Ay"};
  const Catalogue result = renumbered(catalogue, Vocabulary({"a", "b", "c"}), "m");
  EXPECT_EQ(result.histories.front().items, (std::vector<Index>{1, 0}));
  EXPECT_EQ(result.titles, (std::vector<std::string>{"Ay", "Bee", "c"}));
  try {
    renumbered(catalogue, Vocabulary({"a"}), "m");
    ADD_FAILURE() << "an item that the model does not know went through";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "r.csv: the model in m does not know the item 'b', which it did not learn from.");
  }
}

}  // namespace
}  // namespace examples
