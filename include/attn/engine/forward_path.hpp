// SPDX-License-Identifier: Apache-2.0
// Which way a forward call goes: its parts allow some paths, and its sizes ask for one of them.
//
// run_forward takes the path that stands here, and attn::plan tells of it.
#pragma once

#include <type_traits>
#include <utility>

#include <attn/config.hpp>
#include <attn/engine/decode.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/score_tile.hpp>
#include <attn/engine/small.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/engine/tiny.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

enum class ForwardPath { loops, small, decoding, tiles };

/// What the engine runs for the score function of a program.
template <class Program>
using ScoreTileOf = decltype(bind_score<typename Program::Accumulator>(
    std::declval<const Program&>().score, Index(), std::declval<Arena&>()));

/// A factor times Q K^T, with nothing but masks between scores and weights, and weights and V.
template <class Program>
inline constexpr bool has_plain_products =
    ScoreTileOf<Program>::is_product && !ScoreTileOf<Program>::projects_queries &&
    !ScoreTileOf<Program>::projects_keys && Program::mod_count == 0 && Program::prob_count == 0;

/// What the parts allow besides tiles, which compute everything. Small heads: softmax of scaled
/// products, nothing between.
template <class T, class Tokens, class Program>
inline constexpr bool may_be_small = false;
template <class T, class Program>
inline constexpr bool may_be_small<T, TensorView<const T>, Program> =
    has_plain_products<Program> && !Program::has_masks &&
    Program::NormalizerPart::statistic == RowStatistic::sum_of_exp;
template <class T, class Tokens, class Program>
inline constexpr bool may_loop =
    may_be_small<T, Tokens, Program>&& std::is_same_v<T, typename Program::Accumulator>;
template <class Program>
inline constexpr bool may_decode = can_decode<Program, ScoreTileOf<Program>>;

/// Whether tiles need one walk over the keys: maximum, sum and output grow together.
template <class Program>
inline constexpr bool walks_once = (Program::NormalizerPart::statistic ==
                                    RowStatistic::sum_of_exp) &&
                                   (Program::probs_are_linear);

template <class Program, class T, class Tokens>
ForwardPath forward_path(const Inputs<T, Tokens>& in) {
  if constexpr (may_loop<T, Tokens, Program>)
    if (is_tiny(in)) return ForwardPath::loops;
  if constexpr (may_be_small<T, Tokens, Program>)
    if (is_small(in)) return ForwardPath::small;
  if constexpr (may_decode<Program>)
    if (decodes(in)) return ForwardPath::decoding;
  return ForwardPath::tiles;
}

}  // namespace engine
ATTN_END_NAMESPACE
