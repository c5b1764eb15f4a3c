// SPDX-License-Identifier: Apache-2.0
// Small panels, one for each d, on the same axes: n on a logarithmic one, GFLOP/s on a linear one.
//
// Lines differ in colour, dash and marker; the colours are those of Okabe and Ito (2008), which
// people with any kind of colour vision can tell apart. Where the reader prefers dark pages the
// document's own style turns dark.
#include "picture.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "machine.hpp"

namespace bench::report {
namespace {

constexpr double panel_width = 240, panel_height = 200, gap_x = 34, gap_y = 62;
constexpr double left = 74, top = 116, bottom = 62, right = 24;
constexpr std::size_t columns = 4;

constexpr const char* style = R"(<style>
  text { font: 13px system-ui, sans-serif; fill: #1a1a1a; }
  .title { font-size: 19px; font-weight: 600; }
  .panel { font-weight: 600; }
  .small { font-size: 12px; fill: #555; }
  .page { fill: #fff; }
  .frame { fill: none; stroke: #888; }
  .rule { stroke: #ddd; }
  .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
  .attn { stroke: #0072b2; } .attn-dot { fill: #0072b2; }
  .plain { stroke: #d55e00; stroke-dasharray: 7 3; } .plain-dot { fill: #d55e00; }
  .peak { stroke: #1a1a1a; stroke-width: 1.6; }
  .product { stroke: #009e73; stroke-dasharray: 2 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e8e8e8; } .small { fill: #aaa; }
    .page { fill: #15181c; } .frame { stroke: #777; } .rule { stroke: #33383f; }
    .attn { stroke: #56b4e9; } .attn-dot { fill: #56b4e9; }
    .plain { stroke: #e69f00; } .plain-dot { fill: #e69f00; }
    .peak { stroke: #e8e8e8; }
  }
</style>
)";

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

/// "&lt;" for "<" and so on.
std::string escaped(const std::string& words) {
  std::string text;
  for (const char c : words) text += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return text;
}

std::string words(double x, double y, const std::string& text, const char* kind = "",
                  const char* anchor = "start") {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" class=\"" + kind +
         "\" text-anchor=\"" + anchor + "\">" + escaped(text) + "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const std::string& kind) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) +
         "\" y2=\"" + number(y2) + "\" class=\"" + kind + "\"/>\n";
}

std::string circle(double x, double y, const std::string& kind) {
  return "<circle cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"3\" class=\"" + kind +
         "-dot\"/>\n";
}

std::string square(double x, double y, const std::string& kind) {
  return "<rect x=\"" + number(x - 2.7) + "\" y=\"" + number(y - 2.7) +
         "\" width=\"5.4\" height=\"5.4\" class=\"" + kind + "-dot\"/>\n";
}

/// 1, 2 or 5 times a power of ten, so that there are about five of it up to `most`.
double tick_step(double most) {
  const double power = std::pow(10, std::floor(std::log10(most / 5)));
  for (const double step : {1.0, 2.0, 5.0})
    if (most / (step * power) <= 6) return step * power;
  return 10 * power;
}

/// Where numbers stand, the same in every panel.
struct Axes {
  double most_n, most_gflops;
  double x(double n) const { return panel_width * std::log2(n) / std::log2(most_n); }
  double y(double gflops) const { return panel_height * (1 - gflops / most_gflops); }
};

std::string frame(const Axes& axes, bool labelled) {
  std::string svg;
  const double step = tick_step(axes.most_gflops);
  for (double g = 0; g <= axes.most_gflops; g += step) {
    svg += line(0, axes.y(g), panel_width, axes.y(g), "rule");
    if (labelled) svg += words(-8, axes.y(g) + 4, std::to_string(int(g)), "", "end");
  }
  for (double n = 1; n <= axes.most_n; n *= 4) {
    svg += line(axes.x(n), panel_height, axes.x(n), panel_height + 5, "frame");
    svg += words(axes.x(n), panel_height + 19, std::to_string(int(n)), "", "middle");
  }
  return svg + "<rect width=\"" + number(panel_width) + "\" height=\"" + number(panel_height) +
         "\" class=\"frame\"/>\n";
}

/// A line through the cells, with its markers; `seconds` picks the time.
template <class Seconds, class Marker>
std::string curve(const Axes& axes, const std::vector<Cell>& cells, const std::string& kind,
                  Seconds seconds, Marker marker) {
  std::string points, markers;
  for (const Cell& cell : cells) {
    const double x = axes.x(double(cell.n)), y = axes.y(cell.gflops(seconds(cell)));
    points += number(x) + "," + number(y) + " ";
    markers += marker(x, y, kind);
  }
  return "<polyline points=\"" + points + "\" class=\"line " + kind + "\"/>\n" + markers;
}

std::string panel(const Axes& axes, const std::vector<Cell>& cells, const Grid& grid,
                  bool labelled) {
  std::string svg = words(2, -8, "d = " + std::to_string(cells.front().d), "panel");
  svg += frame(axes, labelled);
  const double peak = axes.y(grid.peak / 1e9), product = axes.y(grid.product / 1e9);
  svg += line(0, peak, panel_width, peak, "line peak");
  svg += line(0, product, panel_width, product, "line product");
  svg += curve(
      axes, cells, "plain", [](const Cell& c) { return c.plain(); }, square);
  svg += curve(
      axes, cells, "attn", [](const Cell& c) { return c.attn; }, circle);
  return svg;
}

std::string legend(const Grid& grid) {
  const double y = 74;
  std::string svg;
  const auto entry = [&](double x, const std::string& kind, const std::string& name) {
    svg += line(x, y, x + 34, y, "line " + kind) + words(x + 42, y + 4, name);
  };
  entry(left, "attn", "attn");
  svg += circle(left + 17, y, "attn");
  entry(left + 130, "plain", "plain Eigen, the faster of two versions");
  svg += square(left + 147, y, "plain");
  entry(left + 460, "product", "Eigen's 512 x 512 product: " + number(grid.product / 1e9));
  entry(left + 790, "peak", "FMA peak: " + number(grid.peak / 1e9));
  return svg;
}

/// The cells of each d, in the order in which they were measured.
std::vector<std::vector<Cell>> by_features(const Grid& grid) {
  std::vector<std::vector<Cell>> groups;
  for (const Cell& cell : grid.cells) {
    if (groups.empty() || groups.back().front().d != cell.d) groups.emplace_back();
    groups.back().push_back(cell);
  }
  return groups;
}

std::string panels(const Grid& grid, const std::vector<std::vector<Cell>>& groups) {
  Axes axes{2, 1.08 * grid.peak / 1e9};
  for (const Cell& cell : grid.cells) axes.most_n = std::max(axes.most_n, double(cell.n));
  std::string svg;
  for (std::size_t k = 0; k < groups.size(); ++k) {
    const double x = left + double(k % columns) * (panel_width + gap_x);
    const double y = top + double(k / columns) * (panel_height + gap_y);
    svg += "<g transform=\"translate(" + number(x) + " " + number(y) + ")\">\n" +
           panel(axes, groups[k], grid, k % columns == 0) + "</g>\n";
  }
  return svg;
}

}  // namespace

std::string picture(const Grid& grid) {
  const auto groups = by_features(grid);
  const double rows = double((groups.size() + columns - 1) / columns);
  const double width = left + columns * panel_width + (columns - 1) * gap_x + right;
  const double height = top + rows * panel_height + (rows - 1) * gap_y + bottom;
  const std::string size = number(width) + " " + number(height);
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + size +
                    "\" width=\"" + number(width) + "\" height=\"" + number(height) + "\">\n";
  svg += "<title>Forward attention: GFLOP/s against the number of tokens</title>\n";
  svg += style;
  svg += "<rect width=\"100%\" height=\"100%\" class=\"page\"/>\n";
  svg += words(left, 32, "Forward attention, float, one thread", "title");
  svg += words(left, 53, processor_name() + ", " + instruction_set() + ", " + compiler_name(),
               "small");
  svg += legend(grid) + panels(grid, groups);
  svg += words(left + (width - left - right) / 2, height - 16, "n, queries and keys", "", "middle");
  svg += "<text transform=\"translate(22 " + number((top + height - bottom) / 2) +
         ") rotate(-90)\" text-anchor=\"middle\">GFLOP/s, 4n&#178;d flops a call</text>\n";
  return svg + "</svg>\n";
}

}  // namespace bench::report
