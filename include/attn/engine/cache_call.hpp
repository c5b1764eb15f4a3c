// SPDX-License-Identifier: Apache-2.0
// What the caches share in front of the engine: tokens that come in, queries that go against them.
//
//     keys, values (matrices or views) -> checked views        queries -> view, heads, output
#pragma once

#include <algorithm>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/cache_rows.hpp>
#include <attn/engine/cached_tokens.hpp>
#include <attn/engine/call_check.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/parts.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// What one token takes in a cache.
struct CacheShape {
  const char* name;  ///< of the cache
  Index batch;
  Index heads;
  Index head_dim;
  Index value_dim;
};

inline void check_cache_shape(const CacheShape& s) {
  if (s.batch < 1 || s.heads < 1 || s.head_dim < 1 || s.value_dim < 1)
    raise_value({s.name, ": batch is ", s.batch, ", num_kv_heads ", s.heads, ", head_dim ",
                 s.head_dim, " and value_dim ", s.value_dim, "; all must be 1 or more"});
}

/// Memory for so many tokens must have a size that can be counted.
inline void check_cache_memory(const CacheShape& s, Index tokens) {
  const double numbers = static_cast<double>(s.batch) * static_cast<double>(s.heads) *
                         static_cast<double>(tokens) *
                         static_cast<double>(std::max(s.head_dim, s.value_dim));
  if (numbers > 0x1p48)
    raise_value({s.name, ": ", tokens, " tokens of ", s.heads,
                 " heads are more than any memory "
                 "holds; the capacity is a number of tokens"});
}

template <class T, class S>
consteval bool diagnose_cache() {
  static_assert(Scalar<T>,
                "attn: a cache takes keys and values of float, double, Eigen::half or "
                "Eigen::bfloat16.");
  static_assert(Scalar<S> || is_quantised<S>,
                "attn: a cache stores float, double, Eigen::half, Eigen::bfloat16 or std::int8_t.");
  static_assert(sizeof(S) <= sizeof(T),
                "attn: a cache does not store numbers wider than those that it is given.");
  static_assert(!is_quantised<S> || std::is_same_v<Accumulator<T>, float>,
                "attn: a cache of std::int8_t is computed with in float; its scalar must be float, "
                "Eigen::half or Eigen::bfloat16.");
  return true;
}

/// A view of tokens, one head behind the other in the columns of a matrix.
template <class T, class E, class F>
void with_tokens(const char* which, const E& tokens, const CacheShape& shape, Index features,
                 F&& f) {
  static_assert(is_array<E>, "attn: keys and values are Eigen matrices, or TensorViews.");
  static_assert(std::is_same_v<typename E::Scalar, T>,
                "attn: keys and values have another scalar type than the cache. Cast them: "
                "K.cast<float>().");
  if constexpr (TensorViewLike<E>) {
    f(TensorView<const T>(tokens));
  } else {
    if (shape.batch != 1)
      raise_shape({shape.name, ": ", which, " is a matrix and the cache holds ", shape.batch,
                   " batches; give a TensorView {batch, head, token, feature}"});
    if (tokens.cols() != shape.heads * features)
      raise_shape({shape.name, ": ", which, " has ", tokens.cols(), " columns and the cache holds ",
                   shape.heads, " heads of ", features, " features; it needs ",
                   shape.heads * features, " columns, a row a token"});
    const auto& plain = in_memory(tokens);
    f(view_columns<const T>(plain.data(), plain, shape.heads));
  }
}

/// f(keys, values) with views of new tokens that fit the cache.
template <class T, class K, class V, class F>
void with_new_tokens(const K& K_, const V& V_, const CacheShape& shape, F&& f) {
  with_tokens<T>("K", K_, shape, shape.head_dim, [&](const TensorView<const T>& k) {
    with_tokens<T>("V", V_, shape, shape.value_dim, [&](const TensorView<const T>& v) {
      const char* rule = "the cache's options say so";
      check_shape(shape.name, "K", k, shape.batch, shape.heads, k.tokens(), shape.head_dim, rule);
      check_shape(shape.name, "V", v, shape.batch, shape.heads, k.tokens(), shape.value_dim,
                  "each key needs one value");
      f(k, v);
    });
  });
}

