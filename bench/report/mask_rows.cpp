// SPDX-License-Identifier: Apache-2.0
// Masks that make work disappear: time against the same call without a mask.
#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {

std::vector<Plan> mask_rows() {
  const auto causal = [](const Settings& s) {
    const Index n = s.n(4096);
    return Two{forward_call<float>(n, 64, one_thread, attn::Causal{}),
               forward_call<float>(n, 64, one_thread)};
  };
  const auto window = [](const Settings& s) {
    const Index n = s.n(16384);
    return Two{forward_call<float>(n, 64, one_thread, attn::SlidingWindow{255, 0}),
               forward_call<float>(n, 64, one_thread)};
  };
  return {
      relative_time("causal", size_words(4096, 64), "full", at_most(0.56, 0.52), causal),
      relative_time("window of 256", size_words(16384, 64), "full", at_most(0.03, 0.02), window)};
}

}  // namespace bench::report
