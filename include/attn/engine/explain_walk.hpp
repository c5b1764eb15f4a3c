// SPDX-License-Identifier: Apache-2.0
// Weights that are read and let go, tile by tile: what explanations of attention are made of.
//
//     block of queries -> the two numbers of its rows -> each tile: scores -> weights -> reader
//
// A reader takes a tile of weights in and keeps what it wants of it, so nothing of size n_q x n_k
// is stored (sparsemax and entmax15: the scores of one block). The walks, and so the weights to
// the last bit, are those of attention_weights; tiles that the masks empty are not visited.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/config.hpp>
#include <attn/engine/call_check.hpp>
#include <attn/engine/explain_readers.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/packed.hpp>
#include <attn/engine/parts.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Gives the weights of one block of queries to a reader.
template <class C, class Scratch, class Reader>
void read_block(const C& call, const Scratch& scratch, const QueryBlock& block,
                const Reader& reader, Index share) {
  using T = typename std::remove_cvref_t<decltype(call.in.q)>::Scalar;
  using Walk = TileWalk<T, std::remove_cvref_t<decltype(call.program)>, decltype(C::score)>;
  const Walk walk(call, scratch.walk, block);
  reader.start(block);
  gather_rows(walk, scratch);
  walk.for_each_tile([](Index, Index) {},
                     [&](const KeyTile& tile) {
                       walk.scores(tile, scratch.maximum);  // of which the maximum is not used
                       make_weights(walk, tile, scratch, Reader::hidden);
                       reader.take(block, tile, scratch.walk.s, share);
                     });
  reader.finish(block);
}

/// Gives all weights of a call to a reader: the queries of each head in `shares` parts, a task for
/// each. A reader that sums over queries has blocks by the sizes alone, so that the order of its
/// sums does not depend on the number of threads.
template <class T, class Program, class Executor, class Reader>
void read_weights(const Inputs<T>& in, const Program& program, const Executor& executor,
                  Workspace& workspace, const Reader& reader, Index shares = 0) {
  with_call(in, program, workspace, [&](auto call) {
    if constexpr (!Reader::sums_queries) {
      share_out(call, executor);
      shares = call.query_blocks();
    }
    const Index blocks = call.query_blocks();
    run_tasks(call, in.q.batches() * in.q.heads() * shares, executor, workspace,
              [&](const auto& scratch, Index task) {
                const Index head = task / shares, share = task % shares;
                for (Index k = share * blocks / shares; k < (share + 1) * blocks / shares; ++k) {
                  const QueryBlock block = call.block(head * blocks + k);
                  if (reader.reads(block)) read_block(call, scratch, block, reader, share);
                }
              });
  });
}

/// Where sums over the queries go, and the weights of the queries.
template <class A>
struct ColumnSums {
  TensorView<const A> row_weights;  ///< {batch, head, query, 1}
  TensorView<A> mass;               ///< {batch, head, key, 1}

  static constexpr bool sums_queries = true;

  ColumnSums of(const TokenRange& queries, const TokenRange& keys) const {
    return {cut_tokens(row_weights, queries), cut_tokens(mass, keys)};
  }
};

/// The same for sums over queries: up to 8 a head, by the number of queries alone, which are added
/// up in their order.
template <class T, class Program, class Executor, class A>
void read_weights(const Inputs<T>& in, const Program& program, const Executor& executor,
                  Workspace& workspace, const ColumnSums<A>& out) {
  constexpr Index share_queries = 1024, most_shares = 8;
  const Index shares = std::clamp<Index>(in.n_q() / share_queries, 1, most_shares);
  const Index batches = in.q.batches(), heads = in.q.heads(), n_k = in.n_k();
  const Index count = batches * heads * shares * n_k;
  A* const data = reinterpret_cast<A*>(workspace.sums(static_cast<std::size_t>(count) * sizeof(A)));
  std::fill_n(data, count, A(0));
  const ColumnReader<A> reader{out.row_weights, bhtd(data, batches, heads, shares, n_k)};
  read_weights(in, program, executor, workspace, reader, shares);
  for (Index b = 0; b < batches; ++b)
    for (Index h = 0; h < heads; ++h)
      for (Index j = 0; j < n_k; ++j) {
        A total(0);
        for (Index share = 0; share < shares; ++share) total += reader.sums(b, h, share, j);
        out.mass(b, h, j, 0) = total;
      }
}

/// {batch, head, token, 1} over a matrix with a column a head and batches stacked by rows.
template <class U>
TensorView<U> token_column_view(U* data, Index batches, Index heads, Index tokens) {
  return {data, {batches, heads, tokens, 1}, {tokens, batches * tokens, 1, 0}};
}

/// The rows that batches of tokens are stacked to.
template <class E>
Index all_tokens(const E& e) {
  if constexpr (TensorViewLike<E>)
    return e.batches() * e.tokens();
  else
    return e.rows();
}

/// A layer that relevance goes through must have the tokens that it has.
inline void check_layer(Index tokens, Index queries, Index keys) {
  if (queries != tokens || keys != tokens)
    raise_shape({"explain::Rollout: there are ", tokens, " tokens and a layer has ", queries,
                 " queries and ", keys,
                 " keys; rollout is for self-attention, where all are the "
                 "same tokens"});
}

