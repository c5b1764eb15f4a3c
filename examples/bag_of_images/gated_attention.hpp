// SPDX-License-Identifier: Apache-2.0
// Gated attention over the images of a bag, with or without its gate.
//
//     a_k = softmax_k( w . (tanh(V h_k + b) * sigm(U h_k + c)) ),   z = sum_k a_k h_k
//
// To the library this is dot-product attention: the learned query w asks keys that are made of the
// features h, and the values are h themselves. A batch of bags is one call: CumulativeLengths keeps
// the bags apart, and each has one query.
//
//     attention(w, tanh(H V) * sigm(H U), H, DotProduct{}, CumulativeLengths{...})
//
// Source: Ilse, Tomczak and Welling 2018, eq. 8 (without the gate) and 9.
#pragma once

#include <attn/attn.hpp>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"

namespace examples {

template <typename T>
class BasicGatedAttention {
 public:
  /// What backward needs.
  struct Forward {
    MatrixOf<T> content;  // tanh(V h + b), a row an image
    MatrixOf<T> gate;     // sigm(U h + c); 1 without a gate
    MatrixOf<T> queries;  // w, a row a bag
    MatrixOf<T> keys;     // content * gate
    attn::CumulativeLengths bags;
    decltype(attn::attention_forward(MatrixOf<T>(), MatrixOf<T>(), MatrixOf<T>(),
                                     attn::DotProduct{}, attn::CumulativeLengths{})) attended;

    /// A bag a row.
    const MatrixOf<T>& output() const { return attended.output; }
    /// The weight of each image in its bag. Those of the other bags' images are zero in a bag's
    /// row, so that the sum over the rows is what is wanted.
    VectorOf<T> weights() const {
      return attn::attention_weights(queries, keys, attn::DotProduct{}, bags).colwise().sum();
    }
  };

  BasicGatedAttention(Index features, Index hidden, bool is_gated, Random& random)
      : is_gated_(is_gated),
        content_(features, hidden, random),
        gate_(features, hidden, random),
        query_(random.normal_matrix(hidden, 1, 1 / std::sqrt(static_cast<float>(hidden)))
                   .template cast<T>()),
        query_gradient_(VectorOf<T>::Zero(hidden)) {}

  /// H has a row an image; bag b has the rows offsets[b] to offsets[b + 1] - 1.
  Forward forward(const MatrixOf<T>& H, const std::vector<Index>& offsets) const {
    Forward result;
    result.content = content_.forward(H).array().tanh();
    result.gate = is_gated_ ? sigmoid(gate_.forward(H))
                            : MatrixOf<T>::Ones(H.rows(), result.content.cols()).eval();
    result.keys = result.content.cwiseProduct(result.gate);
    std::vector<Index> one_each(offsets.size());
    std::iota(one_each.begin(), one_each.end(), Index{0});
    result.queries = query_.transpose().replicate(one_each.back(), 1);
    result.bags = {one_each, offsets};
    result.attended =
        attn::attention_forward(result.queries, result.keys, H, attn::DotProduct{}, result.bags);
    return result;
  }

  /// Overwrites the parameters' gradients and returns dH.
  MatrixOf<T> backward(const MatrixOf<T>& H, const Forward& forward, const MatrixOf<T>& d_output) {
    const auto gradient =
        attn::attention_backward(forward.queries, forward.keys, H, forward.attended, d_output,
                                 attn::DotProduct{}, forward.bags);
    query_gradient_ = gradient.query.colwise().sum();
    const auto content = forward.content.array(), gate = forward.gate.array();
    const auto d_keys = gradient.key.array();
    MatrixOf<T> dH = gradient.value;
    dH += content_.backward(H, d_keys * gate * (1 - content.square()));
    if (is_gated_) dH += gate_.backward(H, d_keys * content * gate * (1 - gate));
    return dH;
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    content_.append_parameters(parameters, prefix + ".V");
    if (is_gated_) gate_.append_parameters(parameters, prefix + ".U");
    parameters.push_back(parameter(prefix + ".w", query_, query_gradient_));
  }

 private:
  static MatrixOf<T> sigmoid(const MatrixOf<T>& X) { return 1 / (1 + (-X.array()).exp()); }

  bool is_gated_;
  BasicLinear<T> content_;
  BasicLinear<T> gate_;
  VectorOf<T> query_;
  VectorOf<T> query_gradient_;
};

}  // namespace examples
