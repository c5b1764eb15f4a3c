// SPDX-License-Identifier: Apache-2.0
// Options and parameters of MultiHeadAttention, laid out and named as in PyTorch.
//
//     in_proj_weight  rows 0 .. E-1 query, then E_kv rows key, then E_kv rows value
//
// with E = embed_dim, head_dim = E / num_heads, E_kv = num_kv_heads head_dim. Next: multi_head.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/initial.hpp>
#include <attn/rotary.hpp>

ATTN_BEGIN_NAMESPACE

struct MultiHeadAttentionOptions {
  Integer embed_dim = 0;     ///< E, features of X and of the output
  Integer num_heads = 1;     ///< query heads; divides embed_dim
  Integer num_kv_heads = 0;  ///< key-value heads, a divisor of num_heads; 0: num_heads
  Integer kdim = 0;          ///< features of what the keys are made of; 0: embed_dim
  Integer vdim = 0;          ///< features of what the values are made of; 0: embed_dim
  bool bias = true;
  /// Turns queries and keys by their positions: token t stands at t, or at PositionOffset + t.
  std::optional<RotaryEmbeddingOptions> rotary = std::nullopt;
  /// Root-mean-square norm of every query and key head, before they turn, with a learned weight a
  /// feature that all heads share: q_norm.weight, k_norm.weight. It keeps scores from growing.
  /// Source: Henry et al. 2020; Dehghani et al. 2023, section 2; Zhang & Sennrich 2019, eq. 4.
  bool qk_norm = false;
  Real qk_norm_eps = 1e-6;  ///< added to the mean square
};

template <class T>
struct LinearParameters {
  MatrixX<T> weight;
  VectorX<T> bias;
};

/// The parameters of MultiHeadAttention; gradients have the same form. Those that a layer does not
/// have are empty, and for_each leaves them out.
///
/// Names   in_proj_weight, or q_proj_weight, k_proj_weight and v_proj_weight where kdim or vdim is
///         not embed_dim; in_proj_bias; out_proj.weight; out_proj.bias; q_norm.weight;
///         k_norm.weight
/// Source  PyTorch, torch.nn.MultiheadAttention (the norms: as models with QK-norm name them)
template <class T>
struct MultiHeadAttentionParameters {
  MatrixX<T> in_proj_weight;  ///< (E + 2 E_kv) x E
  MatrixX<T> q_proj_weight;   ///< E x E
  MatrixX<T> k_proj_weight;   ///< E_kv x kdim
  MatrixX<T> v_proj_weight;   ///< E_kv x vdim
  VectorX<T> in_proj_bias;    ///< E + 2 E_kv: query, key, value
  LinearParameters<T> out_proj;
  struct {
    VectorX<T> weight;  ///< head_dim
  } q_norm, k_norm;

  /// f(name, tensor) for each, in the order above.
  template <class F>
  void for_each(F&& f) {
    visit_present(*this, f);
  }
  template <class F>
  void for_each(F&& f) const {
    visit_present(*this, f);
  }

  /// Private to the library: empty ones as well.
  template <class Self, class F>
  static void visit_all(Self& self, F&& f) {
    const auto give = [&](std::string_view name, auto& tensor) { f(name, tensor); };
    give("in_proj_weight", self.in_proj_weight);
    give("q_proj_weight", self.q_proj_weight);
    give("k_proj_weight", self.k_proj_weight);
    give("v_proj_weight", self.v_proj_weight);
    give("in_proj_bias", self.in_proj_bias);
    give("out_proj.weight", self.out_proj.weight);
    give("out_proj.bias", self.out_proj.bias);
    give("q_norm.weight", self.q_norm.weight);
    give("k_norm.weight", self.k_norm.weight);
  }

 private:
  template <class Self, class F>
  static void visit_present(Self& self, F& f) {
    visit_all(self, [&](std::string_view name, auto& tensor) {
      if (tensor.size() > 0) f(name, tensor);
    });
  }
};

namespace engine {

/// Which of the three projections.
enum class Projected : std::uint8_t { query, key, value };

/// The sizes that follow from the options. Throws ValueError where they contradict each other.
struct MultiHeadSizes {
  Index embed_dim, num_heads, num_kv_heads, head_dim, kdim, vdim;
  bool bias, qk_norm;

