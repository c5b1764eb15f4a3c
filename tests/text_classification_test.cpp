// SPDX-License-Identifier: Apache-2.0
// The text classifier example: reading, features, gradients of the whole model, training, saving.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/text_classification/corpus_reader.hpp"
#include "../examples/text_classification/datasets.hpp"
#include "../examples/text_classification/experiment.hpp"
#include "../examples/text_classification/planted_corpus.hpp"
#include "../examples/text_classification/report.hpp"
#include "../examples/text_classification/saved_model.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

using support::temporary_path;

std::string file(const std::string& name, const std::string& content) {
  std::ofstream(temporary_path(name), std::ios::binary) << content;
  return temporary_path(name);
}

std::string data_error(const auto& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(CorpusReader, ReadsTabsWithQuotesAsOrdinaryCharacters) {
  const auto texts = read_texts(file("a.txt", "ham\tso \"they\" say\nspam\t\"win\" now\n\n"), {});
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].label, "ham");
  EXPECT_EQ(texts[0].text, "so \"they\" say");
  EXPECT_EQ(texts[1].text, "\"win\" now");
  EXPECT_EQ(texts[1].line, 2u);
}

TEST(CorpusReader, ReadsTabsQuotedAsAWhole) {
  const auto texts = read_texts(file("b.tsv", "a\t\"one\ttwo \"\"three\"\"\"\nb\tfour\n"), {});
  EXPECT_EQ(texts[0].text, "one\ttwo \"three\"");
}

TEST(CorpusReader, ReadsCommasWithQuotingAndSkipsTheHeader) {
  const auto texts =
      read_texts(file("c.csv", "label,text\npos,\"good, very\ngood\"\nneg,bad\n"), {});
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].text, "good, very\ngood");
  EXPECT_EQ(texts[1].line, 4u);
}

TEST(CorpusReader, TakesTheLabelFromTheLastColumnWhenAsked) {
  const auto texts = read_texts(file("d.txt", "a fine\tfilm\t1\n"), {.label = LabelColumn::kLast});
  EXPECT_EQ(texts[0].label, "1");
  EXPECT_EQ(texts[0].text, "a fine film");
}

TEST(CorpusReader, ReadsTrecLabels) {
  const auto texts = read_texts(
      file("e.label", "DESC:manner How did it develop , then ?\nNUM:count How many: two ?\n"), {});
  EXPECT_EQ(texts[0].label, "DESC");
  EXPECT_EQ(texts[0].text, "How did it develop , then ?");
  EXPECT_EQ(texts[1].label, "NUM");
}

TEST(CorpusReader, ReadsAFolderWithTwoParallelFiles) {
  std::filesystem::create_directories(temporary_path("folder"));
  file("folder/seq.in", "play music \nrate it\n");
  file("folder/label", "PlayMusic\nRateBook\n");
  const auto texts = read_texts(temporary_path("folder"), {});
  EXPECT_EQ(texts[0].text, "play music");
  EXPECT_EQ(texts[1].label, "RateBook");
  file("folder/label", "PlayMusic\n");
  EXPECT_NE(data_error([] {
              read_texts(temporary_path("folder"), {});
            }).find("its companion has 2 lines"),
            std::string::npos);
}

TEST(CorpusReader, NamesTheLineWithoutALabel) {
  EXPECT_EQ(data_error([] { read_texts(file("f.tsv", "a\tb\nno tab here\n"), {}); }),
            temporary_path("f.tsv") +
                ":2: this line has no label: no tab divides it into label and text.");
  EXPECT_EQ(data_error([] { read_texts(file("g.tsv", "a\tb\n\tno label\n"), {}); }),
            temporary_path("g.tsv") + ":2: this line has no label.");
  EXPECT_EQ(data_error([] {
              read_texts(file("h.txt", "A:b c\nnothing\n"), {.format = TextFormat::kTrec});
            }),
            temporary_path("h.txt") +
                ":2: this line has no label: it does not begin with LABEL:sub and a blank.");
}

