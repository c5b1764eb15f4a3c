// SPDX-License-Identifier: Apache-2.0
// Text support of the examples: UTF-8, files, delimited rows, tokens, vocabularies, HTML, tables.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../examples/support/console_table.hpp"
#include "../examples/support/data_error.hpp"
#include "../examples/support/delimited.hpp"
#include "../examples/support/progress.hpp"
#include "../examples/support/text_file.hpp"
#include "../examples/support/tokenizer.hpp"
#include "../examples/support/utf8.hpp"
#include "../examples/support/vocabulary.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

std::string temporary_file(const std::string& name, const std::string& content) {
  const std::string path = support::temporary_path(name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string data_error(const auto& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Utf8, DecodesWhatItEncodes) {
  for (const char32_t c : {U'a', U'\u00E9', U'\u20AC', U'\U0001F600', U'\U0010FFFF'}) {
    std::string text;
    append_utf8(text, c);
    const auto point = decode_utf8(text);
    ASSERT_TRUE(point);
    EXPECT_EQ(point->value, c);
    EXPECT_EQ(point->size, text.size());
  }
}

TEST(Utf8, RefusesWhatIsNoUtf8) {
  for (const char* bad : {"\x80", "\xC0\xAF", "\xE2\x82", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xFF", "\xE0\x80\x80", "\xC3("}) {
    EXPECT_FALSE(decode_utf8(bad)) << bad;
  }
  EXPECT_EQ(first_invalid_utf8("ab\xC3\xA9\x85"), 4u);
  EXPECT_FALSE(first_invalid_utf8("caf\xC3\xA9"));
}

TEST(Utf8, ReadsWindows1252) {
  EXPECT_EQ(windows_1252_to_utf8("caf\xE9 \x85 \x96"), "caf\u00E9 \u2026 \u2013");
}

TEST(Utf8, LowersLettersOfManyAlphabets) {
  EXPECT_EQ(to_lower(U'Z'), U'z');
  EXPECT_EQ(to_lower(U'\u00C9'), U'\u00E9');
  EXPECT_EQ(to_lower(U'\u00D7'), U'\u00D7');  // a sign among the letters
  EXPECT_EQ(to_lower(U'\u0160'), U'\u0161');
  EXPECT_EQ(to_lower(U'\u017D'), U'\u017E');
  EXPECT_EQ(to_lower(U'\u0416'), U'\u0436');
  EXPECT_EQ(to_lower(U'\u03A9'), U'\u03C9');
  EXPECT_EQ(to_lower(U'\u0178'), U'\u00FF');
}

TEST(TextFile, SplitsAtLineFeedsOnly) {
  const auto lines = split_lines("one\r\ntwo \u0085 still two\n\nfour");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].text, "one");
  EXPECT_EQ(lines[1].text, "two \u0085 still two");
  EXPECT_EQ(lines[2].text, "");
  EXPECT_EQ(lines[3].number, 4u);
}

TEST(TextFile, NamesFileLineAndByteOfInvalidUtf8) {
  const std::string path = temporary_file("invalid", "fine\nnot \xE9 fine\n");
  EXPECT_EQ(data_error([&] { read_text(path); }),
            path +
                ":2: byte 5 of this line (0xE9) is not valid UTF-8; --encoding windows-1252 reads "
                "such files.");
  EXPECT_EQ(read_text(path, Encoding::kWindows1252), "fine\nnot \u00E9 fine\n");
}

TEST(TextFile, DropsTheByteOrderMark) {
  EXPECT_EQ(read_text(temporary_file("mark", "\xEF\xBB\xBFtext")), "text");
}

TEST(TextFile, SaysThatAFileIsMissing) {
  EXPECT_EQ(data_error([] { read_text("/nowhere/at.all"); }),
            "/nowhere/at.all: there is no such file.");
}

TEST(Delimited, ReadsQuotedFieldsWithSeparatorsQuotesAndLineEnds) {
  const auto result = read_delimited("a,\"b,c\",\"d \"\"e\"\"\"\r\n\"two\nlines\",f\n", ',');
  ASSERT_FALSE(result.error);
  ASSERT_EQ(result.rows.size(), 2u);
  EXPECT_EQ(result.rows[0].fields, (std::vector<std::string>{"a", "b,c", "d \"e\""}));
  EXPECT_EQ(result.rows[1].fields, (std::vector<std::string>{"two\nlines", "f"}));
}

TEST(Delimited, CountsLinesThroughQuotedFields) {
  const auto result = read_delimited("\"1\n2\",x\n\nafter,y", ',');
  ASSERT_EQ(result.rows.size(), 2u);
  EXPECT_EQ(result.rows[1].line, 4u);
}

TEST(Delimited, KeepsEmptyFields) {
  const auto result = read_delimited("a,,\n,b,c", ',');
  EXPECT_EQ(result.rows[0].fields, (std::vector<std::string>{"a", "", ""}));
  EXPECT_EQ(result.rows[1].fields, (std::vector<std::string>{"", "b", "c"}));
}

TEST(Delimited, SaysWhereTheRulesAreBroken) {
  const auto inside = read_delimited("ok,ok\na,b \"c\"\n", ',');
  ASSERT_TRUE(inside.error);
  EXPECT_EQ(inside.error->line, 2u);
  const auto after = read_delimited("a,\"b\" c\n", ',');
  ASSERT_TRUE(after.error);
  EXPECT_EQ(after.error->sentence, "text follows the closing quote of a field.");
  const auto open = read_delimited("a,b\nc,\"d\ne\n", ',');
  ASSERT_TRUE(open.error);
  EXPECT_EQ(open.error->line, 2u);
}

std::vector<std::string> words(const std::string& text, TokenizerOptions options = {}) {
  std::vector<std::string> result;
  for (const Token& token : tokenize(text, options)) result.push_back(token.word);
  return result;
}

TEST(Tokenizer, DividesWordsAndMarks) {
  EXPECT_EQ(words("Don't stop, CAF\u00C9!"),
            (std::vector<std::string>{"don't", "stop", ",", "caf\u00E9", "!"}));
  EXPECT_EQ(words("it\u2019s 'quoted'"), (std::vector<std::string>{"it's", "'", "quoted", "'"}));
  EXPECT_TRUE(words(" \t\n\u0085 ").empty());
}

TEST(Tokenizer, PutsIdeographsApart) {
  EXPECT_EQ(words("\u6211\u559C"), (std::vector<std::string>{"\u6211", "\u559C"}));
}

TEST(Tokenizer, MapsDigitsToShapesOnlyWhenAsked) {
  EXPECT_EQ(words("call 08712 now", {.digits_as_shapes = true}),
            (std::vector<std::string>{"call", "00000", "now"}));
  EXPECT_EQ(words("call 08712"), (std::vector<std::string>{"call", "08712"}));
}

TEST(Tokenizer, KnowsWhereATokenStands) {
  const std::string text = "\u00C9t\u00E9 ok.";
  const auto tokens = tokenize(text);
  ASSERT_EQ(tokens.size(), 3u);
  EXPECT_EQ(text.substr(tokens[0].begin, tokens[0].end - tokens[0].begin), "\u00C9t\u00E9");
  EXPECT_EQ(text.substr(tokens[1].begin, tokens[1].end - tokens[1].begin), "ok");
}

TEST(Vocabulary, NumbersWordsInTheOrderOfTheirAppearance) {
  Vocabulary vocabulary;
  EXPECT_EQ(vocabulary.add("a"), 0);
  EXPECT_EQ(vocabulary.add("b"), 1);
  EXPECT_EQ(vocabulary.add("a"), 0);
  EXPECT_EQ(vocabulary.size(), 2);
  EXPECT_EQ(vocabulary.find("b"), 1);
  EXPECT_FALSE(vocabulary.find("c"));
}

TEST(Vocabulary, KeepsWhatWasSeenOftenEnough) {
  VocabularyBuilder builder;
  for (const char* word : {"x", "y", "x", "z", "z", "z"}) builder.count(word);
  EXPECT_EQ(builder.at_least(2).words(), (std::vector<std::string>{"x", "z"}));
}

TEST(ConsoleTable, AlignsByCharactersAndNotByBytes) {
  std::ostringstream out;
  ConsoleTable table({"n", "value"});
  table.add({"\u00E9\u00E9\u00E9", "1"});
  table.print(out);
  EXPECT_EQ(out.str(), "  n    value\n  ---  -----\n  \u00E9\u00E9\u00E9      1\n");
}

TEST(Progress, WritesOneLineAnEpochWhereNothingCanBeRedrawn) {
  std::ostringstream out;
  Progress progress(out, false);
  progress.begin("epoch 1", 4);
  progress.advance(1, 4.f);
  progress.advance(3, 2.f);
  progress.finish("accuracy 50 %");
  const std::string line = out.str();
  EXPECT_TRUE(line.starts_with("epoch 1  loss 2.5000  ")) << line;  // weighted by examples
  EXPECT_TRUE(line.ends_with(" examples/s  accuracy 50 %\n")) << line;
  EXPECT_EQ(line.find('\r'), std::string::npos);
}

TEST(Progress, DrawsAFullBarAtTheEndOnATerminal) {
  std::ostringstream out;
  Progress progress(out, true);
  progress.begin("epoch 1", 2);
  progress.advance(2, 1.f);
  progress.finish("");
  EXPECT_NE(out.str().find("[========================]"), std::string::npos) << out.str();
}

}  // namespace
}  // namespace examples
