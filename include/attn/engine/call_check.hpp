// SPDX-License-Identifier: Apache-2.0
// The checks of a call, before any arithmetic and before anything is written.
#pragma once

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/backward.hpp>
#include <attn/engine/overlap.hpp>
#include <attn/engine/parts.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/packed_sequences.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

inline void check_divides(const char* name, const char* matrix, Index cols, Index heads) {
  if (cols % heads != 0)
    raise_value({name, ": ", matrix, " has ", cols, " columns, which cannot be split into ", heads,
                 " heads; the head count must divide the columns"});
}

inline void check_grouping(const char* name, Index query_heads, Index key_heads) {
  if (query_heads < 1 || key_heads < 1)
    raise_value({name, ": there are ", query_heads, " query heads and ", key_heads,
                 " key-value heads; both must be 1 or more"});
  if (query_heads % key_heads != 0)
    raise_value({name, ": ", key_heads, " key-value heads do not divide ", query_heads,
                 " query heads; each key-value head serves the same number of query heads"});
}

inline void check_heads(const char* name, const Heads& heads, Index q, Index k, Index v) {
  check_grouping(name, heads.query, heads.key_value_heads());
  check_divides(name, "Q", q, heads.query);
  check_divides(name, "K", k, heads.key_value_heads());
  check_divides(name, "V", v, heads.key_value_heads());
}

/// How many batches the parts of a call see, and of how many queries and keys at most.
struct BatchSizes {
  Index count;
  Extent longest;
};

template <class T, class Tokens, class... Parts>
BatchSizes batch_sizes(const char* name, const Inputs<T, Tokens>& in, const Parts&... parts) {
  if constexpr (is_packed<Parts...>) {
    const CumulativeLengths& packed = part_of<role::sequences>(nullptr, parts...);
    packed.check_fits(name, in.q.batches(), in.n_q(), in.n_k());
    return {packed.count(), packed.longest()};
  } else {
    return {in.q.batches(), {in.n_q(), in.n_k()}};
  }
}

/// What Q, K and V, members of `x`, need to agree in, whatever is done with them.
template <class Views>
void check_tokens(const char* name, const Views& x) {
  if (x.k.batches() != x.q.batches() || x.v.batches() != x.q.batches())
    raise_shape({name, ": Q has ", x.q.batches(), " batches, K ", x.k.batches(), " and V ",
                 x.v.batches(), "; all three need the same number"});
  if (x.v.heads() != x.k.heads())
    raise_shape({name, ": K has ", x.k.heads(), " heads and V has ", x.v.heads(),
                 "; each key needs one value, so both need the same number"});
  check_grouping(name, x.q.heads(), x.k.heads());
}

inline void check_value_rows(const char* name, Index n_k, Index rows) {
  if (rows != n_k)
    raise_shape({name, ": V has ", rows, " rows and K has ", n_k,
                 "; each key needs one value, so both need the same number n_k"});
}

template <class T, class Tokens, class Program, class... Parts>
void check_inputs(const char* name, const Inputs<T, Tokens>& in, const Program& program,
                  const Parts&... parts) {
  constexpr bool is_chunk = count_of < role::position_offset, Parts... >> 0;
  check_tokens(name, in);
  const BatchSizes batch = batch_sizes(name, in, parts...);
  const Extent longest = batch.longest;
  if (is_chunk && (program.offset.query < 0 || program.offset.key < 0))
    raise_value({name, ": PositionOffset is {", Index(program.offset.query), ", ",
                 Index(program.offset.key), "}; positions are counted from 0"});
  program.check({.name = name,
                 .batches = batch.count,
                 .heads = in.q.heads(),
                 .n_q = longest.n_q,
                 .n_k = longest.n_k,
                 .d = in.q.features(),
                 .d_k = in.k.features(),
                 .query_end = longest.n_q + program.offset.query,
                 .key_end = longest.n_k + program.offset.key,
                 .is_chunk = is_chunk});
  check_value_rows(name, in.k.tokens(), in.v.tokens());
}

/// A view that is read or written must be {batches, heads, tokens, features}.
template <class U>
void check_shape(const char* name, const char* which, const TensorView<U>& view, Index batches,
                 Index heads, Index tokens, Index features, const char* rule) {
  const bool same_heads = view.batches() == batches && view.heads() == heads;
  if (same_heads && view.tokens() == tokens && view.features() == features) return;
  if (same_heads)
    raise_shape({name, ": ", which, " is ", size_text(view.tokens(), heads * view.features()),
                 " and must be ", size_text(tokens, heads * features), "; ", rule});
  raise_shape({name, ": ", which, " has ", view.batches(), " batches and ", view.heads(),
               " heads and must have ", batches, " and ", heads, "; ", rule});
}

