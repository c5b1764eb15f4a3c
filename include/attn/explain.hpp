// SPDX-License-Identifier: Apache-2.0
// Explaining attention: which keys a query looked at, how sharply, which keys were looked at most,
// which heads mattered, and what reached the output through several layers.
//
//     top_k    the k keys of most weight a query    column_mass      sum_i P_ij a key
//     entropy  -sum_j P_ij log P_ij a query         head_importance  |sum_i O_i . dO_i| a head
//     Rollout  what every input token gave to the output of several layers
//
// All of them stream: the weights P are made a tile at a time as attention_weights makes them, to
// the last bit, and let go again, so memory stays linear in n_q and n_k.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/explain_walk.hpp>
#include <attn/engine/front.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

/// Explanations of attention. Its functions take Q, K and the parts of the call that they explain,
/// in any order: those of attention(Q, K, V, parts...), Threads and Workspace& included.
///
/// Shapes      Q, K as in attention: expressions, with Heads in their columns, or TensorViews.
///             Results are matrices in the accumulator type. Batches are stacked by rows
/// Weights     P as attention_weights gives them, after the probability modifiers
/// Empty rows  a query that may see no key: no keys, entropy 0, adds nothing to column_mass
/// Non-finite  NaN at a visible position reaches what is said of that query, and every key that it
///             sees in column_mass; a masked one nothing
/// Cost        4 n_q n_k d flops over visible tiles (scores twice: first the sums of the rows, then
///             their weights); memory linear in n_q and n_k (sparsemax and entmax15: the scores of
///             one block of queries)
/// Throws      ShapeError, ValueError before any arithmetic; std::bad_alloc
/// Threads     same bits for any number of threads
/// Example     examples/explain.cpp
namespace explain {

/// The keys of most weight, a row a query.
template <class A>
struct TopKeys {
  template <class T>
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  Rows<Index> keys;  ///< (batches heads n_q) x k rows of K, most weight first; -1: no further key
  Rows<A> weights;   ///< theirs; 0 where there is no key
};

/// The k keys that every query gives most weight to.
///
/// Shapes  (heads n_q) x k: rows h n_q .. (h + 1) n_q - 1 are head h's, as in attention_weights
/// Keys    rows of K, permitted ones alone: -1 stands where fewer than k are. One that is permitted
///         counts even where its weight is 0 (sparsemax, dropout)
/// Ties    the lower key first; NaN comes before every number
/// Throws  ValueError for k < 1, and what attention throws
template <class Q, class K, class... Parts>
auto top_k(const Q& q, const K& k, Integer count, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>();
  if constexpr (valid) {
    using A = Accumulator<typename Q::Scalar>;
    const Index n = count;
    if (n < 1) engine::raise_value({"explain::top_k: k is ", n, "; it must be 1 or more"});
    TopKeys<A> top;
    engine::explain_call(
        "explain::top_k", q, k,
        [&](const auto& in) {
          const Index batches = in.q.batches(), heads = in.q.heads(), n_q = in.n_q();
          top.keys.resize(batches * heads * n_q, n);
          top.weights.resize(batches * heads * n_q, n);
          return engine::TopKeysReader<A>{bhtd(top.keys.data(), batches, heads, n_q, n),
                                          bhtd(top.weights.data(), batches, heads, n_q, n)};
        },
        parts...);
    return top;
  }
}

/// How evenly every query spreads its weight, in nats: 0 for one key, log n for n equal ones.
///
///     H_i = -sum_j P_ij log P_ij,  0 log 0 = 0
///
/// Shapes    n_q x heads
/// Unnormal  P is taken as it is: the share of a sink counts as no key, and where weights do not
///           sum to 1 (sigmoid, dropout) neither do these
/// Source    Shannon 1948, section 6
template <class Q, class K, class... Parts>
auto entropy(const Q& q, const K& k, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>();
  if constexpr (valid) {
    using A = Accumulator<typename Q::Scalar>;
    MatrixX<A> result;
    engine::explain_call(
        "explain::entropy", q, k,
        [&](const auto& in) {
          result.resize(in.q.batches() * in.n_q(), in.q.heads());
          return engine::EntropyReader<A>{
              engine::token_column_view(result.data(), in.q.batches(), in.q.heads(), in.n_q())};
        },
        parts...);
    return result;
  }
}

/// How much weight every key gets, over all queries, each of which counts with a weight r_i.
///
///     m_j = sum_i r_i P_ij
///
/// Shapes   n_k x heads (query heads); row_weights n_q x 1, or n_q x heads, of any scalar type
/// Zeros    a query of weight 0 adds nothing, whatever its P holds, and blocks of such queries cost
///          nothing
/// Memory   besides, for n_q of 2048 and above, 2 to 8 sums a key and head
template <class R, class Q, class K, class... Parts>
auto weighted_column_mass(const Eigen::MatrixBase<R>& row_weights, const Q& q, const K& k,
                          Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>();
  if constexpr (valid)
    return engine::column_mass("explain::weighted_column_mass",
                               row_weights.template cast<Accumulator<typename Q::Scalar>>(), q, k,
                               parts...);
}

/// The same with every query counted once: m_j = sum_i P_ij.
template <class Q, class K, class... Parts>
auto column_mass(const Q& q, const K& k, Parts&&... parts) {
  constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>();
  if constexpr (valid)
    return engine::column_mass(
        "explain::column_mass",
        MatrixX<Accumulator<typename Q::Scalar>>::Ones(engine::all_tokens(q), 1), q, k, parts...);
}

/// How much the loss depends on every head: gradient x attention.
///
///     I_h = |sum_ij P_ij dL/dP_ij| = |sum_i O_i . dO_i|
///
/// Both sides are the derivative of the loss by a factor in front of the head, at 1. They are equal
/// because O_i = sum_j P_ij V_j gives dL/dP_ij = dO_i . V_j, so no weight needs to be known: O and
/// dO = dL/dO are enough, whatever the parts were.
///
/// Shapes  O, dO n_q x (heads d_v), or TensorViews, whose batches are examples: the mean of their
///         |...| is returned. A number a head
/// Scale   that of the loss; to compare layers divide by the norm of a layer's numbers, as the
///         source does: head_importance(O, dO, Heads{8}).normalized()
/// Throws  ShapeError where O and dO differ in size, ValueError where the heads do not divide them
/// Source  Michel et al. 2019, eq. 2 and section 2.3
template <class O, class DO>
auto head_importance(const O& output, const DO& d_output, Heads heads = {}) {
  constexpr bool valid = engine::diagnose_outputs<O, DO>();
  if constexpr (valid) {
    using A = Accumulator<typename O::Scalar>;
    VectorX<A> importance;
    engine::with_outputs(
        "explain::head_importance", output, d_output, heads, [&](const auto& o, const auto& d) {
          importance = VectorX<A>::Zero(o.heads());
          for (Index h = 0; h < o.heads(); ++h)
            for (Index b = 0; b < o.batches(); ++b)
              importance(h) +=
                  static_cast<A>(std::abs(engine::dot_of_head(o, d, b, h)) / double(o.batches()));
        });
    return importance;
  }
}

/// How much of the output comes from where.
struct RolloutOptions {
  Real residual = 0.5;  ///< the share of a layer's output that comes past its attention, 0 to 1
};

/// Attention rollout: the relevance of every input token for the output of several layers of
/// self-attention, followed from the last layer down.
///
///     r <- residual r + (1 - residual) mean_h (r P_h),  layer by layer
///
/// which is r A_L ... A_1 with A = residual I + (1 - residual) mean_h P_h: a weighted column mass a
/// layer, never a matrix.
///
///     attn::explain::Rollout rollout = attn::explain::Rollout::of_token(n - 1, n);
///     for (const auto& layer : layers | std::views::reverse)   // the last layer first
///       rollout.layer(layer.Q, layer.K, attn::Heads{8}, attn::Causal{});
///     rollout.relevance();                                     // n numbers, of the input tokens
///
/// Shapes  n numbers; batches are stacked: batches * n numbers for TensorViews
/// Sum     1 as in the beginning, less what a sink takes and what queries without keys lose
/// Throws  ShapeError where a layer has another number of tokens; ValueError for a residual outside
///         [0, 1] and for a token that there is not
/// Source  Abnar & Zuidema 2020, section 3, eq. 1 (where residual is 1/2)
class Rollout {
 public:
  /// Begins with a weight for every token of the last layer's output.
  explicit Rollout(VectorX<double> token_weights, RolloutOptions options = {})
      : relevance_(std::move(token_weights)), residual_(options.residual) {
    if (!(residual_ >= 0 && residual_ <= 1))
      engine::raise_value(
          {"explain::Rollout: residual is ", residual_, "; it must be between 0 and 1"});
  }
  /// All n tokens alike.
  static Rollout of_every_token(Integer n, RolloutOptions options = {}) {
    const Index count = std::max<Index>(n, 0);
    return Rollout(VectorX<double>::Constant(count, 1.0 / double(std::max<Index>(count, 1))),
                   options);
  }
  /// One of n tokens: the one that is classified, or the last one of a decoder.
  static Rollout of_token(Integer token, Integer n, RolloutOptions options = {}) {
    const Index i = token, count = n;
    if (i < 0 || i >= count)
      engine::raise_value({"explain::Rollout: token ", i, " of ", count,
                           " is asked for; tokens are counted from 0"});
    VectorX<double> weights = VectorX<double>::Zero(count);
    weights(i) = 1;
    return Rollout(std::move(weights), options);
  }

  /// Goes through one layer, from its output to its input.
  template <class Q, class K, class... Parts>
  Rollout& layer(const Q& q, const K& k, Parts&&... parts) {
    constexpr bool valid = engine::diagnose_call<Q, K, K, Parts...>();
    if constexpr (valid) {
      engine::check_layer(relevance_.size(), engine::all_tokens(q), engine::all_tokens(k));
      const auto mass = engine::column_mass(
          "explain::Rollout", relevance_.template cast<Accumulator<typename Q::Scalar>>(), q, k,
          parts...);
      relevance_ =
          residual_ * relevance_ + (1 - residual_) * mass.template cast<double>().rowwise().mean();
    }
    return *this;
  }

  /// Of every token at the input of the layers gone through so far.
  const VectorX<double>& relevance() const { return relevance_; }

 private:
  VectorX<double> relevance_;
  double residual_;
};

}  // namespace explain
ATTN_END_NAMESPACE
