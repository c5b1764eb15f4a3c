// SPDX-License-Identifier: Apache-2.0
// loss.html: the losses over the training as curves, the baselines as lines; nothing but itself.
#pragma once

#include <string>
#include <string_view>

#include "../support/console_table.hpp"
#include "../support/html.hpp"
#include "../support/line_chart.hpp"
#include "report.hpp"

namespace examples {

inline constexpr std::string_view kLossPageStyle = R"(
p { margin: .25rem 0 1.2rem; color: var(--faint); }
svg {
  width: 100%; height: auto; background: var(--card); border: 1px solid var(--edge);
  border-radius: .5rem;
}
)";

/// Steps to the right, nats upwards.
inline LineChart loss_chart(const Report& report) {
  LineChart chart{.label = "loss over training steps",
                  .x_label = "training step",
                  .y_label = "loss, nats a character",
                  .curves = {{"first", "training (mean since the point before)", {}},
                             {"second", "validation", {}}}};
  for (const LossPoint& point : report.training->curve) {
    const auto step = static_cast<double>(point.step);
    chart.curves[0].points.push_back({step, point.train});
    chart.curves[1].points.push_back({step, point.validation});
  }
  for (std::size_t m = 1; m < report.models.size(); ++m)
    chart.levels.push_back({report.models[m].name, report.models[m].loss});
  if (report.best_loss) chart.levels.push_back({"best possible", *report.best_loss});
  return chart;
}

/// The whole page, for a report of a training.
inline std::string loss_page(const Report& report) {
  const ModelLoss& model = report.models.front();
  const std::string body = "<h1>Loss of a character model</h1>\n<p>" +
                           std::to_string(report.parameters) + " parameters, " +
                           std::to_string(report.training->steps) +
                           " steps; in the end the validation loss is " + fixed(model.loss, 4) +
                           " nats a character.</p>\n" + line_chart(loss_chart(report));
  return html_page("Loss of a character model",
                   std::string(kLineChartStyle) + std::string(kLossPageStyle), body);
}

}  // namespace examples
