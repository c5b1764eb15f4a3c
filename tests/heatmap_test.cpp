// SPDX-License-Identifier: Apache-2.0
// The pages of weights: escaping, cells and shades of every kind of map, refusals.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <attn/engine/png.hpp>
#include <clocale>
#include <cmath>
#include <cstddef>
#include <limits>
#include <locale>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/errors.hpp"

namespace attn::explain {
namespace {

using support::expect_error;
using Texts = std::vector<std::string>;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
    ++found;
  return found;
}

void expect_has(const std::string& page, const std::string& part) {
  EXPECT_EQ(count(page, part), 1u) << part;
}

template <class Error>
void expect_refusal(const std::string& sentence, Heatmap map) {
  expect_error<Error>("attn::explain::heatmap_html: map 1: " + sentence,
                      [&] { heatmap_html(std::move(map)); });
}

TEST(EscapeHtml, ReplacesWhatMeansSomething) {
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_html("a\tb\nc"), "a\tb\nc");
  EXPECT_EQ(escape_html(std::string_view("\0\x1B\x7F", 3)), "&#65533;&#65533;&#65533;");
}

TEST(EscapeHtml, KeepsUtf8AndMarksEveryByteThatIsNot) {
  const std::string valid = "\u00E9\u20AC\U0001F600\uD7FF\uE000\U0010FFFF";
  EXPECT_EQ(escape_html(valid), valid);
  const std::string mark = "&#65533;";
  EXPECT_EQ(escape_html("a\xFF\"b"), "a" + mark + "&quot;b");
  EXPECT_EQ(escape_html("\xE2\x82"), mark + mark);                     // truncated
  EXPECT_EQ(escape_html("\xC3<"), mark + "&lt;");                      // swallows nothing
  EXPECT_EQ(escape_html("\xC0\x80"), mark + mark);                     // overlong, two bytes
  EXPECT_EQ(escape_html("\xE0\x9F\x80"), mark + mark + mark);          // overlong, three
  EXPECT_EQ(escape_html("\xF0\x8F\x80\x80").size(), 4 * mark.size());  // overlong, four
  EXPECT_EQ(escape_html("\xED\xA0\x80"), mark + mark + mark);          // a surrogate
  EXPECT_EQ(escape_html("\xF4\x90\x80\x80").size(), 4 * mark.size());  // above U+10FFFF
}

TEST(HtmlPage, EscapesItsTitleAndInsertsTheRest) {
  const std::string page = html_page("a<b", "p{}", "<p>body</p>");
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  expect_has(page, "<title>a&lt;b</title>");
  expect_has(page, "p{}</style>");
  expect_has(page, "<body>\n<p>body</p></body>");
}

TEST(Weights, AreTakenFromMatricesOfAnyKindAndFromRanges) {
  const Eigen::Matrix<float, 2, 3> P{{1, 2, 3}, {4, 5, 6}};
  const Weights columns = P, rows = Eigen::Matrix<double, 2, 3, Eigen::RowMajor>(P.cast<double>());
  const Weights half = P.cast<Eigen::half>(), block = P.rightCols(1);
  EXPECT_EQ(columns.rows(), 2);
  EXPECT_EQ(columns.cols(), 3);
  for (Index k = 0; k < 6; ++k) {
    EXPECT_EQ(columns[k], static_cast<double>(k + 1));
    EXPECT_EQ(rows[k], columns[k]);
    EXPECT_EQ(half[k], columns[k]);
  }
  EXPECT_EQ(block(1, 0), 6);
  const Weights range = std::vector<float>{1, 2}, list = {1, 2};
  EXPECT_EQ(range.cols(), 2);
  EXPECT_EQ(range[1], list[1]);
}

