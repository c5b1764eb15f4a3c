// SPDX-License-Identifier: Apache-2.0
// Packed sequences: a batch of different lengths without padding, one sequence behind the other.
//
//     sequence b has the queries query_offsets[b] .. query_offsets[b + 1] - 1, and keys likewise
#pragma once

#include <algorithm>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Tokens first .. first+count-1.
struct TokenRange {
  Index first;
  Index count;
};

}  // namespace engine

/// Says that Q, K and V hold several sequences, which see only themselves.
///
///     attention(Q, K, V, CumulativeLengths{{0, 3, 7}, {0, 5, 9}})  // 3 queries on 5 keys, 4 on 4
///
/// Shapes     offsets: one more than there are sequences; the first is 0, the last n_q or n_k, and
///            none is less than the one before. Without key_offsets those of the queries hold.
///            TensorViews have one batch
/// Positions  a sequence is a batch to every part: at.batch is its number, at.query and at.key
///            count within it, bottom_right aligns to its own n_q and n_k. What has a number a
///            batch (KeyPadding) has one a sequence; what has n_q x n_k numbers (DenseBias,
///            DenseMask, Documents) has those of the longest n_q and the longest n_k
/// Weights    attention_weights has zeros between the sequences
/// Empty      a sequence without keys gives zeros; one without queries leaves its keys unseen
/// Cost       that of the sequences, one after the other; no memory and no threads for each
/// Throws     ShapeError, ValueError for offsets that are none, and for more than one batch
/// Threads    over the sequences, and within one that is a large share of the work; every result
///            but the gradients of parameters has the bits of a call for the sequence alone
/// Source     Dao 2023 (FlashAttention-2), calls of variable length
struct CumulativeLengths {
  using role = role::sequences;
  engine::Integers query_offsets{};
  engine::Integers key_offsets{};

  Index count() const { return query_offsets.size() - 1; }
  engine::TokenRange queries(Index b) const { return range(query_offsets, b); }
  engine::TokenRange keys(Index b) const { return range(offsets_of_keys(), b); }
  /// The most queries and keys that any sequence has.
  Extent longest() const {
    Extent most;
    for (Index b = 0; b < count(); ++b)
      most = {std::max(most.n_q, queries(b).count), std::max(most.n_k, keys(b).count)};
    return most;
  }

  /// Whether the offsets cut so many queries and keys into sequences.
  void check_fits(const char* name, Index batches, Index n_q, Index n_k) const {
    const engine::Integers& keys = offsets_of_keys();
    if (batches != 1)
      engine::raise_shape({name, ": CumulativeLengths and ", batches,
                           " batches are given together; packed sequences lie one behind the other "
                           "in one batch"});
    if (query_offsets.size() != keys.size())
      engine::raise_shape({name, ": CumulativeLengths has ", query_offsets.size(),
                           " query_offsets and ", keys.size(),
                           " key_offsets; both need one more than there are sequences"});
    check_offsets(name, "query_offsets", query_offsets, "Q", n_q);
    check_offsets(name, "key_offsets", keys, "K", n_k);
  }

 private:
  const engine::Integers& offsets_of_keys() const {
    return key_offsets.size() == 0 ? query_offsets : key_offsets;
  }
  static engine::TokenRange range(const engine::Integers& offsets, Index b) {
    return {offsets(b), offsets(b + 1) - offsets(b)};
  }
  static void check_offsets(const char* name, const char* which, const engine::Integers& offsets,
                            const char* matrix, Index tokens) {
    if (offsets.size() == 0)
      engine::raise_shape({name, ": CumulativeLengths has no ", which,
                           "; there is one more than there are sequences"});
    if (offsets(0) != 0)
      engine::raise_value({name, ": CumulativeLengths's ", which, " begin with ", offsets(0),
                           "; the first sequence begins at 0"});
    for (Index b = 1; b < offsets.size(); ++b)
      if (offsets(b) < offsets(b - 1))
        engine::raise_value({name, ": CumulativeLengths's ", which, " fall from ", offsets(b - 1),
                             " to ", offsets(b), "; no sequence ends before it begins"});
    const Index last = offsets(offsets.size() - 1);
    if (last != tokens)
      engine::raise_shape({name, ": CumulativeLengths's ", which, " end with ", last, " and ",
                           matrix, " has ", tokens,
                           " rows; the last offset is the number of all rows"});
  }
};

ATTN_END_NAMESPACE