/// What is written shares no memory with what else is read or written.
template <class U, class V>
void check_apart(const char* name, const char* which, const TensorView<U>& view,
                 const char* other_name, const V& other) {
  if (overlap(view, other))
    raise_value({name, ": ", which, " overlaps ", other_name,
                 " in memory; results need memory of their own"});
}

/// A result, where it is asked for.
template <class U>
void check_result_shape(const char* name, const char* which, const TensorView<U>& view,
                        Index batches, Index heads, Index tokens, Index features) {
  if (!view.data && view.size() == 0 && view.shape[0] == 0) return;
  check_shape(name, which, view, batches, heads, tokens, features, "a result is never resized");
}

template <class U, class T, class Tokens>
void check_apart_from_inputs(const char* name, const char* which, const TensorView<U>& view,
                             const Inputs<T, Tokens>& in) {
  check_apart(name, which, view, "Q", in.q);
  check_apart(name, which, view, "K", in.k);
  check_apart(name, which, view, "V", in.v);
}

/// An output, where it is asked for: of the right shape, and apart from the inputs.
template <class U, class T, class Tokens>
void check_view(const char* name, const char* which, const TensorView<U>& view, Index heads,
                Index tokens, Index features, const Inputs<T, Tokens>& in) {
  check_result_shape(name, which, view, in.q.batches(), heads, tokens, features);
  check_apart_from_inputs(name, which, view, in);
}

/// A gradient is apart from all that a backward call reads.
template <class T, class A>
void check_gradient_apart(const char* name, const char* which, const TensorView<T>& view,
                          const Inputs<T>& in, const BackwardViews<T, A>& views,
                          const char* statistic) {
  check_apart_from_inputs(name, which, view, in);
  check_apart(name, which, view, "the forward result's output", views.output);
  check_apart(name, which, view, statistic, views.log_sum_exp);
  check_apart(name, which, view, "dO", views.d_output);
}

/// Views are compared by name only where addresses tell that some share memory: small calls are as
/// fast as their checks.
template <class T, class A>
void check_gradients_apart(const char* name, const Inputs<T>& in, const BackwardViews<T, A>& views,
                           const char* statistic) {
  const ByteRange ranges[] = {byte_range(views.d_query), byte_range(views.d_key),
                              byte_range(views.d_value), byte_range(in.q),
                              byte_range(in.k),          byte_range(in.v),
                              byte_range(views.output),  byte_range(views.log_sum_exp),
                              byte_range(views.d_output)};
  if (!some_meet(ranges, 3)) return;
  check_gradient_apart(name, "dQ", views.d_query, in, views, statistic);
  check_gradient_apart(name, "dK", views.d_key, in, views, statistic);
  check_gradient_apart(name, "dV", views.d_value, in, views, statistic);
  check_apart(name, "dQ", views.d_query, "dK", views.d_key);
  check_apart(name, "dQ", views.d_query, "dV", views.d_value);
  check_apart(name, "dK", views.d_key, "dV", views.d_value);
}

/// `statistic`: what stands in place of L.
template <class T, class A>
void check_backward(const char* name, const Inputs<T>& in, const BackwardViews<T, A>& views,
                    const char* statistic = "the forward result's log_sum_exp") {
  const Index b = in.q.batches(), h = in.q.heads(), c = in.k.heads();
  const Index n_q = in.n_q(), n_k = in.n_k();
  const char* same = "it belongs to the forward call with the same Q, K and V";
  check_shape(name, "the forward result's output", views.output, b, h, n_q, in.v.features(), same);
  check_shape(name, statistic, views.log_sum_exp, b, h, n_q, 1, same);
  check_shape(name, "dO", views.d_output, b, h, n_q, in.v.features(),
              "the gradient of the output has the output's shape");
  check_result_shape(name, "dQ", views.d_query, b, h, n_q, in.q.features());
  check_result_shape(name, "dK", views.d_key, b, c, n_k, in.k.features());
  check_result_shape(name, "dV", views.d_value, b, c, n_k, in.v.features());
  check_gradients_apart(name, in, views, statistic);
}

}  // namespace engine
ATTN_END_NAMESPACE