TEST(CorpusReader, RefusesEmptyFilesAndBrokenQuotes) {
  EXPECT_EQ(data_error([] { read_texts(file("i.csv", " \n"), {}); }),
            temporary_path("i.csv") + ": the file holds no text.");
  EXPECT_EQ(data_error([] { read_class_file("pos", file("j.txt", "\n\n"), Encoding::kUtf8); }),
            temporary_path("j.txt") + ":1: the class 'pos' is empty: the file holds no text.");
  EXPECT_EQ(data_error([] { read_texts(file("k.csv", "a,b\nc,\"d\n"), {}); }),
            temporary_path("k.csv") + ":2: a quoted field that starts here is never closed.");
}

Texts numbered_texts(std::size_t count) {
  Texts texts;
  for (std::size_t i = 0; i < count; ++i) {
    texts.push_back({.label = i % 4 == 0 ? "few" : "many", .text = std::to_string(i)});
  }
  return texts;
}

TEST(Corpus, FoldsTestEveryTextOnce) {
  const Texts texts = numbered_texts(23);
  std::multiset<std::string> tested;
  for (std::size_t fold = 0; fold < 5; ++fold) {
    const Division division = divide_by_fold(texts, fold, 5, 7);
    EXPECT_EQ(division.train.size() + division.test.size(), texts.size());
    for (const auto& text : division.test) tested.insert(text.text);
  }
  EXPECT_EQ(tested.size(), texts.size());
  EXPECT_EQ(std::set<std::string>(tested.begin(), tested.end()).size(), texts.size());
}

TEST(Corpus, ValidationTakesATenthOfEveryClass) {
  Texts train = numbered_texts(400);
  const Texts taken = take_validation(train, 0.1, 1);
  EXPECT_EQ(taken.size(), 40u);
  EXPECT_EQ(train.size(), 360u);
  EXPECT_EQ(std::count_if(taken.begin(), taken.end(),
                          [](const LabelledText& text) { return text.label == "few"; }),
            10);
}

TEST(Corpus, ValidationLeavesASingleTextInItsClass) {
  Texts train = {{.label = "a", .text = "x"}, {.label = "b", .text = "y"}};
  EXPECT_TRUE(take_validation(train, 0.9, 1).empty());
}

TEST(Corpus, NeedsTwoClassesAndKnowsOnlyThose) {
  const Texts one = {{.label = "a", .text = "x", .file = "f", .line = 1}};
  EXPECT_EQ(data_error([&] { class_names(one); }),
            "f: every text has the class 'a'; a classifier needs at least two classes.");
  EXPECT_EQ(data_error([&] {
              class_number({"b", "c"}, one.front());
            }),
            "f:1: the class 'a' has no example in the training data.");
}

TEST(PlantedCorpus, MarksTheWordsThatDecide) {
  for (const LabelledText& text : PlantedCorpus(3).texts(80)) {
    const auto tokens = tokenize(text.text);
    ASSERT_FALSE(text.key_tokens.empty());
    for (const std::size_t at : text.key_tokens) {
      const auto matter = std::find_if(kMatters.begin(), kMatters.end(),
                                       [&](const Matter& m) { return m.name == text.label; });
      const auto& keys = matter->key_words;
      EXPECT_NE(std::find(keys.begin(), keys.end(), tokens[at].word), keys.end()) << text.text;
    }
  }
}

FeatureSpace space_of(const std::vector<std::string>& texts, FeatureOptions options = {}) {
  std::vector<std::vector<Token>> tokens;
  for (const std::string& text : texts) tokens.push_back(tokenize(text));
  return FeatureSpace(tokens, options);
}

TEST(Features, GroupsLettersWithTheEndsOfTheWord) {
  EXPECT_EQ(letter_groups("cat"),
            (std::vector<std::string>{"<ca", "cat", "at>", "<cat", "cat>", "<cat>"}));
  EXPECT_EQ(letter_groups("\u00E9"), (std::vector<std::string>{"<\u00E9>"}));
}