TEST(HeatmapPage, NeedsNothingButItself) {
  HeatmapPage page{.title = "a & b", .intro = {"<i>", "two"}};
  page.maps.emplace_back(TokenHeatmap{.tokens = {"x"}, .weights = {1}});
  page.maps.emplace_back(
      RegionHeatmap{.image = {.rows = 1, .cols = 1, .bytes = {7}}, .weights = {1}});
  const std::string html = heatmap_html(page);
  expect_has(html, "<h1>a &amp; b</h1>");
  expect_has(html, "&lt;i&gt;");
  EXPECT_EQ(count(html, "http"), 0u);
  EXPECT_EQ(count(html, "@import"), 0u);
  EXPECT_EQ(count(html, "url(") + count(html, "src="), count(html, "data:image/png;base64,"));
}

/// Streams that write 1.234,5, as in German.
struct Commas : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(HeatmapPage, WritesNumbersWithAPointInEveryLocale) {
  const std::locale before = std::locale::global({std::locale::classic(), new Commas});
  std::setlocale(LC_NUMERIC, "de_DE.UTF-8");  // C's functions as well, where the machine knows it
  const std::string html = heatmap_html({"x", "y"}, {1, 0.5});
  std::setlocale(LC_NUMERIC, "C");
  std::locale::global(before);
  expect_has(html, "data-weight=\"0.5\" style=\"--a:0.5\"");
}

TEST(HeatmapPage, OffersAFilterAndALegendOfWhatOccurs) {
  TokenHeatmap map{.tokens = {"x"}, .weights = {1}};
  const std::string plain = heatmap_html(map);
  for (const char* absent : {"id=\"all\"", "class=\"key\"", "swatch truth\"", "swatch odd\""})
    EXPECT_EQ(count(plain, absent), 0u) << absent;
  map.mark = Mark::wrong;
  map.marked = {0};
  map.weights = {kNaN};
  const std::string full = heatmap_html(HeatmapPage{.maps = {map}, .marked = "planted <word>"});
  for (const char* once : {"id=\"all\"", "planted &lt;word&gt;", "swatch odd\"",
                           "class=\"card wrong\"", "class=\"cell odd key\""})
    expect_has(full, once);
}

TEST(TokenHeatmap, ShadesByTheLargestAndNamesEveryNumber) {
  const std::string page = heatmap_html({"a", "<b>"}, std::vector<float>{0.25f, 0.75f});
  EXPECT_EQ(count(page, "class=\"cell"), 2u);
  expect_has(page,
             "data-weight=\"0.25\" style=\"--a:0.333\" title=\"0.2500\n&quot;a&quot;, index 0 "
             "of 2\n0.5 times an even share\">a</span> <span");
  expect_has(page,
             "data-weight=\"0.75\" style=\"--a:1\" title=\"0.7500\n&quot;&lt;b&gt;&quot;, index "
             "1 of 2\n1.5 times an even share\">&lt;b&gt;</span>");
  expect_has(page, "full shade = 0.7500");
}

TEST(TokenHeatmap, KeepsTheTextBetweenTokensAndItsCard) {
  const std::string page = heatmap_html(TokenHeatmap{.tokens = {"a", "b"},
                                                     .weights = {1, 1},
                                                     .between = {"\"", "-", "."},
                                                     .marked = {1},
                                                     .title = "t&",
                                                     .captions = {"one", "<two>"},
                                                     .mark = Mark::right});
  expect_has(page, ">&quot;<span class=\"cell\"");
  expect_has(page, ">a</span>-<span class=\"cell key\"");
  expect_has(page, ">b</span>.</p>");
  expect_has(page, "<h2>t&amp;</h2>");
  expect_has(page, "&lt;two&gt;");
  expect_has(page, "class=\"card right\"");
}

TEST(TokenHeatmap, ShowsEmptyAndBlankTokens) {
  const std::string page = heatmap_html({"", " ", "\n"}, {1, 1, 1});
  expect_has(page, ">\u2205</span>");
  expect_has(page, ">\u2423</span>");
  expect_has(page, ">\u23CE</span>");
}

TEST(TokenHeatmap, HatchesWhatIsNoNumberAndShadesTheRest) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::string page = heatmap_html({"a", "b", "c", "d"}, {kNaN, inf, 0.5, 1e-5});
  EXPECT_EQ(count(page, "class=\"cell odd\""), 2u);
  expect_has(page, "title=\"NaN\n");
  expect_has(page, "title=\"inf\n");
  expect_has(page, "style=\"--a:1\" title=\"0.5000\n");
  expect_has(page, "title=\"1.00e-05\n");
  EXPECT_EQ(count(page, "times an even share"), 0u);  // of a sum that is none
}