  explicit MultiHeadSizes(const MultiHeadAttentionOptions& options)
      : embed_dim(options.embed_dim),
        num_heads(options.num_heads),
        num_kv_heads(options.num_kv_heads == 0 ? options.num_heads : options.num_kv_heads),
        head_dim(num_heads < 1 ? 0 : embed_dim / num_heads),
        kdim(options.kdim == 0 ? options.embed_dim : options.kdim),
        vdim(options.vdim == 0 ? options.embed_dim : options.vdim),
        bias(options.bias),
        qk_norm(options.qk_norm) {
    if (embed_dim < 1 || num_heads < 1 || num_kv_heads < 1 || kdim < 1 || vdim < 1)
      raise_value({"MultiHeadAttention: embed_dim is ", embed_dim, ", num_heads ", num_heads,
                   ", num_kv_heads ", num_kv_heads, ", kdim ", kdim, " and vdim ", vdim,
                   "; all must be 1 or more"});
    if (embed_dim % num_heads != 0)
      raise_value({"MultiHeadAttention: num_heads is ", num_heads, " and embed_dim is ", embed_dim,
                   "; the heads share the features, so their number must divide embed_dim"});
    if (num_heads % num_kv_heads != 0)
      raise_value({"MultiHeadAttention: num_kv_heads is ", num_kv_heads, " and num_heads is ",
                   num_heads, "; each key-value head serves the same number of query heads"});
    if (const auto& rotary = options.rotary; rotary && rotary->dim > head_dim)
      raise_value({"MultiHeadAttention: rotary.dim is ", Index(rotary->dim), " and a head has ",
                   head_dim, " features; no more than these can turn"});
    if (options.rotary && options.rotary->dim == 0 && head_dim % 2 != 0)
      raise_value({"MultiHeadAttention: a head has ", head_dim,
                   " features; features turn in pairs, so give rotary an even dim"});
    if (!(options.qk_norm_eps > 0.0))
      raise_value({"MultiHeadAttention: qk_norm_eps is ", double(options.qk_norm_eps),
                   "; it must be above 0"});
  }

  bool is_stacked() const { return kdim == embed_dim && vdim == embed_dim; }
  Index heads(Projected p) const { return p == Projected::query ? num_heads : num_kv_heads; }
  Index width(Projected p) const { return heads(p) * head_dim; }
  /// The first of a projection's rows in in_proj_weight and in_proj_bias.
  Index first_row(Projected p) const {
    return (p == Projected::query ? 0 : embed_dim) +
           (p == Projected::value ? width(Projected::key) : 0);
  }
  Index rows() const { return embed_dim + 2 * width(Projected::key); }
};

/// All parameters in their sizes, zero.
template <class T>
MultiHeadAttentionParameters<T> zero_parameters(const MultiHeadSizes& s) {
  MultiHeadAttentionParameters<T> p;
  const Index kv = s.width(Projected::key);
  if (s.is_stacked()) {
    p.in_proj_weight = MatrixX<T>::Zero(s.rows(), s.embed_dim);
  } else {
    p.q_proj_weight = MatrixX<T>::Zero(s.embed_dim, s.embed_dim);
    p.k_proj_weight = MatrixX<T>::Zero(kv, s.kdim);
    p.v_proj_weight = MatrixX<T>::Zero(kv, s.vdim);
  }
  p.out_proj.weight = MatrixX<T>::Zero(s.embed_dim, s.embed_dim);
  if (s.bias) p.in_proj_bias = VectorX<T>::Zero(s.rows());
  if (s.bias) p.out_proj.bias = VectorX<T>::Zero(s.embed_dim);
  if (s.qk_norm) p.q_norm.weight = p.k_norm.weight = VectorX<T>::Zero(s.head_dim);
  return p;
}

/// As PyTorch starts them: Xavier's uniform numbers for the input projections (one matrix where
/// they are stacked), U(-1/sqrt(E), 1/sqrt(E)) for the output's, biases 0; norms 1.
/// Source: Glorot & Bengio 2010, eq. 16; PyTorch, MultiheadAttention and Linear, reset_parameters
template <class T>
MultiHeadAttentionParameters<T> initial_parameters(const MultiHeadSizes& s, std::uint64_t seed) {
  MultiHeadAttentionParameters<T> p = zero_parameters<T>(s);
  std::mt19937_64 random{seed};
  for (MatrixX<T>* weight :
       {&p.in_proj_weight, &p.q_proj_weight, &p.k_proj_weight, &p.v_proj_weight})
    if (weight->size() > 0)
      *weight = uniform_matrix<T>(weight->rows(), weight->cols(),
                                  xavier_bound(weight->cols(), weight->rows()), random);
  const double bound = 1.0 / std::sqrt(static_cast<double>(s.embed_dim));
  p.out_proj.weight = uniform_matrix<T>(s.embed_dim, s.embed_dim, bound, random);
  p.q_norm.weight.setOnes();
  p.k_norm.weight.setOnes();
  return p;
}

using MultiHeadShapes = std::vector<std::array<Index, 2>>;

/// Rows and columns of every parameter.
template <class T>
MultiHeadShapes shapes_of(const MultiHeadAttentionParameters<T>& parameters) {
  MultiHeadShapes shapes;
  parameters.visit_all(parameters, [&](std::string_view, const auto& tensor) {
    shapes.push_back({tensor.rows(), tensor.cols()});
  });
  return shapes;
}

/// Parameters are open to change, but not in size.
template <class T>
void check_shapes(const MultiHeadAttentionParameters<T>& parameters,
                  const MultiHeadShapes& shapes) {
  std::size_t k = 0;
  parameters.visit_all(parameters, [&](std::string_view name, const auto& tensor) {
    const auto [rows, cols] = shapes[k++];
    if (tensor.rows() != rows || tensor.cols() != cols)
      raise_shape({"MultiHeadAttention: ", name, " is ", size_text(tensor.rows(), tensor.cols()),
                   " and must be ", size_text(rows, cols), ", as the layer was made"});
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
