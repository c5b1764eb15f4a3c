// SPDX-License-Identifier: Apache-2.0
// One block of the model: attention to the items so far, then a layer for each item by itself.
//
//     M = X + drop(attention(norm(X))),   Y = M + drop(relu(norm(M) W1^T + b1) W2^T + b2)
//
// The attention is attn::MultiHeadAttention over packed histories, causal, with dropout of weights.
// Source: Kang and McAuley 2018, eq. 3 to 5, with the norms before the layers also for keys and
// values.
#pragma once

#include <attn/attn.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../support/dropout.hpp"
#include "../support/layer_norm.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/relu.hpp"
#include "history_batch.hpp"
#include "settings.hpp"

namespace examples {

template <typename T>
class HistoryBlock {
 public:
  using Attended =
      attn::MultiHeadAttentionForward<T, attn::CumulativeLengths, attn::Causal, attn::Dropout>;

  /// What backward needs, and the output.
  struct Forward {
    MatrixOf<T> input;
    Attended attention;
    MatrixOf<T> attention_mask;
    MatrixOf<T> middle;
    MatrixOf<T> normed;  // of the middle
    MatrixOf<T> hidden;
    MatrixOf<T> mask;
    MatrixOf<T> output;
  };

  HistoryBlock(const RecommenderShape& shape, Random& random)
      : attention_norm_(shape.embed_dim),
        attention_({.embed_dim = shape.embed_dim, .num_heads = shape.heads}, random.bits()),
        attention_gradient_(attention_.parameters),
        norm_(shape.embed_dim),
        first_(shape.embed_dim, shape.embed_dim, random),
        second_(shape.embed_dim, shape.embed_dim, random) {}

  /// Without dropout nothing is drawn from `random`.
  Forward forward(const MatrixOf<T>& X, const attn::CumulativeLengths& sequences, float dropout,
                  Random& random) const {
    Forward f;
    f.input = X;
    const attn::Dropout of_weights{.p = dropout, .seed = dropout == 0 ? 0 : random.bits()};
    f.attention =
        attention_.forward(attention_norm_.forward(X), sequences, attn::Causal{}, of_weights);
    f.attention_mask = dropout_mask<T>(X.rows(), X.cols(), dropout, random);
    f.middle = X + f.attention.output.cwiseProduct(f.attention_mask);
    f.normed = norm_.forward(f.middle);
    f.hidden = first_.forward(f.normed);
    relu(f.hidden);
    f.mask = dropout_mask<T>(X.rows(), X.cols(), dropout, random);
    f.output = f.middle + second_.forward(f.hidden).cwiseProduct(f.mask);
    return f;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const Forward& f, const MatrixOf<T>& dY) {
    MatrixOf<T> d_hidden = second_.backward(f.hidden, dY.cwiseProduct(f.mask));
    relu_backward(f.hidden, d_hidden);
    const MatrixOf<T> d_middle = dY + norm_.backward(f.middle, first_.backward(f.normed, d_hidden));
    const MatrixOf<T> d_attended = d_middle.cwiseProduct(f.attention_mask);
    const auto gradient = attention_.backward(f.attention, d_attended);
    attention_gradient_ = gradient.parameters;  // into the memory that the optimiser knows
    return d_middle + attention_norm_.backward(f.input, gradient.input);
  }

  /// How the last of the items X attends to each of them, a row a head.
  MatrixOf<T> last_weights(const MatrixOf<T>& X) const {
    const MatrixOf<T> normed = attention_norm_.forward(X);
    const MatrixOf<T> last = normed.bottomRows(1);
    return attention_.weights(last, normed);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    attention_norm_.append_parameters(parameters, prefix + ".attention_norm");
    append_attention(parameters, prefix + ".attention.");
    norm_.append_parameters(parameters, prefix + ".norm");
    first_.append_parameters(parameters, prefix + ".first");
    second_.append_parameters(parameters, prefix + ".second");
  }

 private:
  void append_attention(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    std::vector<T*> gradients;
    attention_gradient_.for_each(
        [&](std::string_view, auto& gradient) { gradients.push_back(gradient.data()); });
    std::size_t i = 0;
    attention_.parameters.for_each([&](std::string_view name, auto& value) {
      Eigen::Map<VectorOf<T>> gradient(gradients[i++], value.size());
      parameters.push_back(parameter(prefix + std::string(name), value, gradient));
    });
  }

  LayerNorm<T> attention_norm_;
  attn::MultiHeadAttention<T> attention_;
  attn::MultiHeadAttentionParameters<T> attention_gradient_;
  LayerNorm<T> norm_;
  BasicLinear<T> first_;
  BasicLinear<T> second_;
};

}  // namespace examples
