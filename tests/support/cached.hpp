// SPDX-License-Identifier: Apache-2.0
// What the tests of caches share: sequences, what storage types make of their numbers, and pieces.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "compare.hpp"
#include "errors.hpp"
#include "problem.hpp"

namespace support {

using attn::Index;
using attn::MatrixX;

/// A number as std::int8_t with one scale for `features` neighbours in a row holds it.
inline MatrixXd quantised(const MatrixXd& x, Index features) {
  MatrixXd rounded(x.rows(), x.cols());
  for (Index i = 0; i < x.rows(); ++i)
    for (Index first = 0; first < x.cols(); first += features) {
      const auto row = x.block(i, first, 1, features);
      const double scale = double(float(row.cwiseAbs().maxCoeff()) / 127.0F);
      for (Index k = 0; k < features; ++k)
        rounded(i, first + k) = scale == 0 ? 0 : std::round(row(0, k) / scale) * scale;
    }
  return rounded;
}

/// What a storage type makes of numbers, in double.
template <class S, class T>
MatrixXd stored(const MatrixX<T>& x, Index features) {
  if constexpr (std::is_same_v<S, std::int8_t>)
    return quantised(x.template cast<double>(), features);
  else
    return x.template cast<S>().template cast<double>();
}

/// Queries, keys and values of a sequence in T, with grouped heads side by side.
template <class T>
struct Sequence {
  Case c;
  MatrixX<T> Q, K, V;

  explicit Sequence(const Case& sizes) : c(sizes) {
    const Problem<double> p(c);
    Q = p.Q.template cast<T>(), K = p.K.template cast<T>(), V = p.V.template cast<T>();
  }
  attn::Heads heads() const { return {.query = c.heads, .key_value = c.key_heads}; }

  /// The definition over all tokens, with K and V as the storage type holds them.
  template <class S, class... Parts>
  MatrixXd whole(const Parts&... parts) const {
    return attn::reference::attend(MatrixXd(Q.template cast<double>()), stored<S>(K, c.d),
                                   stored<S>(V, c.d_v), heads(), parts...)
        .output;
  }
};

/// 70 tokens: more of them than a panel of queries, one by one, a few, many again.
inline constexpr Case usual{.n_q = 70, .n_k = 70, .d = 24, .d_v = 20, .heads = 4, .key_heads = 2};
inline constexpr Index usual_pieces[] = {40, 1, 1, 5, 1, 17, 2, 1, 2};

/// f(first, count) for every piece of the usual sequence.
template <class F>
void for_each_piece(F&& f) {
  Index first = 0;
  for (const Index count : usual_pieces) f(first, count), first += count;
}

/// What the results of T in this order of summation may be off by; values are below 1.
template <class T>
constexpr double rounding() {
  return std::is_same_v<T, double> ? 1e-14 : std::is_same_v<T, float> ? 4e-6 : 1e-3;
}

}  // namespace support
