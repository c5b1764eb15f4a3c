// SPDX-License-Identifier: Apache-2.0
// Which input the projections of MultiHeadAttention read, and where they lie.
//
//     X                 q | k | v side by side
//     X, memory         q           k | v side by side
//     X, keys, values   q           k           v
//
// Projections that read the same input are the columns of one matrix, so that one product makes
// them where their weights are stacked; heads are columns of these, and the engine reads them
// there.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <attn/check.hpp>
#include <attn/config.hpp>
#include <attn/engine/token_rows.hpp>
#include <attn/multi_head_parameters.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

inline constexpr std::array<Projected, 3> all_projected = {Projected::query, Projected::key,
                                                           Projected::value};

/// What backward needs of a forward pass, parts aside.
template <class T>
struct MultiHeadTrace {
  using Matrices = std::array<TokenRows<T>, 3>;

  std::size_t inputs = 1;  ///< how many of them there are
  std::array<Index, 3> batches{};
  Matrices input;        ///< copies of X, memory or keys, values
  Matrices projected;    ///< what is made of each, as the engine reads it
  Matrices before_norm;  ///< the same before the norm of queries and keys, where there is one
  TokenRows<T> attended;

  Index tokens(std::size_t c) const { return batches[c] > 0 ? input[c].rows() / batches[c] : 0; }
};

/// Sizes and places for a number of inputs.
class ProjectionPlan {
 public:
  ProjectionPlan(const MultiHeadSizes& sizes, std::size_t inputs)
      : sizes_(sizes), inputs_(inputs) {}

  std::size_t inputs() const { return inputs_; }
  std::size_t input_of(Projected p) const {
    return std::min(static_cast<std::size_t>(p), inputs_ - 1);
  }
  Projected first_of(std::size_t c) const { return all_projected[c]; }
  Projected last_of(std::size_t c) const { return all_projected[c + 1 == inputs_ ? 2 : c]; }

  /// Columns of all projections of one input.
  Index width(std::size_t c) const {
    return sizes_.first_row(last_of(c)) + sizes_.width(last_of(c)) - sizes_.first_row(first_of(c));
  }
  /// The first column of a projection among those of its input.
  Index column(Projected p) const {
    return sizes_.first_row(p) - sizes_.first_row(first_of(input_of(p)));
  }
  /// Features that an input must have.
  Index features(std::size_t c) const {
    return c == 0 ? sizes_.embed_dim : c == 1 ? sizes_.kdim : sizes_.vdim;
  }

  /// Heads of a projection in a matrix that holds what is made of its input.
  template <class U, class Rows>
  TensorView<U> heads(U* data, const Rows& matrix, Index batches, Projected p) const {
    const Index tokens = batches > 0 ? matrix.rows() / batches : 0, step = matrix.cols();
    return {data + column(p),
            {batches, sizes_.heads(p), tokens, sizes_.head_dim},
            {tokens * step, sizes_.head_dim, step, 1}};
  }

  /// f(first projection, width) for the products that an input takes part in: one where weights are
  /// stacked, else one for each projection.
  template <class F>
  void for_each_product(std::size_t c, F&& f) const {
    if (sizes_.is_stacked()) return f(first_of(c), width(c));
    for (const Projected p : all_projected)
      if (input_of(p) == c) f(p, sizes_.width(p));
  }
  /// The weight and the bias of such a product; the bias is empty where the layer has none.
  template <class Parameters>
  auto weight(Parameters& parameters, Projected p, Index width) const {
    if (sizes_.is_stacked())
      return parameters.in_proj_weight.middleRows(sizes_.first_row(p), width);
    return separate_weight(parameters, p).middleRows(0, width);
  }
  template <class Parameters>
  auto bias(Parameters& parameters, Projected p, Index width) const {
    return sizes_.bias ? parameters.in_proj_bias.segment(sizes_.first_row(p), width)
                       : parameters.in_proj_bias.segment(0, 0);
  }

  /// Throws ShapeError where inputs cannot be projected.
  template <class T>
  void check(const MultiHeadTrace<T>& trace) const {
    if (inputs_ == 1 && !sizes_.is_stacked())
      raise_shape({"MultiHeadAttention: kdim is ", sizes_.kdim, ", vdim ", sizes_.vdim,
                   " and embed_dim ", sizes_.embed_dim,
                   "; self-attention needs all three equal, so give what to attend to: "
                   "layer(X, memory)"});
    if (inputs_ == 2 && sizes_.kdim != sizes_.vdim)
      raise_shape({"MultiHeadAttention: kdim is ", sizes_.kdim, " and vdim is ", sizes_.vdim,
                   "; one memory cannot have both, so give them apart: layer(X, keys, values)"});
    constexpr std::array<const char*, 3> size_name = {"embed_dim", "kdim", "vdim"};
    for (std::size_t c = 0; c < inputs_; ++c)
      if (trace.input[c].cols() != features(c))
        raise_shape({"MultiHeadAttention: ", input_name(c), " has ", trace.input[c].cols(),
                     " columns and ", size_name[c], " is ", features(c), "; both must be equal"});
    for (std::size_t c = 1; c < inputs_; ++c)
      if (trace.batches[c] != trace.batches[0])
        raise_shape({"MultiHeadAttention: X has ", trace.batches[0], " batches and ", input_name(c),
                     " has ", trace.batches[c], "; both need the same number"});
  }
  const char* input_name(std::size_t c) const {
    return c == 0 ? "X" : c == 2 ? "values" : inputs_ == 2 ? "memory" : "keys";
  }

  /// Whether a forward pass is one of a layer of these sizes.
  template <class T>
  bool made(const MultiHeadTrace<T>& trace) const {
    bool fits = trace.attended.cols() == sizes_.embed_dim;
    for (std::size_t c = 0; c < inputs_; ++c)
      fits = fits && trace.input[c].cols() == features(c) && trace.projected[c].cols() == width(c);
    return fits;
  }

 private:
  template <class Parameters>
  static auto& separate_weight(Parameters& parameters, Projected p) {
    return p == Projected::query ? parameters.q_proj_weight
           : p == Projected::key ? parameters.k_proj_weight
                                 : parameters.v_proj_weight;
  }

  MultiHeadSizes sizes_;
  std::size_t inputs_;
};

}  // namespace engine
ATTN_END_NAMESPACE
