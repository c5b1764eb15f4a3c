// SPDX-License-Identifier: Apache-2.0
// Two threads against one, relative to how far the FMA loop itself gets with two: the processors of
// a machine share clock and power, and a virtual one may not have two at all. The median of all
// rounds counts: the best of a ratio of four times would be that of the unluckiest loop.
#include <cstdio>
#include <string>
#include <thread>

#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {
namespace {

constexpr Index tokens = 2048, heads = 8, head_features = 64;

/// Forty turns of the FMA probe, 20 milliseconds: about as long as a call.
void fma_loop(int rounds) { fma_flops_once<float>(40 * rounds); }
void fma_loops_on_two(int rounds) {
  std::thread other(fma_loop, rounds);
  fma_loop(rounds);
  other.join();
}

Checked forward_on(int threads, const Settings& settings) {
  return forward_call<float>(settings.n(tokens), heads * head_features, attn::Threads{threads},
                             attn::Heads{heads});
}

std::string two_digits(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", number);
  return text;
}

void measure(Row& row, const Settings& settings) {
  if (std::thread::hardware_concurrency() < 2) {
    row.note = "this machine has one processor";
    return;
  }
  const Checked one = forward_on(1, settings), two = forward_on(2, settings);
  if (!correct(one, row, settings) || !correct(two, row, settings)) return;
  Settings by_the_wall = settings;
  by_the_wall.cpu_time = false;
  const int rounds = fma_rounds(settings);
  const Race result =
      race({two.run, one.run, [=] { fma_loop(rounds); }, [=] { fma_loops_on_two(rounds); }},
           probes<float>(settings), by_the_wall);
  const auto speedup = [](const Turns& t) { return t.seconds[1] / t.seconds[0]; };
  const auto of_fma = [](const Turns& t) { return 2 * t.seconds[2] / t.seconds[3]; };
  keep(result, row, [&](const Turns& t) { return speedup(t) / of_fma(t); });
  row.value = row.numbers["median"];
  row.numbers["speedup"] = result.median_of(speedup);
  row.numbers["fma_speedup"] = result.median_of(of_fma);
  row.note = "speedup " + two_digits(row.numbers["speedup"]) + ", the loop's " +
             two_digits(row.numbers["fma_speedup"]);
}

}  // namespace

std::vector<Plan> thread_rows() {
  return {{Row{"2 threads", "n = 2048, 8 heads, d = 64", "of the FMA loop's speedup", Unit::ratio,
               at_least(0.93, 0.98)},
           measure}};
}

}  // namespace bench::report
