// SPDX-License-Identifier: Apache-2.0
// The definition: attention as the papers write it, with the whole matrix of scores, row by row.
//
//     S_ij = score(Q_i, K_j)              score function
//     S_ij = score_mod(S_ij, {b,h,i,j})   score modifiers, in order
//     S_ij = -inf where a mask says no    masks, asked pair by pair
//     P_i  = normalise(S_i)               normaliser
//     P_ij = prob_mod(P_ij, {b,h,i,j})    probability modifiers, in order
//     O_i  = sum_j P_ij V_j               over the keys that i sees
//
// It computes in any scalar S (double unless said), takes O(n_q n_k) memory and shares with the
// engine only the scalar rules of the parts: it is what every faster path is tested against.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <tuple>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/mask.hpp>
#include <attn/normalizer.hpp>
#include <attn/score.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace reference {

/// Everything a call computes; heads side by side in O's columns, stacked by rows in P.
template <class S>
struct Result {
  MatrixX<S> output;       ///< n_q x (heads d_v)
  MatrixX<S> log_sum_exp;  ///< n_q x heads
  MatrixX<S> weights;      ///< (heads n_q) x n_k
};

template <class S>
inline constexpr S hidden = -std::numeric_limits<S>::infinity();

/// log sum_j exp(s_j), -inf for a row that sees nothing.
template <class S>
S log_sum_exp(const RowVectorX<S>& s) {
  S most = hidden<S>;
  for (S x : s) most = most < x || x != x ? x : most;
  if (most == hidden<S>) return most;
  S sum(0);
  for (S x : s) sum += x == hidden<S> ? S(0) : std::exp(x - most);
  return most + std::log(sum);
}

/// softmax: exp(s_j) / (extra + sum_k exp(s_k)), with the largest exponent taken out of all.
template <class S>
RowVectorX<S> exponential(const RowVectorX<S>& s, S sink) {
  S most = sink;
  for (S x : s) most = most < x || x != x ? x : most;
  RowVectorX<S> p = RowVectorX<S>::Zero(s.size());
  S sum = sink == hidden<S> ? S(0) : std::exp(sink - most);
  for (Index j = 0; j < s.size(); ++j) {
    if (s(j) != hidden<S>) p(j) = std::exp(s(j) - most);
    sum += p(j);
  }
  if (sum != S(0)) p /= sum;
  return p;
}

template <class S>
RowVectorX<S> normalise(const Softmax&, const RowVectorX<S>& s, Index) {
  return exponential(s, hidden<S>);
}
template <class S>
RowVectorX<S> normalise(const SoftmaxWithSink& part, const RowVectorX<S>& s, Index head) {
  return exponential(s, static_cast<S>(part.logits(head)));
}
template <class S>
RowVectorX<S> normalise(const Sigmoid& part, const RowVectorX<S>& s, Index) {
  const S bias = static_cast<S>(double(part.bias));
  return s.unaryExpr([bias](S x) { return S(1) / (S(1) + std::exp(-(x + bias))); });
}

/// Visible scores in descending order, the largest moved to 0.
template <class S>
std::vector<S> sorted_scores(const RowVectorX<S>& s) {
  std::vector<S> z;
  for (S x : s)
    if (x != hidden<S>) z.push_back(x);
  std::sort(z.begin(), z.end(), std::greater<S>());
  for (std::size_t j = z.size(); j-- > 0;) z[j] -= z[0];
  return z;
}

/// Martins & Astudillo 2016, algorithm 1: the support is the longest prefix of the sorted scores in
/// which every score still lies above the threshold of that prefix.
template <class S>
RowVectorX<S> normalise(const Sparsemax&, const RowVectorX<S>& s, Index) {
  S sum(0), tau(0);
  const std::vector<S> z = sorted_scores(s);
  for (std::size_t k = 0; k < z.size(); ++k) {
    sum += z[k];
    if (S(1) + static_cast<S>(k + 1) * z[k] <= sum) break;
    tau = (sum - S(1)) / static_cast<S>(k + 1);
  }
  const S most = s.size() > 0 ? s.maxCoeff() : S(0);
  return s.unaryExpr([=](S x) { return x == hidden<S> ? S(0) : std::max(x - most - tau, S(0)); });
}

/// Peters et al. 2019, algorithm 2: as above with tau from the mean and variance of the prefix.
template <class S>
RowVectorX<S> normalise(const Entmax15&, const RowVectorX<S>& s, Index) {
  S sum(0), squares(0), tau(0);
  const std::vector<S> z = sorted_scores(s);
  for (std::size_t k = 0; k < z.size(); ++k) {
    const S half = z[k] / S(2), n = static_cast<S>(k + 1);
    sum += half;
    squares += half * half;
    const S mean = sum / n;
    const S inside = (S(1) - (squares - n * mean * mean)) / n;
    const S candidate = mean - std::sqrt(std::max(inside, S(0)));
    if (candidate > half) break;
    tau = candidate;
  }
  const S most = s.size() > 0 ? s.maxCoeff() : S(0);
  return s.unaryExpr([=](S x) {
    const S e = x == hidden<S> ? S(0) : std::max((x - most) / S(2) - tau, S(0));
    return e * e;
  });
}

/// The parts of a role, each given to f in order.
template <class Role, class F, class... Parts>
void for_each_part([[maybe_unused]] F&& f, const Parts&... parts) {
  [[maybe_unused]] const auto call = [&](const auto& part) {
    if constexpr (PartOf<decltype(part), Role>) f(part);
  };
  (call(parts), ...);
}