TEST(TokenHeatmap, AllZeroHasNoShade) {
  const std::string page = heatmap_html({"a", "b"}, {0, 0});
  EXPECT_EQ(count(page, "--a:0\" title=\"0.0000\n"), 2u);
  EXPECT_EQ(count(heatmap_html(Texts{}, Weights{}), "class=\"cell"), 0u);
}

TEST(TokenHeatmap, RefusesCountsThatDoNotFit) {
  expect_refusal<ShapeError>("weights has 1 numbers and tokens has 2; each token needs one weight.",
                             TokenHeatmap{.tokens = {"a", "b"}, .weights = {1}});
  expect_refusal<ShapeError>(
      "between has 2 pieces and tokens has 2; one piece stands before each token and one behind "
      "the last, or between is empty.",
      TokenHeatmap{.tokens = {"a", "b"}, .weights = {1, 1}, .between = {"", ""}});
  for (const Index token : {-1, 1}) {
    expect_refusal<ValueError>(
        "marked names token " + std::to_string(token) + " of 1; tokens are counted from 0.",
        TokenHeatmap{.tokens = {"a"}, .weights = {1}, .marked = {token}});
  }
  expect_error<ValueError>(
      "attn::explain::heatmap_html: map 2 (\"second\"): weight 1 is -0.5; a shade shows a weight "
      "from 0 up. Show signed scores by their absolute values, or as two maps.",
      [] {
        const TokenHeatmap good{.tokens = {"a"}, .weights = {1}};
        const TokenHeatmap bad{.tokens = {"a", "b"}, .weights = {1, -0.5}, .title = "second"};
        heatmap_html(HeatmapPage{.maps = {good, bad}});
      });
}

TEST(AlignmentHeatmap, HasACellAPairAndAPanelAHead) {
  const Eigen::MatrixXf P{{.75f, .25f}, {0, .5f}, {1, 0}, {.5f, .5f}};  // two heads, two queries
  const std::string page = heatmap_html({"q0", "q1"}, {"k0", "a long key"}, P);
  EXPECT_EQ(count(page, "class=\"cell\""), 8u);
  EXPECT_EQ(count(page, "<table "), 2u);
  EXPECT_EQ(count(page, ">q1</th>"), 2u);
  EXPECT_EQ(count(page, "class=\"map alignment upright\""), 2u);
  expect_has(page, "head 1 <span class=\"full\">full shade = 1.0000");
  expect_has(page,
             "style=\"--a:0.333\" title=\"0.2500\nquery &quot;q0&quot; (0)\nkey &quot;a long "
             "key&quot; (1)\n0.5 times an even share\"></td>");
}

TEST(AlignmentHeatmap, ShadesByRowWhereAsked) {
  const Eigen::Matrix2d P{{1, 0}, {.1, .2}};
  AlignmentHeatmap map{.weights = P, .query_name = "to", .key_name = "from"};
  expect_has(heatmap_html(map), "style=\"--a:0.2\" title=\"0.2000\nto 1\nfrom 1\n1.3 times");
  map.by_row = true;
  const std::string by_row = heatmap_html(map);
  expect_has(by_row, "style=\"--a:1\" title=\"0.2000\n");
  expect_has(by_row, "full shade = the largest of each row");
  expect_has(by_row, "rows: to, columns: from");
}

TEST(AlignmentHeatmap, LeavesLabelsToTheTooltipsWhereCellsAreSmallerThanLetters) {
  const auto page = [](Index n) {
    return heatmap_html(AlignmentHeatmap{.weights = Eigen::MatrixXd::Identity(n, n)});
  };
  EXPECT_EQ(count(page(60), "<th scope"), 120u);
  const std::string large = page(200);
  EXPECT_EQ(count(large, "<th scope"), 0u);
  EXPECT_EQ(count(large, "class=\"cell\""), 40000u);
  EXPECT_LT(large.size(), 6'000'000u);
}