TEST(Features, DescribeAWordByItselfItsNeighboursAndItsLetters) {
  const FeatureSpace space = space_of({"not good", "not good"});
  const TokenFeatures features = space.features(space.tokens("not good"));
  ASSERT_EQ(features.size(), 2u);
  EXPECT_EQ(features[0][0].row, space.word_row(0));
  EXPECT_EQ(features[0][1].row, space.first_pair());
  EXPECT_EQ(features[1][0].row, space.word_row(1));
  EXPECT_EQ(features[1][1].row, space.first_pair());
  float letters = 0;
  for (const Feature& f : features[1].subspan(2)) letters += f.weight;
  EXPECT_NEAR(letters, 1, 1e-6f);
}

TEST(Features, TakeUnknownWordsForTheUnknownWord) {
  const FeatureSpace space = space_of({"aa bb", "aa bb"}, {.pairs = false, .letters = false});
  const TokenFeatures features = space.features(space.tokens("zz aa"));
  EXPECT_EQ(features[0][0].row, 0);
  EXPECT_EQ(features[1][0].row, 1);
  EXPECT_EQ(space.features({}).size(), 1u);  // an empty text is one unknown word
}

TEST(Features, SurviveBeingSaved) {
  const FeatureSpace space = space_of({"one two three", "one two"}, {.digits_as_shapes = true});
  const FeatureSpace read(space.to_json());
  const auto a = space.features(space.tokens("one two 3")),
             b = read.features(read.tokens("one two 3"));
  EXPECT_EQ(read.rows(), space.rows());
  ASSERT_EQ(a.features.size(), b.features.size());
  for (std::size_t i = 0; i < a.features.size(); ++i) {
    EXPECT_EQ(a.features[i].row, b.features[i].row);
  }
}

/// Texts of the given lengths whose words are rows of a small embedding.
std::vector<TrainingText> row_texts(const std::vector<std::vector<Index>>& rows) {
  std::vector<TrainingText> texts;
  for (const auto& text : rows) {
    TrainingText made{{}, static_cast<Index>(texts.size() % 2)};
    for (const Index row : text) {
      made.tokens.features.push_back({row, 1});
      made.tokens.ends.push_back(made.tokens.features.size());
    }
    texts.push_back(std::move(made));
  }
  return texts;
}

TEST(Batch, PadsToTheLongestText) {
  const auto texts = row_texts({{1, 2, 3}, {4}});
  const Batch batch = make_batch(pointers(texts));
  EXPECT_EQ(batch.longest, 3);
  EXPECT_EQ(batch.lengths, (std::vector<Index>{3, 1}));
  EXPECT_EQ(batch.positions[3][0].row, 4);
  EXPECT_TRUE(batch.positions[4].empty());
}

TEST(Batch, WordDropoutLeavesAtLeastOneWord) {
  const auto texts = row_texts({{1, 2, 3, 4, 5}, {6}});
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    const Batch batch = make_batch(pointers(texts), 0.9f, &random);
    EXPECT_GE(batch.lengths[0], 1);
    EXPECT_EQ(batch.lengths[1], 1);
  }
}

TEST(Batch, AnEpochShowsEveryTextOnce) {
  std::vector<std::vector<Index>> rows;
  for (Index i = 0; i < 45; ++i) rows.emplace_back(static_cast<std::size_t>(i % 7 + 1), i);
  const auto texts = row_texts(rows);
  Random random(2);
  std::set<const TrainingText*> seen;
  for (const auto& batch : epoch_batches(texts, 4, random)) {
    EXPECT_LE(batch.size(), 4u);
    seen.insert(batch.begin(), batch.end());
  }
  EXPECT_EQ(seen.size(), texts.size());
}

class ClassifierOf : public testing::TestWithParam<AttentionKind> {
 protected:
  static Classifier classifier(AttentionKind kind) {
    Random random(11);
    Classifier made(
        {.attention = kind, .embed_dim = 4, .attention_dim = 3, .heads = 2, .classes = 2},
        random.normal_matrix(8, 4, 1), 5);
    // Everything away from zero, so that every path carries a gradient.
    for (Parameter& p : made.parameters()) {
      for (Index i = 0; i < p.value.size(); ++i) p.value(i) += 0.3f * random.normal();
    }
    return made;
  }
};

