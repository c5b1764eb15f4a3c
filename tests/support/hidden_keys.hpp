// SPDX-License-Identifier: Apache-2.0
// Problems some of whose keys nobody may see, with NaN and infinities there.
#pragma once

#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>

#include "gradients.hpp"
#include "nonfinite.hpp"

namespace support {

inline constexpr Case small{};
inline constexpr Case several_tiles{.n_q = 133, .n_k = 261, .d = 4, .d_v = 3, .seed = 3};

/// Keys 4, 7 and 8 of nine, and so in every nine that follow.
constexpr bool hidden_key(attn::Index j) { return j % 9 == 4 || j % 9 >= 7; }
inline constexpr auto hide = [](attn::Position at) { return !hidden_key(at.key); };

/// NaN and infinities where nobody looks.
inline Problem<> spoiled(Problem<> p) {
  for (attn::Index j = 0; j < p.K.rows(); ++j) {
    if (!hidden_key(j)) continue;
    p.K.row(j).setConstant(j % 9 == 4 ? nan : infinity);
    p.V.row(j).setConstant(j % 9 == 7 ? nan : -infinity);
  }
  return p;
}

template <class Gradients, class Flatten>
void expect_same_gradients(const Gradients& found, const Gradients& clean, Flatten flatten) {
  EXPECT_TRUE(near(found.query, clean.query, 1e-14)) << "dQ";
  EXPECT_TRUE(near(found.key, clean.key, 1e-14)) << "dK";
  EXPECT_TRUE(near(found.value, clean.value, 1e-14)) << "dV";
  EXPECT_TRUE(clean.key.allFinite());
  EXPECT_TRUE(near(flatten(found), flatten(clean), 1e-12)) << "parameters";
}

/// A call whose parts hide the hidden keys gives the same whatever these hold.
template <class Parts, class Flatten>
void expect_hidden_keys_reach_nothing(const Case& c, const Parts& parts, Flatten flatten) {
  SCOPED_TRACE(c);
  const Problem<> clean(c), dirty = spoiled(clean);
  std::apply(
      [&](const auto&... part) {
        const auto expected = attn::attention_forward(clean.Q, clean.K, clean.V, part...);
        const auto forward = attn::attention_forward(dirty.Q, dirty.K, dirty.V, part...);
        EXPECT_TRUE(expected.output.allFinite());
        EXPECT_TRUE(near(forward.output, expected.output, 1e-14)) << "O";
        EXPECT_TRUE(near(forward.log_sum_exp, expected.log_sum_exp, 1e-14)) << "L";
        EXPECT_TRUE(near(attn::attention_weights(dirty.Q, dirty.K, part...),
                         attn::attention_weights(clean.Q, clean.K, part...), 1e-14))
            << "P";
        expect_same_gradients(
            attn::attention_backward(dirty.Q, dirty.K, dirty.V, forward, dirty.dO, part...),
            attn::attention_backward(clean.Q, clean.K, clean.V, expected, clean.dO, part...),
            flatten);
      },
      parts);
}

template <class... Parts>
void expect_hidden_keys_reach_nothing(const Parts&... parts) {
  expect_hidden_keys_reach_nothing(small, std::make_tuple(parts...), no_parameters);
  expect_hidden_keys_reach_nothing(several_tiles, std::make_tuple(parts...), no_parameters);
}

}  // namespace support
