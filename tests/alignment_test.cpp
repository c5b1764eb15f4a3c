// SPDX-License-Identifier: Apache-2.0
// The alignment example: gradients of the whole model, batches, decoding, judging, and dates.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "../examples/alignment/alignment_page.hpp"
#include "../examples/alignment/dates.hpp"
#include "../examples/alignment/decoding.hpp"
#include "../examples/alignment/evaluation.hpp"
#include "../examples/alignment/language.hpp"
#include "../examples/alignment/pair_reader.hpp"
#include "../examples/alignment/report.hpp"
#include "../examples/alignment/saved_model.hpp"
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
    std::vector<Item> items;
    for (const std::size_t length : lengths) items.push_back({Tokens(length, "x"), {}});
    return items;
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

TEST(WrittenDate, HasItsSpellings) {
  const WrittenDate date(1999, 3, 23);
  EXPECT_EQ(date.iso(), "1999-03-23");
  const std::vector<std::string> expected = {"23 March 1999",
                                             "March 23, 1999",
                                             "Mar 23, 1999",
                                             "23rd of March 1999",
                                             "the 23rd of March, 1999",
                                             "Tuesday, March 23rd, 1999",
                                             "Tue 23 Mar 1999",
                                             "3/23/1999",
                                             "23.3.1999",
                                             "23-Mar-99",
                                             "Mar 23 '99",
                                             "1999, March 23",
                                             "Tuesday the 23rd of March 1999",
                                             "the twenty-third of March 1999",
                                             "Tuesday, the twenty-third of March 1999",
                                             "March the twenty-third, nineteen ninety-nine"};
  ASSERT_EQ(expected.size(), WrittenDate::kSpellings);
  for (std::size_t kind = 0; kind < expected.size(); ++kind)
    EXPECT_EQ(date.spelling(kind), expected[kind]);
}

TEST(WrittenDate, KnowsOrdinalsAndYears) {
  const auto spelt = [](int year, unsigned day, std::size_t kind) {
    return WrittenDate(year, 1, day).spelling(kind);
  };
  EXPECT_EQ(spelt(2000, 1, 15), "January the first, two thousand");
  EXPECT_EQ(spelt(2007, 20, 15), "January the twentieth, two thousand and seven");
  EXPECT_EQ(spelt(2040, 12, 15), "January the twelfth, twenty forty");
  EXPECT_EQ(spelt(1950, 31, 15), "January the thirty-first, nineteen fifty");
  EXPECT_EQ(spelt(1950, 11, 3), "11th of January 1950");
  EXPECT_EQ(spelt(1950, 22, 3), "22nd of January 1950");
}

TEST(Dates, AreWhatTheyAreTranslatedTo) {
  const PairData data = date_data({.train = 300, .validation = 2, .test = 3, .seed = 5});
  EXPECT_EQ(data.train.size(), 300u);
  EXPECT_EQ(data.validation.size(), 2u);
  EXPECT_EQ(data.test.size(), 3u);
  std::set<std::size_t> lengths;
  for (const Item& item : data.train) {
    lengths.insert(item.targets.front().size());
    const std::string text = join_tokens(item.targets.front(), Unit::kCharacters);
    const bool interval = join_tokens(item.source, Unit::kCharacters).starts_with("from ");
    EXPECT_EQ(text.find('/') != std::string::npos, interval) << text;
  }
  EXPECT_EQ(lengths, (std::set<std::size_t>{10, 21, 32, 43}));  // one to four dates
}

TEST(PairData, DividesBySourceAlone) {
  std::vector<Item> items;
  for (int i = 0; i < 4000; ++i) items.push_back({{std::to_string(i)}, {{"x"}}});
  const PairData data = divided(items, {});
  EXPECT_NEAR(static_cast<double>(data.test.size()), 400, 60);  // three standard deviations
  EXPECT_NEAR(static_cast<double>(data.validation.size()), 180, 40);
  EXPECT_EQ(data.train.size() + data.validation.size() + data.test.size(), 4000u);
  items.resize(1000);
  for (std::size_t i = 0; i < divided(items, {}).test.size(); ++i)
    EXPECT_EQ(divided(items, {}).test[i].source, data.test[i].source);
}