TEST_P(ClassifierOf, GradientsAgreeWithDifferences) {
  Classifier model = classifier(GetParam());
  const auto texts = row_texts({{1, 2, 3, 1}, {4, 5}, {6}});
  const Batch batch = make_batch(pointers(texts));
  const DropoutRates none{0, 0};
  model.differentiate(batch, none);
  std::vector<Parameter> parameters = model.parameters();
  const auto loss = [&] {
    return static_cast<double>(
        cross_entropy(model.predict(batch).probabilities, batch.labels).loss);
  };
  for (Parameter& p : parameters) {
    for (Index i = 0; i < p.value.size(); ++i) {
      // Wide steps and Richardson's extrapolation: float rounds too much for narrow ones.
      const float kept = p.value(i);
      const auto slope = [&](float h) {
        p.value(i) = kept + h;
        const double above = loss();
        p.value(i) = kept - h;
        const double below = loss();
        p.value(i) = kept;
        return (above - below) / (2 * static_cast<double>(h));
      };
      const double expected = (4 * slope(0.02f) - slope(0.04f)) / 3;
      EXPECT_NEAR(static_cast<double>(p.gradient(i)), expected, 2e-4) << p.name << ' ' << i;
    }
  }
}

TEST_P(ClassifierOf, PaddingChangesNothing) {
  const Classifier model = classifier(GetParam());
  const auto texts = row_texts({{1, 2, 3, 4, 5}, {6, 7}});
  const auto both = model.predict(make_batch(pointers(texts)));
  const auto alone = model.predict(make_batch({pointers(texts).data() + 1, 1}));
  EXPECT_TRUE(both.probabilities.row(1).isApprox(alone.probabilities.row(0), 1e-5f));
  EXPECT_TRUE(both.weights.row(1).head(2).isApprox(alone.weights.row(0), 1e-5f));
  EXPECT_TRUE(both.weights.row(1).tail(3).isZero(0));
  EXPECT_NEAR(both.weights.row(0).sum(), 1, 1e-5f);
}

TEST(SelfAttention, SeesNothingOutsideItsWindow) {
  Random random(3);
  SelfAttention layer({.score = ScoreKind::kDot, .embed_dim = 4, .window = 1}, random);
  std::vector<Parameter> parameters;
  layer.append_parameters(parameters, "layer");
  for (Parameter& p : parameters) p.value.setConstant(0.25f);
  Matrix X = random.normal_matrix(5, 4, 1);
  const Matrix before = layer.forward(X, {5}).output;
  X.row(4).array() += 1;
  const Matrix after = layer.forward(X, {5}).output;
  EXPECT_TRUE(after.topRows(3).isApprox(before.topRows(3), 1e-6f));
  EXPECT_GT((after.row(3) - before.row(3)).norm(), 1e-3f);
}

std::string kind_name(const testing::TestParamInfo<AttentionKind>& info) {
  return std::string(attention_name(info.param));
}
INSTANTIATE_TEST_SUITE_P(Kinds, ClassifierOf,
                         testing::Values(AttentionKind::kNone, AttentionKind::kPooling,
                                         AttentionKind::kAdditive, AttentionKind::kDot,
                                         AttentionKind::kScaledDot, AttentionKind::kMultiHead),
                         kind_name);

TEST(BagOfWords, GradientsAgreeWithDifferences) {
  BagOfWords model(8, 2);
  const auto texts = row_texts({{1, 2, 3}, {2}});
  const Batch batch = make_batch(pointers(texts));
  model.differentiate(batch, {});
  // At zero every class has p = 1/2, so the gradient of a word is known by hand.
  const Parameter words = model.parameters().front();
  EXPECT_FLOAT_EQ(words.gradient(2 * 2), -0.25f + 0.25f);  // in both texts, of both classes
  EXPECT_FLOAT_EQ(words.gradient(1 * 2), -0.25f);
  EXPECT_FLOAT_EQ(words.gradient(1 * 2 + 1), 0.25f);
}

