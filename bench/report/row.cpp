// SPDX-License-Identifier: Apache-2.0
// What a measured value means against its goal.
#include "row.hpp"

namespace bench::report {

Verdict verdict(const Row& row) {
  if (row.wrong) return Verdict::wrong;
  if (!row.value) return Verdict::unmeasured;
  const auto reached = [&](double wanted) {
    return row.goal.higher_is_better ? *row.value >= wanted : *row.value <= wanted;
  };
  if (reached(row.goal.aim)) return Verdict::aim;
  return reached(row.goal.must) ? Verdict::must : Verdict::misses;
}

std::string in_words(Verdict v) {
  switch (v) {
    case Verdict::aim:
      return "aim reached";
    case Verdict::must:
      return "ok";
    case Verdict::misses:
      return "MISSES";
    case Verdict::wrong:
      return "WRONG RESULT";
    case Verdict::unmeasured:
      return "not measured";
  }
  return {};
}

}  // namespace bench::report
