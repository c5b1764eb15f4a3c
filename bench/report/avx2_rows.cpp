// SPDX-License-Identifier: Apache-2.0
// The rows of the AVX2 build: asks the second program, ATTN_REPORT_AVX2, empty where there is none.
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>

#include "avx2_plans.hpp"
#include "json.hpp"
#include "rows.hpp"
#include "scratch_folder.hpp"

namespace bench::report {
namespace {

bool runs_avx2() {
#if defined(__GNUC__) && defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

void measure(std::size_t number, Row& row, const Settings& settings) {
  const std::string program = ATTN_REPORT_AVX2;
  if (program.empty() || !runs_avx2()) {
    row.note = "this machine or its compiler has no AVX2";
    return;
  }
  const ScratchFolder folder;
  const std::string answer = (folder.path() / "row.json").string();
  std::string line = "\"" + program + "\" " + std::to_string(number);
  line += " " + std::to_string(settings.seconds) + " " + std::to_string(settings.least);
  line += " " + std::to_string(settings.tolerance) + (settings.quick ? " 1" : " 0") +
          (settings.cpu_time ? " 1" : " 0");
  line += " > \"" + answer + "\"";
  if (std::system(line.c_str()) != 0) {
    row.wrong = true;
    row.note = "attn_report_avx2 failed";
    return;
  }
  std::ifstream file(answer);
  const Row measured = row_from_json(nlohmann::json::parse(file));
  row.value = measured.value;
  row.wrong = measured.wrong;
  row.numbers = measured.numbers;
}

}  // namespace

std::vector<Plan> avx2_rows() {
  std::vector<Plan> plans;
  for (std::size_t k = 0; k < avx2_sizes.size(); ++k) {
    const Avx2Size size = avx2_sizes[k];
    plans.push_back(
        {Row{avx2_work, "n = " + std::to_string(size.n) + ", d = " + std::to_string(size.d),
             "of the AVX2 FMA peak", Unit::share, avx2_goal},
         [k](Row& row, const Settings& s) { measure(k, row, s); }});
  }
  return plans;
}

}  // namespace bench::report
