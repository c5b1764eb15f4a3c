// SPDX-License-Identifier: Apache-2.0
// Score modifiers: time against the same call without one, and a user's own against the built-in.
#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {
namespace {

constexpr Index tokens = 1024, features = 64;
constexpr float slope = 0.0625f;

/// Time with this part against time without a part; `part(n)` makes it.
template <class Make>
Plan modifier_plan(std::string work, Goal goal, Make part) {
  return relative_time(std::move(work), size_words(tokens, features), "no modifier", goal,
                       [part](const Settings& s) {
                         const Index n = s.n(tokens);
                         return Two{forward_call<float>(n, features, one_thread, part(n)),
                                    forward_call<float>(n, features, one_thread)};
                       });
}

auto alibi() { return attn::Alibi{.slopes = slope}; }

/// ALiBi as a user writes it, on packs.
auto alibi_by_hand() {
  return attn::score_mod([](auto s, auto at) {
    return s - slope * attn::math::abs(at.query - static_cast<float>(at.key));
  });
}

}  // namespace

std::vector<Plan> modifier_rows() {
  const auto dense_bias = [](Index n) {
    return attn::DenseBias<float>{random_matrix<float>(n, n, 8)};
  };
  return {modifier_plan("ALiBi", at_most(1.06, 1.03), [](Index) { return alibi(); }),
          modifier_plan("softcap", at_most(1.35, 1.25), [](Index) { return attn::Softcap{30}; }),
          modifier_plan("column-major dense bias", at_most(1.40, 1.25), dense_bias),
          relative_time("user's ALiBi", size_words(tokens, features), "the built-in",
                        at_most(1.10, 1.0), [](const Settings& s) {
                          const Index n = s.n(tokens);
                          return Two{forward_call<float>(n, features, one_thread, alibi_by_hand()),
                                     forward_call<float>(n, features, one_thread, alibi())};
                        })};
}

}  // namespace bench::report