struct Trained {
  Dataset data;
  TextModel model;
  Evaluation evaluation;
};

Trained train_on_planted_corpus(std::uint64_t seed, int epochs) {
  PlantedCorpus corpus(seed);
  Dataset data{corpus.texts(400), corpus.texts(60), corpus.texts(200)};
  ModelOptions options{
      .shape = {.attention = AttentionKind::kPooling, .embed_dim = 16, .attention_dim = 16}};
  options.training.epochs = epochs;
  options.training.patience = epochs;
  options.training.seed = seed;
  options.training.adam.learning_rate = 5e-3f;
  TextModel model = untrained_model(data, options);
  std::ostringstream silence;
  Progress progress(silence, false);
  train_model(model, data, options.training, "test", progress);
  const auto test = featurized(data.test, model.space, model.classes);
  Evaluation evaluation = evaluate(model.classifier, test);
  return {std::move(data), std::move(model), std::move(evaluation)};
}

TEST(Training, FindsTheClassesAndTheKeyWordsOfThePlantedCorpus) {
  const Trained trained = train_on_planted_corpus(1, 12);
  Report report;
  report.add_attention(trained.model, trained.data.test, trained.evaluation);
  const auto test = featurized(trained.data.test, trained.model.space, trained.model.classes);
  EXPECT_GT(accuracy(trained.evaluation, test), 0.9);
  EXPECT_GT(report.key_words.attention(), 4 * report.key_words.words());
}

TEST(Training, RepeatsItselfFromTheSameSeed) {
  const Trained a = train_on_planted_corpus(4, 2), b = train_on_planted_corpus(4, 2);
  EXPECT_EQ(a.evaluation.loss, b.evaluation.loss);
  EXPECT_EQ(a.evaluation.predictions, b.evaluation.predictions);
}

TEST(SavedModel, AnswersAsBeforeItWasSaved) {
  Trained trained = train_on_planted_corpus(2, 1);
  save_model(temporary_path("model"), trained.model);
  const TextModel read = load_model(temporary_path("model"));
  const auto test = featurized(trained.data.test, read.space, read.classes);
  EXPECT_EQ(evaluate(read.classifier, test).loss, trained.evaluation.loss);
}

TEST(SavedModel, RefusesAnotherShapeInOneSentence) {
  const ClassifierShape shape{.attention = AttentionKind::kPooling, .embed_dim = 16};
  EXPECT_EQ(data_error([&] { check_shape("m", shape, {.embed_dim = 32}); }),
            "m:2: the saved model has another shape: its embed_dim is 16, and --embed-dim asks for "
            "32.");
  EXPECT_EQ(
      data_error([&] { check_shape("m", shape, {.attention = AttentionKind::kDot}); }),
      "m:2: the saved model has another shape: its attention is 'pooling', and --attention asks "
      "for 'dot'.");
  EXPECT_EQ(data_error([&] { check_shape("m", shape, {}); }), "no error");
}

TEST(SavedModel, SaysThatADescriptionIsDamaged) {
  const std::string model =
      file("damaged", std::string(kModelKind) + "\n{\"description\": {}, \"tensors\": []}\n");
  EXPECT_TRUE(data_error([&] {
                load_model(model);
              }).starts_with(model + ":2: the description of the saved model is damaged: "));
}

TEST(WordVectors, ReadNumbersAndRefuseWhatIsNone) {
  const WordVectors vectors(file("v.txt", "the 1 -2.5e-1\ncat 3 4\n"));
  EXPECT_EQ(vectors.dimension(), 2);
  EXPECT_FLOAT_EQ(vectors.find("the")[1], -0.25f);
  EXPECT_EQ(vectors.find("dog"), nullptr);
  EXPECT_EQ(data_error([] { WordVectors(file("w.txt", "the 1 2\ncat 3\n")); }),
            temporary_path("w.txt") + ":2: this vector has 1 numbers and the first has 2.");
  EXPECT_EQ(data_error([] { WordVectors(file("x.txt", "the 1 2x\n")); }),
            temporary_path("x.txt") + ":1: '2x' is not a number.");
}

