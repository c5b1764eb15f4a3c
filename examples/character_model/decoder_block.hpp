// SPDX-License-Identifier: Apache-2.0
// One block of the decoder: attention to the characters before, then a layer for each character.
//
//     M = X + attention(norm(X)),   Y = M + swiglu(norm(M))
//
// The attention is attn::MultiHeadAttention: causal, rotary positions, grouped queries, and norms
// of queries and keys, with which it bears a high learning rate.
#pragma once

#include <algorithm>
#include <attn/attn.hpp>
#include <string>
#include <vector>

#include "../support/attention_parameters.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/rms_norm.hpp"
#include "../support/swiglu.hpp"
#include "settings.hpp"

namespace examples {

template <typename T>
class DecoderBlock {
 public:
  using Cache = attn::KeyValueCache<T>;

  /// What backward needs, and the output.
  struct Forward {
    MatrixOf<T> input;
    attn::MultiHeadAttentionForward<T, attn::Causal> attention;
    MatrixOf<T> middle;
    typename SwiGlu<T>::Forward mlp;
    MatrixOf<T> output;
  };

  DecoderBlock(const DecoderShape& shape, Random& random)
      : attention_norm_(shape.embed_dim),
        attention_({.embed_dim = shape.embed_dim,
                    .num_heads = shape.heads,
                    .num_kv_heads = shape.kv_heads,
                    .rotary = rotary(shape.embed_dim / shape.heads),
                    .qk_norm = true},
                   random.bits()),
        attention_gradient_(attention_.parameters),
        mlp_norm_(shape.embed_dim),
        mlp_(shape.embed_dim, shape.hidden, random) {}

  /// X holds the characters of `windows` windows of equal length, one behind the other.
  Forward forward(const MatrixOf<T>& X, Index windows) const {
    Forward f;
    f.input = X;
    const MatrixOf<T> normed = attention_norm_.forward(X);
    f.attention = attention_.forward(
        attn::bthd(normed.data(), windows, X.rows() / windows, Index{1}, X.cols()), attn::Causal{});
    f.middle = X + f.attention.output;
    f.mlp = mlp_.forward(mlp_norm_.forward(f.middle));
    f.output = f.middle + f.mlp.output;
    return f;
  }

  /// Overwrites the parameters' gradients and returns dX.
  MatrixOf<T> backward(const Forward& f, const MatrixOf<T>& dY) {
    const MatrixOf<T> d_middle = dY + mlp_norm_.backward(f.middle, mlp_.backward(f.mlp, dY));
    const auto gradient = attention_.backward(f.attention, d_middle);
    attention_gradient_ = gradient.parameters;  // into the memory that the optimiser knows
    return d_middle + attention_norm_.backward(f.input, gradient.input);
  }

  /// Y of the characters that come after those in the cache.
  MatrixOf<T> step(const MatrixOf<T>& X, Cache& cache) const {
    const MatrixOf<T> middle = X + attention_.step(attention_norm_.forward(X), cache);
    return middle + mlp_.forward(mlp_norm_.forward(middle)).output;
  }

  /// A cache of the last `window` characters.
  Cache cache(Index window) const {
    attn::KeyValueCacheOptions options = attention_.cache_options();
    options.window = window;
    return Cache(options);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    attention_norm_.append_parameters(parameters, prefix + ".attention_norm");
    append_attention_parameters(parameters, prefix + ".attention", attention_.parameters,
                                attention_gradient_);
    mlp_norm_.append_parameters(parameters, prefix + ".mlp_norm");
    mlp_.append_parameters(parameters, prefix + ".mlp");
  }

 private:
  /// Half of a head's features turn, to tell how far back; the rest, to tell what stands there.
  static attn::RotaryEmbeddingOptions rotary(Index head_dim) {
    return {.dim = std::max<Index>(head_dim / 4 * 2, 2)};
  }

  RmsNorm<T> attention_norm_;
  attn::MultiHeadAttention<T> attention_;
  attn::MultiHeadAttentionParameters<T> attention_gradient_;
  RmsNorm<T> mlp_norm_;
  SwiGlu<T> mlp_;
};

}  // namespace examples