inline void check_row_weights(const char* name, Index rows, Index cols, Index queries,
                              Index heads) {
  if (rows != queries || (cols != 1 && cols != heads))
    raise_shape({name, ": row_weights are ", size_text(rows, cols), " and must be ",
                 size_text(queries, 1), " or ", size_text(queries, heads),
                 "; each query has a weight, or one a head"});
}

/// The outputs of attention and their gradients.
template <class O, class DO>
consteval bool diagnose_outputs() {
  static_assert(is_array<O> && is_array<DO>,
                "attn::explain::head_importance: O and dO must be Eigen matrices or expressions "
                "(or TensorViews).");
  if constexpr (is_array<O> && is_array<DO>) {
    constexpr bool alike = TensorViewLike<O> == TensorViewLike<DO>;
    constexpr bool same = std::is_same_v<typename O::Scalar, typename DO::Scalar>;
    static_assert(alike, "attn: O and dO must both be matrices or both be TensorViews.");
    static_assert(
        same, "attn: O and dO have different scalar types. Cast one of them: dO.cast<float>().");
    return alike && same;
  } else {
    return false;
  }
}

/// f(O, dO) as views of one shape.
template <class O, class DO, class F>
void with_outputs(const char* name, const O& O_, const DO& dO_, const Heads& heads, F&& f) {
  using T = typename O::Scalar;
  if constexpr (TensorViewLike<O>) {
    const TensorView<const T> o(O_), d(dO_);
    if (heads.query != 1)
      raise_value({name, ": Heads{", Index(heads.query),
                   "} is given with TensorViews, which carry their heads in their shape; leave "
                   "Heads out"});
    if (o.shape != d.shape)
      raise_shape({name, ": O is {", o.batches(), ", ", o.heads(), ", ", o.tokens(), ", ",
                   o.features(), "} and dO {", d.batches(), ", ", d.heads(), ", ", d.tokens(), ", ",
                   d.features(), "}; the gradient of the output has the output's shape"});
    f(o, d);
  } else {
    const Index count = heads.query;
    if (O_.rows() != dO_.rows() || O_.cols() != dO_.cols())
      raise_shape({name, ": O is ", size_text(O_.rows(), O_.cols()), " and dO ",
                   size_text(dO_.rows(), dO_.cols()),
                   "; the gradient of the output has the output's shape"});
    if (count < 1) check_grouping(name, count, count);
    check_divides(name, "O", O_.cols(), count);
    const auto& o = in_memory(O_);
    const auto& d = in_memory(dO_);
    f(view_columns<const T>(o.data(), o, count), view_columns<const T>(d.data(), d, count));
  }
}

/// sum_i O_i . dO_i of one head.
template <class T>
double dot_of_head(const TensorView<const T>& o, const TensorView<const T>& d, Index b, Index h) {
  double total = 0;
  for (Index i = 0; i < o.tokens(); ++i)
    for (Index c = 0; c < o.features(); ++c)
      total += static_cast<double>(o(b, h, i, c)) * static_cast<double>(d(b, h, i, c));
  return total;
}

/// Checks a call that explains the weights of Q and K, and runs it with the reader that
/// make(inputs) gives.
template <class Q, class K, class Make, class... Parts>
void explain_call(const char* name, const Q& q, const K& k, Make&& make, Parts&... parts) {
  using T = typename Q::Scalar;
  StackScratch small;
  Workspace own(small);
  const auto explain = [&](Inputs<T> in) {
    in.v.shape[3] = 0;  // values are not read
    with_program<Accumulator<T>>(
        in.n_q(), in.n_k(),
        [&](const auto& program) {
          const auto& executor = part_of<role::executor>(default_executor, parts...);
          Workspace& workspace = workspace_of(own, parts...);
          check_inputs(name, in, program, parts...);
          check_part(executor, CallSizes{.name = name});
          const auto reader = make(in);
          if constexpr (is_packed<Parts...>)
            for_each_sequence(in, part_of<role::sequences>(nullptr, parts...), executor, workspace,
                              [&](const Sequence<T>& one, const auto& by, Workspace& scratch) {
                                read_weights(one.in, one.program(program), by, scratch,
                                             reader.of(one.queries, one.keys));
                              });
          else
            read_weights(in, program, executor, workspace, reader);
        },
        parts...);
  };
  with_inputs(name, q, k, k, explain, parts...);
}

/// sum_i r_i P_ij, n_k x heads with batches stacked by rows.
template <class Q, class K, class... Parts>
auto column_mass(const char* name, const MatrixX<Accumulator<typename Q::Scalar>>& row_weights,
                 const Q& q, const K& k, Parts&... parts) {
  using A = Accumulator<typename Q::Scalar>;
  MatrixX<A> mass;
  const auto make = [&](const auto& in) {
    const Index batches = in.q.batches(), heads = in.q.heads(), n_q = in.n_q();
    check_row_weights(name, row_weights.rows(), row_weights.cols(), batches * n_q, heads);
    auto rows = token_column_view(row_weights.data(), batches, heads, n_q);
    if (row_weights.cols() == 1) rows.strides[1] = 0;
    mass.resize(batches * in.n_k(), heads);
    return ColumnSums<A>{rows, token_column_view(mass.data(), batches, heads, in.n_k())};
  };
  explain_call(name, q, k, make, parts...);
  return mass;
}

}  // namespace engine
ATTN_END_NAMESPACE