TEST(AlignmentHeatmap, MayBeEmpty) {
  EXPECT_EQ(count(heatmap_html(Texts{}, Texts{}, Eigen::MatrixXd(0, 0)), "class=\"cell"), 0u);
  EXPECT_EQ(count(heatmap_html({"q"}, Texts{}, Eigen::MatrixXd(1, 0)), "class=\"cell"), 0u);
}

TEST(AlignmentHeatmap, RefusesLabelsAndHeadsThatDoNotFit) {
  const Eigen::MatrixXd P = Eigen::MatrixXd::Ones(4, 3);
  expect_refusal<ShapeError>(
      "queries has 3 labels and weights has 4 rows; each needs one, or queries is empty.",
      AlignmentHeatmap{.queries = {"a", "b", "c"}, .weights = P});
  expect_refusal<ShapeError>(
      "queries has 4 labels and weights has 2 rows a head; each needs one, or queries is empty.",
      AlignmentHeatmap{.queries = {"a", "b", "c", "d"}, .weights = P, .heads = 2});
  expect_refusal<ShapeError>(
      "keys has 1 labels and weights has 3 columns; each needs one, or keys is empty.",
      AlignmentHeatmap{.keys = {"a"}, .weights = P});
  expect_refusal<ShapeError>(
      "weights has 4 rows and heads is 3; the heads stand below one another, so their number "
      "divides that of the rows.",
      AlignmentHeatmap{.weights = P, .heads = 3});
  expect_refusal<ValueError>("heads is 0; it is 1 or more.",
                             AlignmentHeatmap{.weights = P, .heads = 0});
}

const Image kImage{.rows = 4, .cols = 6, .bytes = std::vector<unsigned char>(24, 100)};

TEST(RegionHeatmap, LaysAMatrixOverTheImageAsAnEvenGrid) {
  const std::string page = heatmap_html(kImage, Eigen::Matrix2d{{1, 2}, {0, 5}});
  EXPECT_EQ(count(page, "class=\"cell\""), 4u);
  expect_has(page,
             "--a:0.4;left:50%;top:0%;width:50%;height:50%;z-index:3\" title=\"2.0000\n"
             "region, index 1 of 4: rows 0 to 1, columns 3 to 5\n1 times an even share\"");
  expect_has(page, "<i class=\"box strongest\" style=\"left:50%;top:50%;width:50%;height:50%\">");
  EXPECT_EQ(count(page, "data:image/png;base64,"), 2u);
}

TEST(RegionHeatmap, StacksBoxesByWeightAndDrawsTheTruth) {
  const std::string page =
      heatmap_html(RegionHeatmap{.image = kImage,
                                 .weights = {.3, .1, .2},
                                 .regions = {{0, 0, 4, 3}, {0, 0, 2, 2}, {1, 1, 3, 5}},
                                 .truth = Box{2, 3, 2, 3}});
  expect_has(page, "height:100%;z-index:3\" title=\"0.3000\n");
  expect_has(page, "z-index:1\" title=\"0.1000\n");
  expect_has(page, "z-index:2\" title=\"0.2000\n");
  EXPECT_EQ(count(page, "<i class=\"box truth\" style=\"left:50%;top:50%;width:50%;height:50%\">"),
            2u);
  expect_has(page, "swatch truth");
}

