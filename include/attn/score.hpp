// SPDX-License-Identifier: Apache-2.0
// Score functions: how well query i and key j go together, before anything else happens to it.
//
//     dot      s = q.k                        additive  s = v . tanh(Wq^T q + Wk^T k + b)
//     scaled   s = q.k / sqrt(d)              cosine    s = q.k / (|q| |k|)
//     bilinear s = q^T W k                    or a function of the user's own
//
// Here stands the scalar rule `operator()(q, k)` of each; whole tiles are computed in
// engine/score_tile.hpp.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The rule of every score function that multiplies q and k feature by feature.
inline void check_same_features(const CallSizes& call) {
  if (call.d == call.d_k) return;
  const std::string hint =
      call.n_k == call.d ? ". K is " + size_text(call.n_k, call.d_k) + ": transposed?" : "";
  raise_shape({call.name, ": K has ", call.d_k, " columns and Q has ", call.d,
               "; both need the same feature size d", hint});
}

/// "Additive: Wq is 3 x 4, ..." where a matrix of a part does not have the size it needs.
inline void check_size(const CallSizes& call, const char* matrix, Index rows, Index cols,
                       Index needed_rows, Index needed_cols, const char* rule) {
  if (rows != needed_rows || cols != needed_cols)
    raise_shape({call.name, ": ", matrix, " is ", size_text(rows, cols), " and must be ",
                 size_text(needed_rows, needed_cols), "; ", rule});
}

}  // namespace engine

/// s = q.k, unscaled.  Source: Luong et al. 2015, "dot".
struct DotProduct {
  using role = role::score_function;

  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    return q.dot(k);
  }
  template <class A>
  using Gradient = NoGradient;
  void check(const engine::CallSizes& call) const { engine::check_same_features(call); }
};

/// s = scale * q.k; the scale is 1/sqrt(d) where none is given, with d of one head.
/// Source: Vaswani et al. 2017, eq. 1.
struct ScaledDotProduct {
  using role = role::score_function;
  std::optional<double> scale{};

  double scale_for(Index d) const {
    return scale ? *scale : (d > 0 ? 1.0 / std::sqrt(static_cast<double>(d)) : 1.0);
  }
  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    return q.dot(k) * static_cast<typename Q::Scalar>(scale_for(q.size()));
  }
  template <class A>
  struct Gradient {
    A scale = A(0);
    auto members() { return std::tie(scale); }
  };
  void check(const engine::CallSizes& call) const { engine::check_same_features(call); }
};

/// s = scale * q.k / (|q| |k|), 0 where a norm is 0.  Source: Graves et al. 2014, eq. 6.
struct CosineSimilarity {
  using role = role::score_function;
  Real scale = 1.0;

  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    using S = typename Q::Scalar;
    const S norms = q.norm() * k.norm();
    return norms == S(0) ? S(0) : S(static_cast<S>(double(scale)) * q.dot(k) / norms);
  }
  template <class A>
  struct Gradient {
    A scale = A(0);
    auto members() { return std::tie(scale); }
  };
  void check(const engine::CallSizes& call) const { engine::check_same_features(call); }
};

/// s = q^T W k.  Shapes W d x d_k.  Source: Luong et al. 2015, "general".
template <class T>
struct Bilinear {
  using role = role::score_function;
  using Scalar = T;
  engine::Parameter<T> W;

  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    using S = typename Q::Scalar;
    return (q * W.matrix().template cast<S>()).dot(k);
  }
  template <class A>
  struct Gradient {
    MatrixX<A> W;
    auto members() { return std::tie(W); }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    return {MatrixX<A>::Zero(W.rows(), W.cols())};
  }
  void check(const engine::CallSizes& call) const {
    engine::check_size(call, "Bilinear's W", W.rows(), W.cols(), call.d, call.d_k,
                       "W is d x d_k, the feature sizes of Q and K");
  }
};
template <class M>
Bilinear(const M&) -> Bilinear<typename M::Scalar>;

/// s = v . tanh(Wq^T q + Wk^T k + b).
///
/// Shapes  Wq d x a, Wk d_k x a, v and b of size a; K may be wider or narrower than Q
/// Source  Bahdanau et al. 2015, appendix A.1.2
template <class T>
struct Additive {
  using role = role::score_function;
  using Scalar = T;
  engine::Parameter<T> Wq;
  engine::Parameter<T> Wk;
  engine::Parameter<T> v;
  engine::Parameter<T> b{};  ///< empty: no bias

  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    using S = typename Q::Scalar;
    using std::tanh;
    const RowVectorX<S> from_q = q * Wq.matrix().template cast<S>();
    const RowVectorX<S> from_k = k * Wk.matrix().template cast<S>();
    S s(0);
    for (Index c = 0; c < v.size(); ++c) {
      const S shift = b.size() == 0 ? S(0) : static_cast<S>(b(c));
      s += static_cast<S>(v(c)) * tanh(from_q(c) + from_k(c) + shift);
    }
    return s;
  }
  template <class A>
  struct Gradient {
    MatrixX<A> Wq;
    MatrixX<A> Wk;
    VectorX<A> v;
    VectorX<A> b;  ///< empty where the part has no b
    auto members() { return std::tie(Wq, Wk, v, b); }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    return {MatrixX<A>::Zero(Wq.rows(), Wq.cols()), MatrixX<A>::Zero(Wk.rows(), Wk.cols()),
            VectorX<A>::Zero(v.size()), VectorX<A>::Zero(b.size())};
  }
  void check(const engine::CallSizes& call) const {
    const Index a = v.size();
    if (v.rows() != 1 && v.cols() != 1)
      engine::raise_shape({call.name, ": Additive's v is ", engine::size_text(v.rows(), v.cols()),
                           " and must be a vector of size a"});
    const char* rule = "Wq is d x a and Wk d_k x a, with v of size a";
    engine::check_size(call, "Additive's Wq", Wq.rows(), Wq.cols(), call.d, a, rule);
    engine::check_size(call, "Additive's Wk", Wk.rows(), Wk.cols(), call.d_k, a, rule);
    if (b.size() != 0 && b.size() != a)
      engine::raise_shape({call.name, ": Additive's b has ", b.size(), " numbers and v has ", a,
                           "; both need the size a"});
  }
};
template <class M, class N, class O>
Additive(const M&, const N&, const O&) -> Additive<typename M::Scalar>;
template <class M, class N, class O, class P>
Additive(const M&, const N&, const O&, const P&) -> Additive<typename M::Scalar>;

/// s = f(q_row, k_row), any callable on two row expressions that returns a number. Backward calls
/// it with rows of dual numbers (2 d calls a pair), so f must be generic in the rows.
template <class F>
struct ScoreFunction {
  using role = role::score_function;
  F f;

  template <class Q, class K>
  typename Q::Scalar operator()(const Q& q, const K& k) const {
    return f(q, k);
  }
  template <class A>
  using Gradient = NoGradient;
};

/// A score function of the user's own.
template <class F>
ScoreFunction<std::decay_t<F>> score_function(F&& f) {
  return {std::forward<F>(f)};
}

ATTN_END_NAMESPACE
