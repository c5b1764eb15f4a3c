// SPDX-License-Identifier: Apache-2.0
// Forward with the parts that change what a tile costs: windows, modifiers, normalisers, heads.
#include <string>

#include <attn/attn.hpp>

#include "forward_work.hpp"

namespace bench {
namespace {

/// Parts that change what a tile costs.
void add_parts(Index n, Index d) {
  const std::string size = size_name<float>(n, d) + "/threads:1";
  add_benchmark("attention/window_128" + size, [=] {
    return forward_work<float>(n, d, window_pairs(n, 127), 1, attn::Causal{},
                               attn::SlidingWindow{127, 0});
  });
  add_benchmark("attention/softcap" + size,
                [=] { return forward_work<float>(n, d, all_pairs(n), 1, attn::Softcap{30}); });
  add_benchmark("attention/alibi" + size, [=] {
    return forward_work<float>(n, d, all_pairs(n), 1, attn::Alibi::standard(1));
  });
  add_benchmark("attention/dense_bias" + size, [=] {
    return forward_work<float>(n, d, all_pairs(n), 1,
                               attn::DenseBias<float>{random_matrix<float>(n, n, 8)});
  });
  add_benchmark("attention/score_mod" + size, [=] {
    return forward_work<float>(n, d, all_pairs(n), 1,
                               attn::score_mod([](auto s, attn::Position at) {
                                 return s - 0.01f * static_cast<float>(at.query - at.key);
                               }));
  });
  add_benchmark("attention/sparsemax" + size,
                [=] { return forward_work<float>(n, d, all_pairs(n), 1, attn::Sparsemax{}); });
  add_benchmark("attention/entmax15" + size,
                [=] { return forward_work<float>(n, d, all_pairs(n), 1, attn::Entmax15{}); });
}

/// Eight heads of 64 features side by side.
void add_heads(Index n) {
  const std::string size = size_name<float>(n, 512) + "/threads:1";
  add_benchmark("attention/heads_8" + size,
                [=] { return forward_work<float>(n, 512, all_pairs(n), 1, attn::Heads{8}); });
}

const bool added = [] {
  add_parts(1024, 64);
  add_heads(512);
  return true;
}();

}  // namespace
}  // namespace bench