template <class Role, class F, class Default, class... Parts>
void with_part(const Default& fallback, F&& f, const Parts&... parts) {
  if constexpr ((false || ... || PartOf<Parts, Role>))
    for_each_part<Role>(f, parts...);
  else
    f(fallback);
}

/// One head: the matrices of one query head and the key-value head that it reads.
template <class S, class... Parts>
void attend_head(Position at, Extent extent, const MatrixX<S>& q, const MatrixX<S>& k,
                 const MatrixX<S>& v, Result<S>& result, const Parts&... parts) {
  PositionOffset offset;
  for_each_part<role::position_offset>([&](const PositionOffset& part) { offset = part; },
                                       parts...);
  for (Index i = 0; i < q.rows(); ++i) {
    RowVectorX<S> s(k.rows());
    const auto place = [&](Index j) {
      return Position{at.batch, at.head, i + offset.query, j + offset.key};
    };
    for (Index j = 0; j < k.rows(); ++j) {
      with_part<role::score_function>(
          ScaledDotProduct{},
          [&](const auto& score) {
            s(j) = score(RowVectorX<S>(q.row(i)), RowVectorX<S>(k.row(j)));
          },
          parts...);
      for_each_part<role::score_mod>(
          [&](const auto& mod) { s(j) = mod.apply(s(j), place(j), extent); }, parts...);
      for_each_part<role::mask>(
          [&](const auto& mask) {
            if (!mask.permits(place(j), extent)) s(j) = hidden<S>;
          },
          parts...);
    }
    RowVectorX<S> p;
    with_part<role::normalizer>(
        Softmax{}, [&](const auto& normalizer) { p = normalise(normalizer, s, at.head); },
        parts...);
    RowVectorX<S> o = RowVectorX<S>::Zero(v.cols());
    for (Index j = 0; j < k.rows(); ++j) {
      for_each_part<role::prob_mod>(
          [&](const auto& mod) { p(j) = mod.apply(p(j), place(j), extent); }, parts...);
      if (s(j) == hidden<S>) p(j) = S(0);
      if (s(j) != hidden<S>) o += p(j) * v.row(j);
    }
    result.output.row(i).segment(at.head * v.cols(), v.cols()) = o;
    result.weights.row(at.head * q.rows() + i) = p;
    result.log_sum_exp(i, at.head) = log_sum_exp(s);
  }
}

/// All heads of one batch.
template <class S, class Q, class K, class V, class... Parts>
Result<S> attend_batch(Index batch, const Q& q, const K& k, const V& v, const Parts&... parts) {
  Heads heads;
  Extent extent{q.rows(), k.rows()};
  for_each_part<role::heads>([&](const Heads& part) { heads = part; }, parts...);
  if (const KeyPadding* padding = engine::find_padding(parts...))
    extent.n_k = std::min(extent.n_k, padding->length(batch));
  const Index n = heads.query, groups = n / heads.key_value_heads();
  const Index d = q.cols() / n, d_k = k.cols() * groups / n, d_v = v.cols() * groups / n;
  Result<S> result{MatrixX<S>(q.rows(), n * d_v), MatrixX<S>(q.rows(), n),
                   MatrixX<S>(n * q.rows(), k.rows())};
  for (Index h = 0; h < n; ++h) {
    const Index c = h / groups;
    attend_head<S>({batch, h, 0, 0}, extent, q.middleCols(h * d, d).template cast<S>(),
                   k.middleCols(c * d_k, d_k).template cast<S>(),
                   v.middleCols(c * d_v, d_v).template cast<S>(), result, parts...);
  }
  return result;
}

/// All that attention computes, from matrices with heads side by side in the columns. Packed
/// sequences are attended to one by one.
template <class S = double, class Q, class K, class V, class... Parts>
Result<S> attend(const Q& q, const K& k, const V& v, const Parts&... parts) {
  if constexpr (!(false || ... || PartOf<Parts, role::sequences>))
    return attend_batch<S>(0, q, k, v, parts...);
  Result<S> whole;
  for_each_part<role::sequences>(
      [&](const auto& packed) {
        for (Index b = 0; b < packed.count(); ++b) {
          const auto queries = packed.queries(b), keys = packed.keys(b);
          const Result<S> one = attend_batch<S>(b, q.middleRows(queries.first, queries.count),
                                                k.middleRows(keys.first, keys.count),
                                                v.middleRows(keys.first, keys.count), parts...);
          if (b == 0)
            whole = {MatrixX<S>::Zero(q.rows(), one.output.cols()),
                     MatrixX<S>::Zero(q.rows(), one.log_sum_exp.cols()),
                     MatrixX<S>::Zero(one.log_sum_exp.cols() * q.rows(), k.rows())};
          whole.output.middleRows(queries.first, queries.count) = one.output;
          whole.log_sum_exp.middleRows(queries.first, queries.count) = one.log_sum_exp;
          for (Index h = 0; h < one.log_sum_exp.cols(); ++h)
            whole.weights.block(h * q.rows() + queries.first, keys.first, queries.count,
                                keys.count) =
                one.weights.middleRows(h * queries.count, queries.count);
        }
      },
      parts...);
  return whole;
}

}  // namespace reference
ATTN_END_NAMESPACE
