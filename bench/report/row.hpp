// SPDX-License-Identifier: Apache-2.0
// One row of the report: what is measured, what it must and should reach, and what it reached.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include <Eigen/Core>

namespace bench::report {

using Eigen::Index;

/// How much is measured.
struct Settings {
  bool quick = false;     ///< tiny sizes and few repetitions: tries the report, measures nothing
  double seconds = 2;     ///< spent on a row, probes included
  int least = 5;          ///< rounds of a row at least
  bool cpu_time = false;  ///< times one thread's calls by its processor time, for a busy machine
  double tolerance = 1;   ///< the largest error of a result, as a multiple of what is allowed
  Index n(Index full) const { return quick && full > 48 ? 48 : full; }
};

/// What a number must reach, and what it should.
struct Goal {
  double must = 0;
  double aim = 0;
  bool higher_is_better = true;
};
constexpr Goal at_least(double must, double aim) { return {must, aim, true}; }
constexpr Goal at_most(double must, double aim) { return {must, aim, false}; }

enum class Unit { share, ratio, seconds };
enum class Verdict { aim, must, misses, wrong, unmeasured };

struct Row {
  std::string work;  ///< "forward"
  std::string what;  ///< "n = 512, d = 64, row-major"
  std::string of;    ///< what the value is relative to: "of the FMA peak"
  Unit unit = Unit::share;
  Goal goal{};
  std::optional<double> value{};  ///< none where this machine cannot measure it: see the note
  bool wrong = false;             ///< the result is not that of the reference
  std::string note{};
  std::map<std::string, double> numbers{};  ///< what the value is computed from, for the JSON

  std::string name() const { return work + ": " + what; }
};

Verdict verdict(const Row& row);

/// In words: "reaches its aim", "MISSES", ...
std::string in_words(Verdict v);

/// A row to be measured: made with what it must reach, filled by `measure`.
struct Plan {
  Row row;
  std::function<void(Row&, const Settings&)> measure;
};

}  // namespace bench::report
