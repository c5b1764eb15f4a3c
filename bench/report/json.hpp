// SPDX-License-Identifier: Apache-2.0
// The report as JSON.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "grid.hpp"
#include "row.hpp"

namespace bench::report {

nlohmann::ordered_json to_json(const Row& row);

/// What to_json() wrote, the goal excepted.
Row row_from_json(const nlohmann::json& json);

nlohmann::ordered_json to_json(const std::vector<Row>& rows, const Grid& grid,
                               const Settings& settings);

}  // namespace bench::report
