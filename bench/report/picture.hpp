// SPDX-License-Identifier: Apache-2.0
// The report as a picture: GFLOP/s against n, a panel for each d.
#pragma once

#include <string>

#include "grid.hpp"

namespace bench::report {

/// An SVG document.
std::string picture(const Grid& grid);

}  // namespace bench::report