TEST(WordVectors, AreWhereKnownWordsStart) {
  const WordVectors vectors(file("y.txt", "cat 3 4\n"));
  const FeatureSpace space = space_of({"cat dog", "cat dog"});
  const Matrix table = initial_embedding(space, 2, 1, &vectors);
  EXPECT_EQ(table(space.word_row(0), 0), 3.f);
  EXPECT_EQ(table(space.word_row(0), 1), 4.f);
  EXPECT_LT(table.row(space.word_row(1)).norm(), 1);
}

TEST(WordAttention, RanksByTheMeanRelativeToAnEvenShare) {
  WordAttention words;
  const std::vector<float> weights = {0.1f, 0.9f};
  for (int i = 0; i < 4; ++i) words.add("a", tokenize("the cat"), weights);
  words.add("a", tokenize("rare"), std::vector<float>{1.f});
  const auto top = words.top(2).at("a");
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].word, "cat");
  EXPECT_NEAR(top[0].attention, 1.8, 1e-6);
  EXPECT_EQ(top[1].word, "the");  // "rare" occurs too rarely to count
}

TEST(KeyWordShare, IsTheMeanOverTexts) {
  KeyWordShare share;
  share.add({.label = "a", .text = "x y", .key_tokens = {1}}, std::vector<float>{0.25f, 0.75f});
  share.add({.label = "a", .text = "x y", .key_tokens = {0}}, std::vector<float>{0.25f, 0.75f});
  EXPECT_DOUBLE_EQ(share.attention(), 0.5);
  EXPECT_DOUBLE_EQ(share.words(), 0.5);
}

TEST(AttentionPage, ShadesTheTextAsItWasWrittenAndMarksIt) {
  const std::string text = "a <b>";
  const std::vector<ShownText> texts = {
      {text, "yes", "no", 0.75, tokenize(text), {.1f, .1f, .7f, .1f}, {0}}};
  const attn::explain::TokenHeatmap map = heatmap_of(texts[0]);
  EXPECT_EQ(map.tokens, (std::vector<std::string>{"a", "<", "b", ">"}));
  EXPECT_EQ(map.between, (std::vector<std::string>{"", " ", "", "", ""}));
  EXPECT_EQ(map.marked, std::vector<attn::Index>{0});
  EXPECT_EQ(map.title, "predicted no (75.0 %)");
  EXPECT_EQ(map.captions, std::vector<std::string>{"is yes"});
  EXPECT_EQ(map.mark, attn::explain::Mark::wrong);
  const std::string page = attention_page({"additive", 1, 0}, texts);
  EXPECT_NE(page.find("Model additive: 0.00 % of 1 test texts right"), std::string::npos);
  EXPECT_NE(page.find(">a</span> <span"), std::string::npos);  // the space between two words
  EXPECT_NE(page.find("&lt;</span><span"), std::string::npos);
}

TEST(AttentionPage, BeginsWithTheWrongAnswers) {
  const ShownText right{"r", "x", "x", 1, tokenize("r"), {1.f}, {}};
  const ShownText wrong{"w", "x", "y", 1, tokenize("w"), {1.f}, {}};
  const std::string page = attention_page({"m", 2, .5}, std::vector<ShownText>{right, wrong});
  EXPECT_LT(page.find("class=\"card wrong\""), page.find("class=\"card right\""));
}

TEST(Report, AddsUpFoldsAndWritesFractions) {
  Report report;
  Confusion first(2), second(2);
  first.add(0, 0);
  second.add(1, 0);
  report.add({"m", first, 1.5, false});
  report.add({"m", second, 0.5, false});
  const auto json = metrics_json(report);
  ASSERT_EQ(json["models"].size(), 1u);
  EXPECT_EQ(json["models"][0]["accuracy"], 0.5);
  EXPECT_EQ(json["models"][0]["train_seconds"], 2.0);
  EXPECT_FALSE(json.contains("key_word_share"));
}

}  // namespace
}  // namespace examples
