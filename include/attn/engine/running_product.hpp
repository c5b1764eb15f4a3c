// SPDX-License-Identifier: Apache-2.0
// A walk along tokens that keeps a running sum of outer products, which later tokens read:
//
//     out_t = sum_{s <= t} (reader_t . writer_s) value_s
//
// That is linear attention without decay, so it runs in its chunks. Kernel attention is made of
// such walks, forward and backward. Where tokens only write or only read, that is all that is done.
// Next: kernel_call.hpp.
#pragma once

#include <algorithm>

#include <attn/config.hpp>
#include <attn/engine/aligned_tokens.hpp>
#include <attn/engine/linear_chunk.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/recurrence.hpp>
#include <attn/engine/row_product.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Memory of a walk with readers and writers of up to `width` numbers and values of up to `width`.
template <class A>
class RunningProduct {
 public:
  RunningProduct(Arena& arena, Index group, Index width)
      : readers_(arena.take<A>(walk_tokens * group * width)),
        writers_(arena.take<A>(walk_tokens * width)),
        values_(arena.take<A>(walk_tokens * padded<A>(width))),
        out_(arena.take<A>((walk_tokens * group + key_group) * padded<A>(width))),
        state_(arena.take<A>(grouped(width) * padded<A>(width))),
        chunk_(arena, walk_tokens, group, width, width, false, false) {}

  /// Begins a walk with nothing written.
  void start(Index group, Index width, Index columns) {
    group_ = group;
    width_ = width;
    columns_ = columns;
    std::fill_n(state_, grouped(width) * stride(), A(0));
  }
  Rows<A> readers(Index head) const { return {readers_ + head * width_, group_ * width_}; }
  Rows<A> writers() const { return {writers_, width_}; }
  Rows<A> values() const { return {values_, stride()}; }
  Rows<A> out(Index head) const { return {out_ + head * stride(), group_ * stride()}; }

  void step(Index count, TokenKind kind) const {
    clear_padding(values(), count, columns_);
    const Rows<A> state{state_, stride()};
    if (kind == TokenKind::write)
      return multiply_rows<true, A>(Operand<A>(writers_, width_, count, width_, false),
                                    {values_, stride()}, columns_, state);
    if (kind == TokenKind::read)
      return multiply_rows<false, A>(Operand<A>(readers_, count * group_, width_, width_, true),
                                     {state_, stride()}, columns_, {out_, stride()});
    run_chunks(TokenBlock<A>{.count = count,
                             .group = group_,
                             .d_k = width_,
                             .d_v = columns_,
                             .q = readers_,
                             .k = writers_,
                             .v = values_,
                             .factor = nullptr,
                             .beta = nullptr,
                             .out = out_,
                             .v_stride = stride(),
                             .factors = 0},
               state, chunk_);
  }

 private:
  Index stride() const { return padded<A>(columns_); }

  A* readers_;  ///< [token][head][width]
  A* writers_;  ///< [token][width]
  A* values_;   ///< [token][columns], rows of whole packs
  A* out_;      ///< [token][head][columns], rows of whole packs
  A* state_;
  ChunkScratch<A> chunk_;
  Index group_ = 1;
  Index width_ = 0;
  Index columns_ = 0;
};

}  // namespace engine
ATTN_END_NAMESPACE
