// SPDX-License-Identifier: Apache-2.0
// One line a row, in columns.
#include "table.hpp"

#include <cstdio>
#include <iomanip>
#include <ostream>
#include <string>

namespace bench::report {
namespace {

void print_columns(std::ostream& out, const std::string& name, const std::string& value,
                   const std::string& must, const std::string& aim, const std::string& verdict) {
  out << std::left << std::setw(52) << name << std::right << std::setw(10) << value << std::setw(11)
      << must << std::setw(11) << aim << "  " << std::left << verdict << '\n';
}

}  // namespace

std::string value_words(double value, Unit unit) {
  char text[32];
  switch (unit) {
    case Unit::share:
      std::snprintf(text, sizeof text, "%.1f %%", 100 * value);
      break;
    case Unit::ratio:
      std::snprintf(text, sizeof text, "%.3f", value);
      break;
    case Unit::seconds:
      std::snprintf(text, sizeof text, "%.2f s", value);
      break;
  }
  return text;
}

void print_head(std::ostream& out) {
  print_columns(out, "work", "measured", "must", "aim", "");
  out << std::string(100, '-') << '\n';
}

void print_row(std::ostream& out, const Row& row) {
  const char* relation = row.goal.higher_is_better ? ">= " : "<= ";
  print_columns(out, row.name(), row.value ? value_words(*row.value, row.unit) : "-",
                relation + value_words(row.goal.must, row.unit),
                relation + value_words(row.goal.aim, row.unit), in_words(verdict(row)));
  std::string remark = row.of;
  const auto gflops = row.numbers.find("gflops");
  if (gflops != row.numbers.end()) {
    char text[96];
    std::snprintf(text, sizeof text, "; %.1f of %.1f GFLOP/s, Eigen's product %.1f", gflops->second,
                  row.numbers.at("peak_gflops"), row.numbers.at("eigen_product_gflops"));
    remark += text;
  }
  const auto of_all = row.numbers.find("median");
  if (of_all != row.numbers.end())
    remark += "; median of all " + value_words(of_all->second, row.unit);
  out << "    " << remark << (row.note.empty() ? "" : "; " + row.note) << std::endl;
}

}  // namespace bench::report
