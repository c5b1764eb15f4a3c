// SPDX-License-Identifier: Apache-2.0
// The alignment example: dates, files of pairs, saved models, reports and the page.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/alignment/alignment_page.hpp"
#include "../examples/alignment/dates.hpp"
#include "../examples/alignment/evaluation.hpp"
#include "../examples/alignment/language.hpp"
#include "../examples/alignment/pair_reader.hpp"
#include "../examples/alignment/report.hpp"
#include "../examples/alignment/saved_model.hpp"
#include "support/errors.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

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
  const PairData data = date_data({.lines = 300, .seed = 5});
  EXPECT_EQ(data.train.size(), 300u);
  EXPECT_EQ(data.validation.size(), 13u);
  EXPECT_EQ(data.test.size(), 51u);
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
    path_ = support::temporary_path("pairs.txt");
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }
  void expect_error(const std::string& content, PairOptions options, const std::string& sentence) {
    options.path = write(content);
    support::expect_error<DataError>(path_ + sentence, [&] { read_pairs(options); });
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
  const PairData short_ones = read_pairs({.path = path_, .unit = Unit::kCharacters, .longest = 6});
  EXPECT_EQ(all_items(short_ones).size(), 260u);
  EXPECT_EQ(short_ones.too_long, 1u);  // "Go now." has seven characters
}

TEST_F(PairFile, MayBePacked) {
  // printf "a\\tb\\nc\\td\\n" | gzip -9n
  constexpr unsigned char packed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03,
                                      0x4b, 0xe4, 0x4c, 0xe2, 0x4a, 0xe6, 0x4c, 0xe1, 0x02, 0x00,
                                      0xb0, 0xa8, 0x71, 0x24, 0x08, 0x00, 0x00, 0x00};
  write(std::string(reinterpret_cast<const char*>(packed), sizeof packed));
  const std::vector<Line> lines = detail::pair_lines(path_, Encoding::kUtf8);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].text, "c\td");
  EXPECT_EQ(detail::pair_lines(path_, Encoding::kUtf8, 8).size(), 2u);
  support::expect_error<DataError>(path_ + ": there are more than 7 bytes in it.",
                                   [&] { detail::pair_lines(path_, Encoding::kUtf8, 7); });
}

TEST(CmuDict, IsReadAndDivided) {
  const std::string data = ATTN_DATA_DIR;
  if (data.empty()) GTEST_SKIP() << "ATTN_DATA_DIR names no folder of data sets.";
  const PairData pairs = read_pairs(
      {.path = data + "/cmudict/cmudict.dict.gz", .format = PairFormat::kCmudict, .limit = 20000});
  EXPECT_EQ(all_items(pairs).size(), 20000u);
  EXPECT_EQ(pairs.test.size(), 1978u);
  EXPECT_EQ(language_of(pairs).source.size(), 28);  // 26 letters
  EXPECT_EQ(language_of(pairs).target.size(), 41);  // 39 phonemes
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
  expect_error(std::string(100, '\x1B'), dictionary,
               ":1: the word '" + std::string(60, '?') +
                   "...' has no phonemes; a line is a word, then its phonemes.");
  expect_error("a\tb\nc d\n", {}, ":2: this line has no tab between a source and its target.");
  expect_error("a\tb\n\tb\n", {}, ":2: the source of this line is empty.");
  expect_error("a\t \tby\n", {}, ":1: the target of this line is empty.");
  expect_error("a\tb\n", {},
               ": the pairs are too few: 1 train, 0 validate and 0 test; each needs one or more.");
}

/// Everything of a run, with a model that has learnt nothing.
struct TinyRun {
  PairData data = date_data({.lines = 174, .most_dates = 2});
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
  const std::string path = support::temporary_path("translator.model");
  save_model(path, run.model);
  const TranslatorModel loaded = load_model(path);
  EXPECT_EQ(loaded.language.source.tokens(), run.model.language.source.tokens());
  const Evaluation before = run.evaluation();
  const Evaluation after = evaluate(loaded.translator, loaded.language, run.data.test, 1);
  for (std::size_t i = 0; i < run.data.test.size(); ++i)
    EXPECT_EQ(after.translations[i].tokens, before.translations[i].tokens);
}

TEST(SavedTranslator, IsRefusedWhenDamaged) {
  const std::string path = support::temporary_path("damaged.model");
  const auto expect_damaged = [&](const std::string& description, const std::string& what) {
    std::ofstream(path, std::ios::binary)
        << kModelKind << "\n{\"description\": {" << description << "}, \"tensors\": []}\n";
    support::expect_error<DataError>(
        path + ":2: the description of the saved model is damaged: " + what + ".",
        [&] { load_model(path); });
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
}

TEST(LengthChart, LeavesOutRangesOfFewItems) {
  Report report;
  ModelResult model{"attention", {}, {}, 0};
  for (std::size_t i = 0; i < 24; ++i) {
    const std::size_t length = i < 16 ? 10 : 30;
    report.items.push_back({Tokens(length, "x"), {}});
    model.evaluation.translations.push_back({{}, {}, length, 4, i % 2});
  }
  report.models = {model, model};
  const LineChart chart = length_chart(report);
  EXPECT_EQ(chart.x_label, "source length, characters");
  ASSERT_EQ(chart.curves.size(), 2u);
  ASSERT_EQ(chart.curves[0].points.size(), 1u);  // of 30 there are 8
  EXPECT_EQ(chart.curves[0].points[0].x, 8);
  EXPECT_EQ(chart.curves[0].points[0].y, 50);
  EXPECT_EQ(chart.curves[0].points[0].note, "attention, length 6 to 10: 50.0 % of 16");
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
