// SPDX-License-Identifier: Apache-2.0
// loss.html: the losses over the training as curves, the baselines as lines; nothing but itself.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/html.hpp"
#include "report.hpp"

namespace examples {

inline constexpr std::string_view kLossPageStyle = R"(
:root {
  --page: #f6f5f2; --card: #ffffff; --text: #22252b; --faint: #6b7078; --edge: #dedcd6;
  --train: #b4690e; --validation: #1f6feb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181d; --card: #1f2229; --text: #e6e4df; --faint: #9a9fa8; --edge: #343842;
    --train: #ffab57; --validation: #79b8ff;
  }
}
body {
  margin: 0 auto; max-width: 56rem; padding: 2.5rem 1.25rem 4rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; }
p { margin: .25rem 0 1.2rem; color: var(--faint); }
svg {
  width: 100%; height: auto; background: var(--card); border: 1px solid var(--edge);
  border-radius: .5rem;
}
text { fill: var(--text); font-size: 13px; }
.faint { fill: var(--faint); }
.grid { stroke: var(--edge); }
.level { stroke: var(--faint); stroke-dasharray: 5 4; }
.curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
.train { stroke: var(--train); }
.validation { stroke: var(--validation); }
)";

/// The drawing: steps to the right, nats upwards from 0.
class LossChart {
 public:
  explicit LossChart(const Report& report) : report_(report) {
    for (const LossPoint& point : report.training->curve) {
      last_step_ = std::max(last_step_, static_cast<double>(point.step));
      include(point.train);
      include(point.validation);
    }
    for (const ModelLoss& level : levels()) include(level.loss);
    unit_ = std::pow(10.0, std::floor(std::log10(highest_)));
    if (highest_ / unit_ < 4) unit_ /= 4;
    highest_ = unit_ * std::ceil(highest_ / unit_);
  }

  std::string svg() const {
    std::string svg =
        "<svg viewBox=\"0 0 800 460\" role=\"img\" aria-label=\"loss over training steps\">\n";
    svg += axes();
    svg += level_lines();
    svg += curve("train", "training (mean since the point before)", 30,
                 [](const LossPoint& p) { return p.train; });
    svg += curve("validation", "validation", 50, [](const LossPoint& p) { return p.validation; });
    return svg + "</svg>\n";
  }

 private:
  static constexpr double kLeft = 64, kRight = 670, kTop = 70, kBottom = 410;

  void include(double loss) {
    if (std::isfinite(loss)) highest_ = std::max(highest_, loss);
  }
  double x(double step) const { return kLeft + (kRight - kLeft) * step / last_step_; }
  double y(double loss) const { return kBottom - (kBottom - kTop) * loss / highest_; }

  /// Baselines and the best possible loss.
  std::vector<ModelLoss> levels() const {
    std::vector<ModelLoss> levels(report_.models.begin() + 1, report_.models.end());
    if (report_.best_loss) levels.push_back({"best possible", *report_.best_loss});
    return levels;
  }

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
    for (double loss = 0; loss <= highest_ + unit_ / 2; loss += unit_) {
      svg += line("grid", kLeft, y(loss), kRight, y(loss));
      svg += text(kLeft - 8, y(loss) + 4, " text-anchor=\"end\"", fixed(loss, 2));
    }
    constexpr int kTicks = 4;
    for (int tick = 0; tick <= kTicks; ++tick) {
      const double step = std::round(last_step_ * tick / kTicks);
      svg += text(x(step), kBottom + 20, " text-anchor=\"middle\"", fixed(step, 0));
    }
    svg += text((kLeft + kRight) / 2, kBottom + 42, " text-anchor=\"middle\"", "training step");
    return svg + text(0, 0, " text-anchor=\"middle\" transform=\"translate(18 240) rotate(-90)\"",
                      "loss, nats a character");
  }

  /// Names stand at the right; those that would overlap move down.
  std::string level_lines() const {
    std::vector<ModelLoss> sorted = levels();
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const ModelLoss& a, const ModelLoss& b) { return a.loss > b.loss; });
    std::string svg;
    double free = 0;
    for (const ModelLoss& level : sorted) {
      const double at = std::max(y(level.loss) + 4, free);
      free = at + 16;
      svg += line("level", kLeft, y(level.loss), kRight, y(level.loss));
      svg += text(kRight + 8, at, " class=\"faint\"", level.name);
    }
    return svg;
  }

  template <typename F>
  std::string curve(const std::string& kind, const std::string& name, double legend_y,
                    const F& loss) const {
    std::string points;
    for (const LossPoint& point : report_.training->curve) {
      if (!std::isfinite(loss(point))) continue;
      points += fixed(x(static_cast<double>(point.step)), 1) + ',' + fixed(y(loss(point)), 1) + ' ';
    }
    const std::string look = "<polyline class=\"curve " + kind + "\" points=\"";
    const double at = legend_y - 4;
    return look + points + "\"/>\n" + look + fixed(kLeft, 1) + ',' + fixed(at, 1) + ' ' +
           fixed(kLeft + 30, 1) + ',' + fixed(at, 1) + "\"/>\n" +
           text(kLeft + 40, legend_y, "", name);
  }

  const Report& report_;
  double last_step_ = 1;
  double highest_ = 1e-3;
  double unit_ = 1;
};

/// The whole page, for a report of a training.
inline std::string loss_page(const Report& report) {
  const ModelLoss& model = report.models.front();
  const std::string body = "<h1>Loss of a character model</h1>\n<p>" +
                           std::to_string(report.parameters) + " parameters, " +
                           std::to_string(report.training->steps) +
                           " steps; in the end the validation loss is " + fixed(model.loss, 4) +
                           " nats a character.</p>\n" + LossChart(report).svg();
  return html_page("Loss of a character model", kLossPageStyle, body);
}

}  // namespace examples
