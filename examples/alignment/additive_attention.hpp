// SPDX-License-Identifier: Apache-2.0
// Additive attention of the decoder's states (queries) to those of the encoder (keys and values),
// for a batch of sequences at once: the library's, forward and backward.
//
//     score(s_i, e_j) = v . tanh(Wq^T s_i + Wk^T e_j + b),   c_i = sum_j softmax_j(score) e_j
//
// States are ordered by time (row t B + b), which a TensorView says by its strides.
//
// Source: Bahdanau, Cho and Bengio 2015, eq. 5 and 6 and appendix A.1.2.
#pragma once

#include <attn/attn.hpp>
#include <cmath>
#include <string>
#include <type_traits>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"

namespace examples {

template <typename T>
class AdditiveAttention {
 public:
  /// What backward needs, and the contexts: one a query.
  struct Forward {
    std::vector<Index> lengths;
    MatrixOf<T> queries;
    MatrixOf<T> keys;
    MatrixOf<T> log_sum_exp;  // B x Ty
    MatrixOf<T> contexts;
  };
  struct Gradient {
    MatrixOf<T> queries;
    MatrixOf<T> keys;
  };
  /// Contexts of one step of every sequence, and what they are made of.
  struct Weighted {
    MatrixOf<T> contexts;
    MatrixOf<T> weights;  // B x Tx
  };

  AdditiveAttention(Index features, Random& random)
      : Wq_(random_matrix(features, features, random)),
        Wk_(random_matrix(features, features, random)),
        v_(random_matrix(features, 1, random)),
        b_(MatrixOf<T>::Zero(features, 1)),
        gradient_(score().template zero_gradient<T>()) {}

  /// `keys` has Tx B rows for the B sequences of `lengths`, `queries` Ty B.
  Forward forward(const MatrixOf<T>& queries, const MatrixOf<T>& keys,
                  const std::vector<Index>& lengths) const {
    const auto batch = static_cast<Index>(lengths.size());
    Forward f{lengths, queries, keys, {}, MatrixOf<T>(queries.rows(), keys.cols())};
    f.log_sum_exp.resize(batch, queries.rows() / batch);
    attn::attention_forward_into(view(f.contexts, batch), log_sum_exp_view(f),
                                 view(f.queries, batch), view(f.keys, batch), view(f.keys, batch),
                                 score(), attn::KeyPadding{lengths});
    return f;
  }

  /// One query a sequence.
  Weighted attend(const MatrixOf<T>& queries, const MatrixOf<T>& keys,
                  const std::vector<Index>& lengths) const {
    const Index batch = queries.rows();
    const Index n_k = keys.rows() / batch;
    Weighted result{MatrixOf<T>(batch, keys.cols()), MatrixOf<T>(batch, n_k)};
    attn::attention_with_weights_into(
        view(result.contexts, batch),
        attn::bhtd(result.weights.data(), batch, Index{1}, Index{1}, n_k), view(queries, batch),
        view(keys, batch), view(keys, batch), score(), attn::KeyPadding{lengths});
    return result;
  }

  /// Overwrites the parameters' gradients.
  Gradient backward(Forward& f, const MatrixOf<T>& d_contexts) {
    const auto batch = static_cast<Index>(f.lengths.size());
    Gradient d{MatrixOf<T>(f.queries.rows(), f.queries.cols()),
               MatrixOf<T>(f.keys.rows(), f.keys.cols())};
    MatrixOf<T> d_values(f.keys.rows(), f.keys.cols());
    const auto parts = attn::attention_backward_into(
        view(d.queries, batch), view(d.keys, batch), view(d_values, batch), view(f.queries, batch),
        view(f.keys, batch), view(f.keys, batch), view(f.contexts, batch), log_sum_exp_view(f),
        view(d_contexts, batch), score(), attn::KeyPadding{f.lengths});
    gradient_ = parts.template of<attn::Additive>();
    d.keys += d_values;  // they are the values as well
    return d;
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    parameters.push_back(parameter(prefix + ".Wq", Wq_, gradient_.Wq));
    parameters.push_back(parameter(prefix + ".Wk", Wk_, gradient_.Wk));
    parameters.push_back(parameter(prefix + ".v", v_, gradient_.v));
    parameters.push_back(parameter(prefix + ".b", b_, gradient_.b));
  }

 private:
  // The library gives gradients column by column; values in the same order, so that a flat view of
  // both pairs them up.
  using Weights = Eigen::MatrixX<T>;

  static Weights random_matrix(Index rows, Index columns, Random& random) {
    return random.normal_matrix(rows, columns, 1 / std::sqrt(static_cast<float>(rows)))
        .template cast<T>();
  }

  attn::Additive<T> score() const {
    using Map = Eigen::Map<const Weights>;
    const auto map = [](const Weights& M) { return Map(M.data(), M.rows(), M.cols()); };
    return attn::Additive{map(Wq_), map(Wk_), map(v_), map(b_)};
  }

  /// Sequence b, one head, step t: row t B + b.
  template <typename M>
  static auto view(M& matrix, Index batch)
      -> attn::TensorView<std::remove_pointer_t<decltype(matrix.data())>> {
    const Index d = matrix.cols();
    return {matrix.data(), {batch, 1, matrix.rows() / batch, d}, {d, 0, batch * d, 1}};
  }

  template <typename F>
  static auto log_sum_exp_view(F& f)
      -> attn::TensorView<std::remove_pointer_t<decltype(f.log_sum_exp.data())>> {
    return attn::bhtd(f.log_sum_exp.data(), f.log_sum_exp.rows(), Index{1}, f.log_sum_exp.cols(),
                      Index{1});
  }

  Weights Wq_;
  Weights Wk_;
  Weights v_;
  Weights b_;
  typename attn::Additive<T>::template Gradient<T> gradient_;
};

}  // namespace examples