/// A file that is there as long as the test.
class PairFile : public testing::Test {
 protected:
  std::string write(const std::string& content) {
    path_ = (std::filesystem::path(testing::TempDir()) / "alignment_pairs.txt").string();
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }
  void expect_error(const std::string& content, PairOptions options, const std::string& sentence) {
    options.path = write(content);
    try {
      read_pairs(options);
      FAIL() << "no error, but expected: " << sentence;
    } catch (const DataError& error) {
      EXPECT_EQ(std::string(error.what()), path_ + sentence);
    }
  }
  std::string path_;
};

std::vector<Item> all_items(const PairData& data) {
  std::vector<Item> items = data.train;
  items.insert(items.end(), data.validation.begin(), data.validation.end());
  items.insert(items.end(), data.test.begin(), data.test.end());
  return items;
}

/// So many lines that each part has one.
std::string many_lines(const std::string& between) {
  std::string lines;
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'j'; ++b) lines += std::string{a, b} + between + "\n";
  return lines;
}

TEST_F(PairFile, IsADictionary) {
  const PairData data = read_pairs(
      {.path = write(";;; old comments\nREAD R IY1 D\nread(2) R EH1 D # past\n'em AH0 M\n" +
                     many_lines(" AH0 B")),
       .format = PairFormat::kCmudict});
  const std::vector<Item> items = all_items(data);
  EXPECT_EQ(items.size(), 261u);  // "'em" is not spelt with letters alone
  const auto is_read = [](const Item& item) { return item.source == Tokens{"r", "e", "a", "d"}; };
  const auto read = std::find_if(items.begin(), items.end(), is_read);
  ASSERT_NE(read, items.end());
  EXPECT_EQ(read->targets, (std::vector<Tokens>{{"R", "IY", "D"}, {"R", "EH", "D"}}));
  EXPECT_EQ(data.units.target, Unit::kWords);
}

TEST_F(PairFile, HasTabs) {
  const std::string lines =
      many_lines("\tx\tignored") + "Go now.\tG\xC3\xA5 nu!\tby\nGo now.\tSpring!\n\n";
  const std::vector<Item> words =
      all_items(read_pairs({.path = write(lines), .unit = Unit::kWords}));
  const auto is_go = [](const Item& item) { return item.source == Tokens{"go", "now", "."}; };
  const auto go = std::find_if(words.begin(), words.end(), is_go);
  ASSERT_NE(go, words.end());
  EXPECT_EQ(go->targets, (std::vector<Tokens>{{"g\xC3\xA5", "nu", "!"}, {"spring", "!"}}));
  const std::vector<Item> short_ones =
      all_items(read_pairs({.path = path_, .unit = Unit::kCharacters, .longest = 6}));
  EXPECT_EQ(short_ones.size(), 260u);  // "Go now." has seven characters
}

TEST_F(PairFile, IsDrawnFromBySourcesAlone) {
  write(many_lines("\tx"));
  const std::vector<Item> some = all_items(read_pairs({.path = path_, .limit = 100}));
  EXPECT_EQ(some.size(), 100u);
  const std::vector<Item> more = all_items(read_pairs({.path = path_, .limit = 200}));
  std::set<Tokens> sources;
  for (const Item& item : more) sources.insert(item.source);
  EXPECT_EQ(sources.size(), 200u);
  for (const Item& item : some) EXPECT_TRUE(sources.contains(item.source));
  EXPECT_EQ(all_items(read_pairs({.path = path_, .limit = 0})).size(), 260u);
}

TEST_F(PairFile, SaysWhatIsWrongWithIt) {
  const PairOptions dictionary{.format = PairFormat::kCmudict};
  expect_error("a AH0\nb\n", dictionary,
               ":2: the word 'b' has no phonemes; a line is a word, then its phonemes.");
  expect_error("a\tb\nc d\n", {}, ":2: this line has no tab between a source and its target.");
  expect_error("a\tb\n\tb\n", {}, ":2: the source of this line is empty.");
  expect_error("a\t \tby\n", {}, ":1: the target of this line is empty.");
  expect_error("a\tb\n", {},
               ": the pairs are too few: 1 train, 0 validate and 0 test; each needs one or more.");
}

/// Everything of a run, with a model that has learnt nothing.
struct TinyRun {
  PairData data = date_data({.train = 20, .validation = 2, .test = 30, .most_dates = 2});
  TranslatorModel model{language_of(data), Translator<float>(shape(), 1)};

