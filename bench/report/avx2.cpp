// SPDX-License-Identifier: Apache-2.0
// The second program of the report: forward in a build for AVX2 and FMA. Writes its rows as JSON.
//
//     attn_report_avx2 ROW SECONDS LEAST TOLERANCE QUICK CPU_TIME
//
// One row at a time, named by its number; avx2_rows.cpp starts it. A row's peak is the AVX2 one,
// since the FMA loop is compiled like the rest.
#include <cstddef>
#include <cstdlib>
#include <iostream>
#include <string>

#include "avx2_plans.hpp"
#include "forward_call.hpp"
#include "json.hpp"
#include "keep_heap.hpp"

int main(int argc, char** argv) {
  using namespace bench::report;
  bench::keep_heap();
  if (argc != 7) return 2;
  const Settings settings{.quick = std::string(argv[5]) == "1",
                          .seconds = std::atof(argv[2]),
                          .least = std::atoi(argv[3]),
                          .cpu_time = std::string(argv[6]) == "1",
                          .tolerance = std::atof(argv[4])};
  const Avx2Size size = avx2_sizes.at(static_cast<std::size_t>(std::atoi(argv[1])));
  Plan plan = forward_plan<float>(avx2_work, size.n, size.d, avx2_goal);
  plan.measure(plan.row, settings);
  std::cout << to_json(plan.row) << '\n';
}
