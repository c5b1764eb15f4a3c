// SPDX-License-Identifier: Apache-2.0
// The report as a table of text.
#pragma once

#include <cstddef>
#include <iosfwd>

#include "row.hpp"

namespace bench::report {

void print_head(std::ostream& out);
void print_row(std::ostream& out, const Row& row);

/// "76.3 %", "0.54", "3.2 s"
std::string value_words(double value, Unit unit);

}  // namespace bench::report
