// SPDX-License-Identifier: Apache-2.0
// How long one fused program compiles at -O2, over the time of #include <Eigen/Dense> alone.
//
// ATTN_REPORT_COMPILER is the compiler of this build, ATTN_REPORT_INCLUDES its folders of headers,
// separated by `|`.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "rows.hpp"
#include "scratch_folder.hpp"
#include "timing.hpp"

namespace bench::report {
namespace {

constexpr const char* fused_program = R"(#include <attn/attn.hpp>
Eigen::MatrixXf fused(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K,
                      const Eigen::MatrixXf& V) {
  return attn::attention(Q, K, V, attn::Causal{}, attn::Softcap{30});
}
)";
constexpr const char* eigen_alone = "#include <Eigen/Dense>\n";

std::string quoted(const std::string& word) { return "\"" + word + "\""; }

/// The command that compiles a program, past any compiler cache.
std::string command(const std::filesystem::path& source) {
  std::string line = quoted(ATTN_REPORT_COMPILER) + " -std=c++20 -O2";
  const std::string folders = ATTN_REPORT_INCLUDES;
  for (std::size_t at = 0; at < folders.size();) {
    const std::size_t end = std::min(folders.find('|', at), folders.size());
    if (end > at) line += " -I" + quoted(folders.substr(at, end - at));
    at = end + 1;
  }
  return line + " -c " + quoted(source.string()) + " -o " + quoted(source.string() + ".o");
}

/// Infinite where the program does not compile.
double compile_seconds(const std::string& line) {
  const double start = now();
  const bool failed = std::system(line.c_str()) != 0;
  return failed ? std::numeric_limits<double>::infinity() : now() - start;
}

void measure(Row& row, const Settings& settings) {
  const ScratchFolder folder;
  const auto program = [&](const char* name, const char* text) {
    const std::filesystem::path path = folder.path() / name;
    std::ofstream(path) << text;
    return command(path);
  };
  const std::string fused = program("fused.cpp", fused_program);
  const std::string alone = program("alone.cpp", eigen_alone);
  double of_fused = std::numeric_limits<double>::infinity(), of_alone = of_fused;
  const int repetitions = settings.quick ? 1 : settings.least;
  for (int k = 0; k < repetitions; ++k) {
    of_fused = std::min(of_fused, compile_seconds(fused));
    of_alone = std::min(of_alone, compile_seconds(alone));
  }
  row.numbers["seconds"] = of_fused;
  row.numbers["eigen_seconds"] = of_alone;
  row.numbers["rounds"] = repetitions;
  row.wrong = !(of_fused - of_alone < 1e6);
  if (row.wrong)
    row.note = "the program does not compile";
  else
    row.value = of_fused - of_alone;
}

}  // namespace

std::vector<Plan> compile_rows() {
  return {{Row{"compile time", "one fused program, -O2", "over <Eigen/Dense>", Unit::seconds,
               at_most(4, 2.5)},
           measure}};
}

}  // namespace bench::report
