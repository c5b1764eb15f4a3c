// SPDX-License-Identifier: Apache-2.0
// Forward with the parts that change what a tile costs: windows, modifiers, normalisers, heads.
#include <cstddef>
#include <string>
#include <vector>

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

/// The same pairs by a rule for pairs, by blocks that are known of it, and by built-in masks.
void add_block_masks(Index n, Index d) {
  const std::string size = size_name<float>(n, d) + "/threads:1";
  const auto window = attn::mask_mod(
      [](attn::Position at) { return at.key <= at.query && at.key >= at.query - 127; });
  const double in_window = window_pairs(n, 127);
  add_benchmark("attention/window_128_built_in" + size, [=] {
    return forward_work<float>(n, d, in_window, 1, attn::SlidingWindow{127, 0});
  });
  add_benchmark("attention/window_128_mask_mod" + size,
                [=] { return forward_work<float>(n, d, in_window, 1, window); });
  add_benchmark("attention/window_128_block_mask" + size, [=] {
    return forward_work<float>(n, d, in_window, 1, attn::BlockMask(window, n, n));
  });

  const Index length = 256;  // of a document
  std::vector<Index> ids;
  for (Index k = 0; k < n; ++k) ids.push_back(k / length);
  const double in_documents = static_cast<double>(n * length);
  const auto same_id = attn::mask_mod([ids](attn::Position at) {
    return ids[static_cast<std::size_t>(at.query)] == ids[static_cast<std::size_t>(at.key)];
  });
  add_benchmark("attention/documents_256" + size, [=] {
    return forward_work<float>(n, d, in_documents, 1, attn::Documents{ids, ids});
  });
  add_benchmark("attention/documents_256_mask_mod" + size,
                [=] { return forward_work<float>(n, d, in_documents, 1, same_id); });
  add_benchmark("attention/documents_256_block_mask" + size, [=] {
    return forward_work<float>(n, d, in_documents, 1, attn::BlockMask(same_id, n, n));
  });
}

/// Eight heads of 64 features side by side.
void add_heads(Index n) {
  const std::string size = size_name<float>(n, 512) + "/threads:1";
  add_benchmark("attention/heads_8" + size,
                [=] { return forward_work<float>(n, 512, all_pairs(n), 1, attn::Heads{8}); });
}

const bool added = [] {
  add_parts(1024, 64);
  add_block_masks(4096, 64);
  add_heads(512);
  return true;
}();

}  // namespace
}  // namespace bench
