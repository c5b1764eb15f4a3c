// SPDX-License-Identifier: Apache-2.0
// Self-attention between the regions of an image, with a way around it.
//
//     Y = F + multi_head(norm(F))
//
// Every region sees every other, so that what one region shows can depend on the rest.
#pragma once

#include <attn/attn.hpp>
#include <string>
#include <vector>

#include "../support/attention_parameters.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/rms_norm.hpp"

namespace examples {

template <typename T>
class RegionSelfAttention {
 public:
  /// What backward needs, and the output.
  struct Forward {
    MatrixOf<T> input;
    attn::MultiHeadAttentionForward<T> attention;
    MatrixOf<T> output;
  };

  RegionSelfAttention(Index features, Index heads, Random& random)
      : norm_(features),
        attention_({.embed_dim = features, .num_heads = heads}, random.bits()),
        gradient_(attention_.parameters) {}

  /// F holds the regions of `images` images, one image behind the other.
  Forward forward(const MatrixOf<T>& F, Index images) const {
    const MatrixOf<T> normed = norm_.forward(F);
    Forward f{F,
              attention_.forward(
                  attn::bthd(normed.data(), images, F.rows() / images, Index{1}, F.cols())),
              {}};
    f.output = F + f.attention.output;
    return f;
  }

  /// Overwrites the parameters' gradients and returns dF.
  MatrixOf<T> backward(const Forward& f, const MatrixOf<T>& dY) {
    const auto gradient = attention_.backward(f.attention, dY);
    gradient_ = gradient.parameters;  // into the memory that the optimiser knows
    return dY + norm_.backward(f.input, gradient.input);
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    norm_.append_parameters(parameters, prefix + ".norm");
    append_attention_parameters(parameters, prefix + ".attention", attention_.parameters,
                                gradient_);
  }

 private:
  RmsNorm<T> norm_;
  attn::MultiHeadAttention<T> attention_;
  attn::MultiHeadAttentionParameters<T> gradient_;
};

}  // namespace examples
