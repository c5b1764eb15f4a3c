// SPDX-License-Identifier: Apache-2.0
// The baseline: attention as one writes it in a few lines of Eigen, with all of S in memory.
//
//     textbook  P = exp(Q K^T / sqrt(d)), O = P V / row sums     (overflows beyond logits of 88)
//     row_max   the same with the maximum of each row taken out, as everybody should
//
// What attn is compared with is the faster of the two.
#pragma once

#include <cmath>
#include <limits>

#include <Eigen/Core>

namespace plain_eigen {

using Eigen::Index;
using Eigen::MatrixX;
using Eigen::VectorX;

/// Whether keys behind the query are hidden.
enum class Mask { none, causal };

/// The scores of matrices M, and what there is one of a row: of fixed sizes where those of M are.
template <class M>
using ScoresOf = Eigen::Matrix<typename M::Scalar, M::RowsAtCompileTime, M::RowsAtCompileTime>;
template <class M>
using ColumnOf = Eigen::Matrix<typename M::Scalar, M::RowsAtCompileTime, 1>;

template <class M>
typename M::Scalar scale_of(const M& Q) {
  using T = typename M::Scalar;
  return T(1) / std::sqrt(static_cast<T>(Q.cols()));
}

template <class M>
void hide_future(M& S) {
  using T = typename M::Scalar;
  S.template triangularView<Eigen::StrictlyUpper>().setConstant(
      -std::numeric_limits<T>::infinity());
}

template <class M>
M textbook(const M& Q, const M& K, const M& V, Mask mask = Mask::none) {
  ScoresOf<M> S = Q * K.transpose() * scale_of(Q);
  if (mask == Mask::causal) hide_future(S);
  S = S.array().exp();
  const ColumnOf<M> sums = S.rowwise().sum();
  return sums.cwiseInverse().asDiagonal() * (S * V);
}

/// P = softmax(Q K^T / sqrt(d)).
template <class T>
MatrixX<T> weights(const MatrixX<T>& Q, const MatrixX<T>& K, Mask mask = Mask::none) {
  MatrixX<T> S;
  S.noalias() = (Q * scale_of(Q)) * K.transpose();
  if (mask == Mask::causal) hide_future(S);
  const VectorX<T> most = S.rowwise().maxCoeff();
  S = (S.colwise() - most).array().exp();
  const VectorX<T> factors = S.rowwise().sum().cwiseInverse();
  S.array().colwise() *= factors.array();
  return S;
}

template <class M>
M row_max(const M& Q, const M& K, const M& V, Mask mask = Mask::none) {
  ScoresOf<M> S;
  S.noalias() = (Q * scale_of(Q)) * K.transpose();
  if (mask == Mask::causal) hide_future(S);
  const ColumnOf<M> most = S.rowwise().maxCoeff();
  S = (S.colwise() - most).array().exp();
  const ColumnOf<M> sums = S.rowwise().sum();
  return sums.cwiseInverse().asDiagonal() * (S * V);
}

template <class T>
struct Gradients {
  MatrixX<T> query, key, value;
};

/// P is kept from the forward pass, n_q x n_k numbers: four products, where attn needs five.
template <class T>
Gradients<T> backward(const MatrixX<T>& Q, const MatrixX<T>& K, const MatrixX<T>& V,
                      const MatrixX<T>& P, const MatrixX<T>& dO) {
  Gradients<T> gradients;
  gradients.value.noalias() = P.transpose() * dO;
  MatrixX<T> dS;
  dS.noalias() = dO * V.transpose();
  const VectorX<T> means = (P.array() * dS.array()).rowwise().sum();
  dS = P.array() * (dS.colwise() - means).array() * scale_of(Q);
  gradients.query.noalias() = dS * K;
  gradients.key.noalias() = dS.transpose() * Q;
  return gradients;
}

/// s_ij = v . tanh(Wq^T q_i + Wk^T k_j), softmax and the weighted mean; one query after the other,
/// so that no n_q x n_k x a tensor is needed.
template <class T>
MatrixX<T> additive(const MatrixX<T>& Q, const MatrixX<T>& K, const MatrixX<T>& V,
                    const MatrixX<T>& Wq, const MatrixX<T>& Wk, const VectorX<T>& v) {
  const MatrixX<T> queries = Q * Wq, keys = K * Wk;
  MatrixX<T> O(Q.rows(), V.cols());
  for (Index i = 0; i < Q.rows(); ++i) {
    const MatrixX<T> hidden = (keys.rowwise() + queries.row(i)).array().tanh();
    const VectorX<T> s = hidden * v;
    const VectorX<T> p = (s.array() - s.maxCoeff()).exp();
    O.row(i) = (p / p.sum()).transpose() * V;
  }
  return O;
}

}  // namespace plain_eigen
