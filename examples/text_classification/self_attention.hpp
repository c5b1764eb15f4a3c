// SPDX-License-Identifier: Apache-2.0
// Self-attention over the tokens of a text, with a way around it:  Y = X + O Wo.
//
//     Q = X Wq,  K = X Wk,  V = X Wv,  O = attention(Q, K, V) within a window
//
// Additive attention has its own Wq and Wk inside, so there Q = K = X. The attention itself,
// forward and backward, is the library's; here are the products around it.
#pragma once

#include <algorithm>
#include <attn/attn.hpp>
#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"

namespace examples {

enum class ScoreKind { kAdditive, kDot, kScaledDot };

struct SelfAttentionOptions {
  ScoreKind score = ScoreKind::kScaledDot;
  Index embed_dim = 0;
  Index heads = 1;          // more than one: kScaledDot only
  Index attention_dim = 0;  // of the additive score
  Index window = -1;        // tokens to each side that a token sees; -1: the whole text
};

class SelfAttention {
 public:
  /// What backward needs.
  struct Forward {
    Index texts = 0;
    std::vector<Index> lengths;
    Matrix X, Q, K, V, O, L;
    Matrix output;
  };

  /// Wo starts at zero, so that training begins as if the layer were not there.
  SelfAttention(const SelfAttentionOptions& options, Random& random) : options_(options) {
    const Index d = options.embed_dim;
    const bool additive = options.score == ScoreKind::kAdditive;
    const Index projected = additive ? options.attention_dim : d;
    const float deviation = 1 / std::sqrt(static_cast<float>(d));
    add("Wq", random.normal_matrix(d, projected, deviation));
    add("Wk", random.normal_matrix(d, projected, deviation));
    add("Wv", random.normal_matrix(d, d, deviation));
    add("Wo", Matrix::Zero(d, d));
    if (!additive) return;
    add("v", random.normal_matrix(projected, 1, 1 / std::sqrt(static_cast<float>(projected))));
    add("b", Matrix::Zero(projected, 1));
  }

  /// X holds texts x longest rows; rows behind a text's length are padding.
  Forward forward(const Matrix& X, const std::vector<Index>& lengths) const {
    Forward f{static_cast<Index>(lengths.size()), lengths, X, {}, {}, {}, {}, {}, {}};
    const bool additive = options_.score == ScoreKind::kAdditive;
    f.Q = additive ? X : X * value(kWq);
    f.K = additive ? X : X * value(kWk);
    f.V = X * value(kWv);
    f.O.resize(X.rows(), X.cols());
    f.L.resize(f.texts * options_.heads, X.rows() / std::max<Index>(f.texts, 1));
    with_score([&](const auto& score) {
      attn::attention_forward_into(view(f.O, f), log_sum_exp_view(f.L, f), view(f.Q, f),
                                   view(f.K, f), view(f.V, f), score,
                                   attn::KeyPadding{f.lengths} & window());
    });
    f.output = X + f.O * value(kWo);
    return f;
  }

  /// Overwrites the parameters' gradients and returns dX.
  Matrix backward(Forward& f, const Matrix& dY) {
    gradient(kWo).noalias() = f.O.transpose() * dY;
    Matrix dO = dY * value(kWo).transpose();
    Matrix dQ(f.Q.rows(), f.Q.cols()), dK(f.K.rows(), f.K.cols()), dV(f.V.rows(), f.V.cols());
    with_score([&](const auto& score) {
      const auto parts = attn::attention_backward_into(
          view(dQ, f), view(dK, f), view(dV, f), view(f.Q, f), view(f.K, f), view(f.V, f),
          view(f.O, f), log_sum_exp_view(f.L, f), view(dO, f), score,
          attn::KeyPadding{f.lengths} & window());
      keep_score_gradient(score, parts);
    });
    gradient(kWv).noalias() = f.X.transpose() * dV;
    Matrix dX = dY + dV * value(kWv).transpose();
    if (options_.score == ScoreKind::kAdditive) return dX + dQ + dK;
    gradient(kWq).noalias() = f.X.transpose() * dQ;
    gradient(kWk).noalias() = f.X.transpose() * dK;
    return dX + dQ * value(kWq).transpose() + dK * value(kWk).transpose();
  }

  void append_parameters(std::vector<Parameter>& parameters, const std::string& prefix) {
    for (Weight& w : weights_) {
      parameters.push_back(parameter(prefix + "." + w.name, w.value, w.gradient));
    }
  }

 private:
  enum Slot : std::size_t { kWq, kWk, kWv, kWo, kV, kB };
  struct Weight {
    std::string name;
    Matrix value;
    Matrix gradient;
  };

  void add(std::string name, Matrix value) {
    Matrix zero = Matrix::Zero(value.rows(), value.cols());
    weights_.push_back({std::move(name), std::move(value), std::move(zero)});
  }
  const Matrix& value(Slot slot) const { return weights_[slot].value; }
  Matrix& gradient(Slot slot) { return weights_[slot].gradient; }

  attn::SlidingWindow window() const { return {.left = options_.window, .right = options_.window}; }

  /// Heads stand side by side in the columns.
  template <typename M>
  auto view(M& matrix, const Forward& f) const
      -> attn::TensorView<std::remove_pointer_t<decltype(matrix.data())>> {
    const Index tokens = matrix.rows() / std::max<Index>(f.texts, 1);
    return attn::bthd(matrix.data(), f.texts, tokens, options_.heads,
                      matrix.cols() / options_.heads);
  }

  template <typename M>
  auto log_sum_exp_view(M& L, const Forward& f) const
      -> attn::TensorView<std::remove_pointer_t<decltype(L.data())>> {
    return attn::bhtd(L.data(), f.texts, options_.heads, L.cols(), Index{1});
  }

  template <typename Body>
  void with_score(const Body& body) const {
    using Map = Eigen::Map<const Matrix>;
    const auto map = [&](Slot s) { return Map(value(s).data(), value(s).rows(), value(s).cols()); };
    switch (options_.score) {
      case ScoreKind::kAdditive:
        return body(attn::Additive{map(kWq), map(kWk), map(kV), map(kB)});
      case ScoreKind::kDot:
        return body(attn::DotProduct{});
      case ScoreKind::kScaledDot:
        return body(attn::ScaledDotProduct{});
    }
  }

  template <typename Score, typename Gradients>
  void keep_score_gradient(const Score&, const Gradients& gradients) {
    if constexpr (requires(Score score) { score.Wq; }) {
      const auto& g = gradients.template of<attn::Additive>();
      gradient(kWq) = g.Wq;
      gradient(kWk) = g.Wk;
      gradient(kV) = g.v;
      gradient(kB) = g.b;
    }
  }

  SelfAttentionOptions options_;
  std::vector<Weight> weights_;
};

}  // namespace examples