/// The inputs and parts of a call on a cache.
template <class T, class Q, class... Parts>
consteval bool diagnose_cache_call() {
  static_assert(is_array<Q>,
                "attn::attend: Q must be an Eigen matrix or expression (or a TensorView).");
  static_assert(count_of<role::position_offset, Parts...> == 0,
                "attn::attend: the cache knows the positions of its tokens. Leave PositionOffset "
                "out.");
  static_assert(count_of<role::sequences, Parts...> == 0,
                "attn::attend: the cache knows its sequences. Leave CumulativeLengths out.");
  if constexpr (is_array<Q>) {
    static_assert(!TensorViewLike<Q> || count_of<role::heads, Parts...> == 0,
                  "attn: TensorViews carry their heads in their shape. Leave Heads out.");
    static_assert(std::is_same_v<typename Q::Scalar, T>,
                  "attn::attend: Q has another scalar type than the cache. Cast it: "
                  "Q.cast<float>().");
    return diagnose_parts<T, Parts...>() && std::is_same_v<typename Q::Scalar, T>;
  } else {
    return false;
  }
}

/// f(view of the queries). Without Heads, a matrix has as many as its columns hold keys' features.
template <class T, class Q, class F, class... Parts>
void with_queries(const char* name, const Q& Q_, const CacheShape& cache, F&& f,
                  const Parts&... parts) {
  if constexpr (TensorViewLike<Q>) {
    f(TensorView<const T>(Q_));
  } else {
    const Heads given = part_of<role::heads>(Heads{.query = 0}, parts...);
    const Index heads =
        count_of<role::heads, Parts...> > 0 ? Index(given.query) : Q_.cols() / cache.head_dim;
    if (Index(given.key_value) != 0 && Index(given.key_value) != cache.heads)
      raise_value({name, ": Heads has ", Index(given.key_value), " key-value heads and the cache ",
                   cache.heads, "; leave them out, the cache knows them"});
    if (count_of<role::heads, Parts...> == 0 && heads * cache.head_dim != Q_.cols())
      raise_shape({name, ": Q has ", Q_.cols(), " columns and the cache's keys have ",
                   cache.head_dim, " features; give Heads{n}, or whole heads side by side"});
    check_grouping(name, heads, cache.heads);
    check_divides(name, "Q", Q_.cols(), heads);
    const auto& q = in_memory(Q_);
    f(view_columns<const T>(q.data(), q, heads));
  }
}

/// O for queries that are a matrix.
template <class Q>
using CachedOutputOf =
    ResultMatrix<typename Q::Scalar, Q::RowsAtCompileTime, Eigen::Dynamic, Q::IsRowMajor>;

/// run(queries, outputs) into a matrix of the right size, which is returned.
template <class Q, class F, class... Parts>
auto attend_matrix(const Q& Q_, const CacheShape& cache, F&& run, const Parts&... parts) {
  using T = typename Q::Scalar;
  CachedOutputOf<Q> output;
  with_queries<T>(
      "attend", Q_, cache,
      [&](const TensorView<const T>& q) {
        output.resize(q.tokens(), q.heads() * cache.value_dim);
        Outputs<T, Accumulator<T>> out;
        out.output = view_columns<T>(output.data(), output, q.heads());
        out.are_new = true;
        run(q, out);
      },
      parts...);
  return output;
}

/// run(queries, outputs) into memory of the caller's.
template <class O, class Q, class F, class... Parts>
void attend_given(O&& o, const Q& Q_, const CacheShape& cache, F&& run, const Parts&... parts) {
  using T = typename Q::Scalar;
  with_queries<T>(
      "attend_into", Q_, cache,
      [&](const TensorView<const T>& q) {
        with_output<T>("attend_into", o, q.heads(), [&](const auto& view) {
          run(q, Outputs<T, Accumulator<T>>{view, {}});
        });
      },
      parts...);
}

/// The queries are the newest tokens, so there cannot be more of them than tokens.
inline void check_newest(const char* name, Index n_q, Index size) {
  if (n_q > size)
    raise_shape({name, ": Q has ", n_q, " rows and the cache holds ", size,
                 " tokens; the queries are the newest tokens, whose keys and values are appended "
                 "first"});
}

}  // namespace engine
ATTN_END_NAMESPACE
