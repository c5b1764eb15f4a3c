// SPDX-License-Identifier: Apache-2.0
// All rows of the report, by file.
#pragma once

#include <vector>

#include "row.hpp"

namespace bench::report {

std::vector<Plan> forward_rows();
std::vector<Plan> avx2_rows();  ///< measured by a second program, built for AVX2
std::vector<Plan> mask_rows();
std::vector<Plan> modifier_rows();
std::vector<Plan> additive_rows();
std::vector<Plan> backward_rows();
std::vector<Plan> decode_rows();
std::vector<Plan> thread_rows();
std::vector<Plan> compile_rows();

}  // namespace bench::report
