// SPDX-License-Identifier: Apache-2.0
// Curves over a common axis as SVG: inside a page, or a file of its own that follows light and
// dark.
//
// Curves differ in colour (orange and blue, which are told apart by everybody) and in their dashes.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "console_table.hpp"
#include "html.hpp"

namespace examples {

struct ChartPoint {
  double x = 0;
  double y = 0;
  std::string note{};  // shown by the pointer; without one the point has no dot
};

struct ChartCurve {
  std::string kind;  // its class for styles: first or second
  std::string name;
  std::vector<ChartPoint> points;
};

/// A dashed line across, with its name at the right.
struct ChartLevel {
  std::string name;
  double y = 0;
};

struct LineChart {
  std::string label;  // what the drawing is, for those who do not see it
  std::string x_label;
  std::string y_label;
  std::vector<ChartCurve> curves;
  std::vector<ChartLevel> levels{};
  double highest = 0;  // of the upward axis; 0: round and above all points
  int decimals = 2;    // of the upward axis
};

/// For a page with the frame of html_page, which brings the other colours.
inline constexpr std::string_view kLineChartStyle = R"(
:root { --first: #b4690e; --second: #1f6feb; }
@media (prefers-color-scheme: dark) { :root { --first: #ffab57; --second: #79b8ff; } }
text { fill: var(--text); font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.paper { fill: var(--card); stroke: var(--edge); }
.faint { fill: var(--faint); }
.grid { stroke: var(--edge); }
.level { stroke: var(--faint); stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.curve.first { stroke: var(--first); stroke-dasharray: 9 3; }
.curve.second { stroke: var(--second); }
.dot.first { fill: var(--first); }
.dot.second { fill: var(--second); }
)";

/// Those colours, for a file of its own.
inline constexpr std::string_view kLineChartColours = R"(
:root { --card: #ffffff; --text: #22252b; --faint: #63686f; --edge: #dedcd6; }
@media (prefers-color-scheme: dark) {
  :root { --card: #1f2229; --text: #e6e4df; --faint: #9a9fa8; --edge: #343842; }
})";

namespace detail {

/// The axes both start at 0.
class LineChartDrawing {
 public:
  explicit LineChartDrawing(const LineChart& chart)
      : chart_(chart), right_(chart.levels.empty() ? 770 : 670), highest_(chart.highest) {
    double top = 1e-3;
    for (const ChartCurve& curve : chart.curves) {
      for (const ChartPoint& point : curve.points) {
        last_x_ = std::max(last_x_, point.x);
        if (std::isfinite(point.y)) top = std::max(top, point.y);
      }
    }
    for (const ChartLevel& level : chart.levels)
      if (std::isfinite(level.y)) top = std::max(top, level.y);
    const double wanted = highest_ > 0 ? highest_ : top;
    unit_ = std::pow(10.0, std::floor(std::log10(wanted)));
    if (wanted / unit_ < 4) unit_ /= 4;
    if (highest_ <= 0) highest_ = unit_ * std::ceil(top / unit_);
  }

  std::string svg(const std::string& attributes, const std::string& style) const {
    std::string svg = "<svg viewBox=\"0 0 800 460\" role=\"img\" aria-label=\"" +
                      escape_html(chart_.label) + "\"" + attributes + ">\n" + style;
    svg += axes() + level_lines();
    for (std::size_t c = 0; c < chart_.curves.size(); ++c)
      svg += curve(chart_.curves[c], 30 + 20 * static_cast<double>(c));
    return svg + "</svg>\n";
  }

 private:
  static constexpr double kLeft = 64, kTop = 70, kBottom = 410;

  /// One, two or five times a power of ten, and at most seven of them on the axis.
  double step_x() const {
    const double least = std::max(last_x_ / 7, 1.0);
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double digit : {1.0, 2.0, 5.0})
      if (digit * power >= least) return digit * power;
    return 10 * power;
  }
  double x(double value) const { return kLeft + (right_ - kLeft) * value / last_x_; }
  double y(double value) const { return kBottom - (kBottom - kTop) * value / highest_; }

  static std::string text(double x, double y, const std::string& rest, const std::string& words) {
    return "<text x=\"" + fixed(x, 1) + "\" y=\"" + fixed(y, 1) + "\"" + rest + ">" +
           escape_html(words) + "</text>\n";
  }
  static std::string line(const char* kind, double x1, double y1, double x2, double y2) {
    return std::string("<line class=\"") + kind + "\" x1=\"" + fixed(x1, 1) + "\" y1=\"" +
           fixed(y1, 1) + "\" x2=\"" + fixed(x2, 1) + "\" y2=\"" + fixed(y2, 1) + "\"/>\n";
  }

  std::string axes() const {
    std::string svg;
    for (double value = 0; value <= highest_ + unit_ / 2; value += unit_) {
      svg += line("grid", kLeft, y(value), right_, y(value));
      svg += text(kLeft - 8, y(value) + 4, " text-anchor=\"end\"", fixed(value, chart_.decimals));
    }
    for (double value = 0; value <= last_x_; value += step_x())
      svg += text(x(value), kBottom + 20, " text-anchor=\"middle\"", fixed(value, 0));
    svg += text((kLeft + right_) / 2, kBottom + 42, " text-anchor=\"middle\"", chart_.x_label);
    return svg + text(0, 0, " text-anchor=\"middle\" transform=\"translate(18 240) rotate(-90)\"",
                      chart_.y_label);
  }

  /// Names stand at the right; those that would overlap move down.
  std::string level_lines() const {
    std::vector<ChartLevel> sorted = chart_.levels;
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const ChartLevel& a, const ChartLevel& b) { return a.y > b.y; });
    std::string svg;
    double free = 0;
    for (const ChartLevel& level : sorted) {
      const double at = std::max(y(level.y) + 4, free);
      free = at + 16;
      svg += line("level", kLeft, y(level.y), right_, y(level.y));
      svg += text(right_ + 8, at, " class=\"faint\"", level.name);
    }
    return svg;
  }

  std::string curve(const ChartCurve& curve, double legend_y) const {
    std::string points, dots;
    for (const ChartPoint& point : curve.points) {
      if (!std::isfinite(point.y)) continue;
      points += fixed(x(point.x), 1) + ',' + fixed(y(point.y), 1) + ' ';
      if (point.note.empty()) continue;
      dots += "<circle class=\"dot " + curve.kind + "\" cx=\"" + fixed(x(point.x), 1) + "\" cy=\"" +
              fixed(y(point.y), 1) + "\" r=\"4.5\"><title>" + escape_html(point.note) +
              "</title></circle>\n";
    }
    const std::string look = "<polyline class=\"curve " + curve.kind + "\" points=\"";
    const double at = legend_y - 4;
    return look + points + "\"/>\n" + dots + look + fixed(kLeft, 1) + ',' + fixed(at, 1) + ' ' +
           fixed(kLeft + 30, 1) + ',' + fixed(at, 1) + "\"/>\n" +
           text(kLeft + 40, legend_y, "", curve.name);
  }

  const LineChart& chart_;
  double right_;  // names of levels stand behind it
  double last_x_ = 1;
  double highest_ = 0;
  double unit_ = 1;
};

}  // namespace detail

/// The drawing for a page whose style contains kLineChartStyle.
inline std::string line_chart(const LineChart& chart) {
  return detail::LineChartDrawing(chart).svg("", "");
}

/// The same as the content of an .svg file, with its style inside.
inline std::string line_chart_file(const LineChart& chart) {
  const std::string style = "<style>" + std::string(kLineChartColours) +
                            std::string(kLineChartStyle) + "</style>\n" +
                            "<rect class=\"paper\" width=\"800\" height=\"460\" rx=\"8\"/>\n";
  return detail::LineChartDrawing(chart).svg(" xmlns=\"http://www.w3.org/2000/svg\"", style);
}

}  // namespace examples
