// SPDX-License-Identifier: Apache-2.0
// Training progress: a bar that redraws itself on a terminal, one plain line an epoch elsewhere.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <ostream>
#include <string>
#include <utility>

#include "matrix.hpp"

namespace examples {

/// True when standard error is a screen and not a file or a pipe.
inline bool stderr_is_terminal() { return isatty(fileno(stderr)) != 0; }

class Progress {
 public:
  Progress(std::ostream& out, bool redraw, std::string unit = "examples")
      : out_(out), redraw_(redraw), unit_(std::move(unit)) {}

  /// On standard error, or nowhere.
  explicit Progress(bool quiet, std::string unit = "examples")
      : Progress(quiet ? silence() : std::cerr, !quiet && stderr_is_terminal(), std::move(unit)) {}

  /// Starts counting `total` examples under a title such as "additive, epoch 3/12".
  void begin(std::string title, Index total) {
    title_ = std::move(title);
    total_ = total;
    done_ = 0;
    loss_sum_ = 0;
    start_ = last_draw_ = Clock::now();
  }

  /// `examples` more are done, at this mean loss.
  void advance(Index examples, float loss) {
    done_ += examples;
    loss_sum_ += static_cast<double>(loss) * static_cast<double>(examples);
    const auto now = Clock::now();
    if (!redraw_ || now - last_draw_ < std::chrono::milliseconds(50)) return;
    last_draw_ = now;
    out_ << '\r' << line(bar()) << "\x1b[K" << std::flush;
  }

  /// Ends the line; `remark` is what the epoch brought, say its validation accuracy.
  void finish(const std::string& remark) {
    if (redraw_) out_ << '\r';
    out_ << line(redraw_ ? bar() : "") << (remark.empty() ? "" : "  ") << remark;
    out_ << (redraw_ ? "\x1b[K\n" : "\n") << std::flush;
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// Has no buffer: takes everything, shows nothing.
  static std::ostream& silence() {
    static std::ostream none(nullptr);
    return none;
  }

  std::string bar() const {
    constexpr Index kWidth = 24;
    const Index filled = total_ == 0 ? kWidth : std::min(kWidth, kWidth * done_ / total_);
    return " [" + std::string(static_cast<std::size_t>(filled), '=') +
           std::string(static_cast<std::size_t>(kWidth - filled), ' ') + "]";
  }

  std::string line(const std::string& bar) const {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    const double count = static_cast<double>(done_);
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "  loss %.4f  %8.0f ", loss_sum_ / std::max(count, 1.0),
                  count / std::max(seconds, 1e-9));
    return title_ + bar + numbers + unit_ + "/s";
  }

  std::ostream& out_;
  bool redraw_;
  std::string unit_;
  std::string title_;
  Index total_ = 0;
  Index done_ = 0;
  double loss_sum_ = 0;
  Clock::time_point start_{};
  Clock::time_point last_draw_{};
};

}  // namespace examples