  TranslatorShape shape() const {
    const Language language = language_of(data);
    return {.source_tokens = language.source.size(),
            .target_tokens = language.target.size(),
            .embed_dim = 3,
            .hidden = 4};
  }
  Evaluation evaluation(Index threads = 1) const {
    return evaluate(model.translator, model.language, data.test, threads);
  }
  Report report() const {
    Report report{data.units, data.test, {}};
    report.models.push_back({"attention", evaluation(), {}, 7});
    report.models.push_back({"fixed context", evaluation(2), {}, 5});
    JudgedTranslation& one = report.models[0].evaluation.translations[0];
    one.tokens = data.test[0].targets[0];
    one.weights = Matrix::Constant(static_cast<Index>(one.tokens.size()),
                                   static_cast<Index>(one.source_length), 0.125f);
    one.edits = 0;
    return report;
  }
};

TEST(SavedTranslator, TranslatesAsBefore) {
  TinyRun run;
  const std::string path =
      (std::filesystem::path(testing::TempDir()) / "translator.model").string();
  save_model(path, run.model);
  const TranslatorModel loaded = load_model(path);
  EXPECT_EQ(loaded.language.source.tokens(), run.model.language.source.tokens());
  const Evaluation before = run.evaluation();
  const Evaluation after = evaluate(loaded.translator, loaded.language, run.data.test, 1);
  for (std::size_t i = 0; i < run.data.test.size(); ++i)
    EXPECT_EQ(after.translations[i].tokens, before.translations[i].tokens);
}

TEST(SavedTranslator, IsRefusedWhenDamaged) {
  const std::string path = (std::filesystem::path(testing::TempDir()) / "damaged.model").string();
  const auto expect_damaged = [&](const std::string& description, const std::string& what) {
    std::ofstream(path, std::ios::binary)
        << kModelKind << "\n{\"description\": {" << description << "}, \"tensors\": []}\n";
    try {
      load_model(path);
      FAIL() << "no error, but expected: " << what;
    } catch (const DataError& error) {
      EXPECT_EQ(std::string(error.what()),
                path + ":2: the description of the saved model is damaged: " + what + ".");
    }
  };
  const std::string units = R"("source_unit": "words", "target_unit": "characters", )";
  const std::string tokens = R"("source_tokens": ["a", "b"], "target_tokens": ["a", "b"], )";
  expect_damaged(R"("source_unit": "bytes")", "its source_unit is 'bytes'");
  expect_damaged(units + R"("source_tokens": ["a", "a"])",
                 "its source_tokens are too few or not all different");
  expect_damaged(units + tokens + R"("embed_dim": 4, "hidden": 0)", "its hidden is 0");
  expect_damaged(units + tokens + R"("embed_dim": 4, "hidden": 3)", "its hidden is odd");
}

TEST(AlignmentReport, HasTablesJsonAndChart) {
  const Report report = TinyRun().report();
  std::ostringstream out;
  print_results(out, report);
  print_by_length(out, report);
  for (const char* part :
       {"exact match %", "fixed context", "3.33", "source tokens", "attention %"})
    EXPECT_NE(out.str().find(part), std::string::npos) << part << "\n" << out.str();
  const nlohmann::json json = metrics_json(report);
  EXPECT_EQ(json["test_items"], 30);
  EXPECT_EQ(json["models"][0]["name"], "attention");
  EXPECT_NEAR(json["models"][0]["exact_match"].get<double>(), 1.0 / 30, 1e-12);
  std::size_t items = 0;
  for (const auto& range : json["models"][1]["by_length"])
    items += range["items"].get<std::size_t>();
  EXPECT_EQ(items, 30u);
  const std::string svg = line_chart_file(length_chart(report));
  EXPECT_NE(svg.find(">source length, characters<"), std::string::npos);
  EXPECT_NE(svg.find("<title>attention, length "), std::string::npos) << svg;
}

TEST(AlignmentPage, ShowsRightAndWrongOnes) {
  const Report report = TinyRun().report();
  const std::vector<std::size_t> shown = shown_items(report.models[0].evaluation, 3);
  ASSERT_EQ(shown.size(), 4u);  // one is right
  EXPECT_EQ(shown[0], 0u);
  const std::string page = alignment_page(report);
  const std::string source = join_tokens(report.items[0].source, Unit::kCharacters);
  for (const std::string& part : {std::string("1 of 30 test items (3.3 %)"), source,
                                  std::string("data-weight=\"0.125"), std::string("right: ")})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

}  // namespace
}  // namespace examples