TEST(RegionHeatmap, HeatIsTheMeanWhereRegionsOverlap) {
  const std::vector<Box> boxes = {{0, 0, 4, 4}, {0, 2, 4, 4}};
  const auto uri = [&](const Weights& weights) {
    return engine::heatmap::HeatImage(kImage, boxes, weights).uri();
  };
  // Columns 0, 1: 1; 2, 3: the mean 1/2; 4, 5: 0. As levels of 63.
  std::string pixels, palette, opacity;
  for (int row = 0; row < 4; ++row) pixels += std::string("\x3F\x3F\x20\x20\0\0", 6);
  for (int level = 0; level < 64; ++level) {
    palette += engine::heatmap::kHeatColor;
    opacity += static_cast<char>(static_cast<int>(198.9 * level / 63));
  }
  EXPECT_EQ(uri({1, 0}), engine::png_uri(engine::png_file(4, 6, engine::PngColor::palette, pixels,
                                                          palette, opacity)));
  EXPECT_EQ(uri({1, kNaN}), uri({1, 0}));
  using Limits = std::numeric_limits<double>;
  EXPECT_EQ(uri({Limits::denorm_min(), 0}), uri({1, 0}));
  EXPECT_EQ(uri({Limits::max(), Limits::max()}), uri({1, 1}));
}

TEST(RegionHeatmap, TakesColoursAndLargeImages) {
  const Image colour{.rows = 1, .cols = 2, .channels = 3, .bytes = {1, 2, 3, 4, 5, 6}};
  const std::string png = engine::png_file(1, 2, engine::PngColor::rgb, "\1\2\3\4\5\6");
  expect_has(heatmap_html(colour, {1}), engine::png_uri(png));
  const Image large{.rows = 3, .cols = 1000, .bytes = std::vector<unsigned char>(3000, 9)};
  EXPECT_EQ(count(heatmap_html(large, Eigen::MatrixXd::Ones(3, 40)), "class=\"cell\""), 120u);
}

TEST(RegionHeatmap, TakesGreyImagesFromNumbers) {
  const Image image = Image::grey(Eigen::Matrix<float, 2, 3>{{0, .5f, 1}, {-1, 2, NAN}});
  EXPECT_EQ(image.rows, 2);
  EXPECT_EQ(image.cols, 3);
  EXPECT_EQ(image.bytes, (std::vector<unsigned char>{0, 128, 255, 0, 255, 0}));
}

TEST(RegionHeatmap, RefusesImagesAndBoxesThatDoNotFit) {
  expect_refusal<ShapeError>(
      "the image has 24 bytes; 4 x 5 pixels with channels = 1 are 20.",
      RegionHeatmap{.image = {.rows = 4, .cols = 5, .bytes = kImage.bytes}, .weights = {1}});
  expect_refusal<ValueError>(
      "the image has 2 channels; 1 (grey) and 3 (red, green, blue) can be shown.",
      RegionHeatmap{.image = {.rows = 4, .cols = 3, .channels = 2, .bytes = kImage.bytes}});
  expect_refusal<ShapeError>("the image is 0 x 6; each side has 1 to 16384 pixels.",
                             RegionHeatmap{.image = {.rows = 0, .cols = 6}});
  expect_refusal<ShapeError>("the image is 1 x 16385; each side has 1 to 16384 pixels.",
                             RegionHeatmap{.image = {.rows = 1, .cols = 16385}});
  expect_refusal<ShapeError>(
      "weights has 2 numbers and regions has 1 boxes; each region needs one weight.",
      RegionHeatmap{.image = kImage, .weights = {1, 2}, .regions = {{0, 0, 1, 1}}});
  expect_refusal<ShapeError>(
      "weights is 5 x 1 and the image 4 x 6; a grid over the image needs a pixel or more for each "
      "weight.",
      RegionHeatmap{.image = kImage, .weights = Eigen::MatrixXd::Ones(5, 1)});
  for (const Box box : {Box{-1, 0, 1, 1}, Box{0, 5, 1, 2}, Box{4, 0, 1, 1}, Box{0, 0, 1, 0}}) {
    const std::string size =
        " is " + std::to_string(box.rows) + " x " + std::to_string(box.cols) + " at row " +
        std::to_string(box.top) + ", column " + std::to_string(box.left) +
        " and the image is 4 x 6; a box has a pixel or more and lies within the image.";
    expect_refusal<ShapeError>("region 0" + size,
                               RegionHeatmap{.image = kImage, .weights = {1}, .regions = {box}});
    expect_refusal<ShapeError>("the true box" + size,
                               RegionHeatmap{.image = kImage, .weights = {1}, .truth = box});
  }
}

}  // namespace
}  // namespace attn::explain
