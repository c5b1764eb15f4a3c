// SPDX-License-Identifier: Apache-2.0
// The ONNX operator FlexAttention (ai.onnx.preview, version 1), on the engine of the library.
//
//     score = scale Q K^T             score = score_mod(score)
//     prob  = softmax(score)          prob  = prob_mod(prob)         Y = prob V
//
// The operator has no masks: a score of -inf is a number like others, so a row that holds nothing
// else is NaN, and prob_mod is asked about every key.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/packet.hpp>
#include <attn/normalizer.hpp>
#include <attn/onnx/attention_node.hpp>
#include <attn/onnx/tensor.hpp>
#include <attn/prob_mod.hpp>
#include <attn/score.hpp>
#include <attn/score_mod.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace onnx {

/// The inputs by their names. B batches, Hq query and Hk key-value heads, L queries, S keys.
template <class T>
struct FlexAttentionInputs {
  Tensor<const T> Q;  ///< [B, Hq, L, E]
  Tensor<const T> K;  ///< [B, Hk, S, E]
  Tensor<const T> V;  ///< [B, Hk, S, Ev]
};

template <class T>
struct FlexAttentionOutputs {
  Tensor<T> Y;  ///< [B, Hq, L, Ev]
};

/// The attributes by their names; the graphs score_mod and prob_mod are parts of the call.
struct FlexAttentionAttributes {
  std::optional<float> scale{};              ///< 1/sqrt(E) where there is none
  std::optional<Index> softmax_precision{};  ///< 1 float, 10 float16, 11 double, 16 bfloat16
};

namespace binding {

template <class T>
struct FlexAttentionCheck {
  static constexpr const char* name = "onnx::flex_attention";
  const FlexAttentionOutputs<T>& out;
  const FlexAttentionInputs<T>& in;
  const FlexAttentionAttributes& attributes;

  void run() const {
    check_scale(name, attributes.scale);
    check_precision(name, attributes.softmax_precision);
    check_rank("Q", in.Q), check_rank("K", in.K), check_rank("V", in.V);
    check_grouping(name, in.Q.size(1), in.K.size(1));
    check_shape(name, "K", in.K, {in.Q.size(0), in.K.size(1), in.K.size(2), in.Q.size(3)},
                "with Q's batches and features");
    check_shape(name, "V", in.V, {in.Q.size(0), in.K.size(1), in.K.size(2), in.V.size(3)},
                "with K's batches, heads and tokens");
    check_shape(name, "Y", out.Y, {in.Q.size(0), in.Q.size(1), in.Q.size(2), in.V.size(3)},
                "[batch, query heads, queries, features of V]");
    MemoryClaims<T> claims(name);
    claims.read("Q", in.Q.aligned());
    claims.read("K", in.K.aligned());
    claims.read("V", in.V.aligned());
    claims.write("Y", out.Y);
  }

 private:
  static void check_rank(const char* which, const Tensor<const T>& tensor) {
    if (tensor.rank != 4)
      raise_shape({name, ": ", which, " has rank ", tensor.rank,
                   "; it must be 4, [batch, heads, tokens, features]"});
  }
};

/// Turns -inf into the lowest finite number, so that no key is left out, and moves that number up
/// by one step, so that it tells where -inf was.
struct KeepHidden {
  using role = role::score_mod;
  template <class A>
  using Gradient = NoGradient;

  template <class A>
  static constexpr A mark = std::numeric_limits<A>::lowest();

  template <class A, class At>
  engine::Pack<A> apply(const engine::Pack<A>& s, const At&, Extent) const {
    using P = engine::Pack<A>;
    constexpr A epsilon = std::numeric_limits<A>::epsilon();
    const P finite = engine::select(s <= P(mark<A>), P(mark<A> * (A(1) - epsilon)), s);
    return engine::select(s == P(-std::numeric_limits<A>::infinity()), P(mark<A>), finite);
  }
};

/// Softmax where marks have weight 0, and a row of marks alone has weights NaN.
struct SoftmaxOfAll : Softmax {
  template <class A>
  static engine::Pack<A> probability(const engine::Pack<A>& s, const engine::Pack<A>& shift,
                                     const engine::Pack<A>& factor) {
    using P = engine::Pack<A>;
    const P e = Softmax::probability(s, shift, P(1));
    return engine::select(s == P(KeepHidden::mark<A>), P(0), e) * factor;
  }
  template <class A>
  A denominator(A sum, A shift, Index) const {
    return shift == KeepHidden::mark<A> ? std::numeric_limits<A>::quiet_NaN() : sum;
  }
};

/// NaN for every query whose log-sum-exp is -inf.
template <class T, class A>
void fill_empty_rows(const TensorView<T>& y, const TensorView<A>& log_sum_exp) {
  for (Index b = 0; b < y.batches(); ++b)
    for (Index h = 0; h < y.heads(); ++h)
      for (Index i = 0; i < y.tokens(); ++i)
        if (log_sum_exp(b, h, i, 0) == engine::minus_infinity<A>)
          for (Index f = 0; f < y.features(); ++f)
            y(b, h, i, f) = static_cast<T>(std::numeric_limits<float>::quiet_NaN());
}

/// Whether a part leaves weights of 0 as they are.
template <class P>
inline constexpr bool keeps_zeros = !PartOf<P, role::prob_mod> || requires {
  requires std::remove_cvref_t<P>::is_linear;
};

template <class P>
inline constexpr bool suits_flex_attention =
    PartOf<P, role::score_mod> || PartOf<P, role::prob_mod> || PartOf<P, role::executor> ||
    PartOf<P, role::workspace>;

template <class T, class... Parts>
void run_flex(const char* name, const engine::Inputs<T>& in, const TensorView<T>& y,
              const ScaledDotProduct& score, Parts&... parts) {
  using A = Accumulator<T>;
  engine::Outputs<T, A> to;
  to.output = y;
  to.are_new = true;  // FlexAttentionCheck has seen to shapes and memory
  if constexpr ((true && ... && keeps_zeros<Parts>)) {
    std::vector<A> sums(static_cast<std::size_t>(y.batches() * y.heads() * y.tokens()));
    to.log_sum_exp = bhtd(sums.data(), y.batches(), y.heads(), y.tokens(), 1);
    engine::forward_call(name, in, to, score, parts...);
    if (in.n_k() > 0) fill_empty_rows(y, to.log_sum_exp);
  } else {
    const SoftmaxOfAll normalizer;
    const KeepHidden keep;
    engine::forward_call(name, in, to, score, normalizer, parts..., keep);
  }
}

}  // namespace binding

/// The ONNX operator FlexAttention: its two graphs are score modifiers and probability modifiers,
/// the library's or `attn::score_mod(f)` and `attn::prob_mod(f)`, any number of each.
///
///     attn::onnx::flex_attention<float>({.Y = {y, {B, Hq, L, Ev}}},
///                                       {.Q = {q, {B, Hq, L, E}}, .K = ..., .V = ...},
///                                       {.scale = 0.5f}, attn::Softcap{20});
///
/// Shapes      all of rank 4: see FlexAttentionInputs; Y of the caller's
/// Types       T is float, double, Eigen::half or Eigen::bfloat16
/// Parts       score modifiers, probability modifiers, an executor, a Workspace; modifiers of one
///             kind apply in the order given, and see positions counted from 0
/// Empty rows  a query whose scores are all -inf gets NaN, as the operator has no rule for it; one
///             without any key (S = 0) gets zeros
/// Non-finite  a key whose score is -inf is not read into Y, unless there is a prob_mod(f), which
///             may give it weight: then values must be finite, or 0 times them is NaN
/// Precision   as onnx::attention: in float (double for double), never in float16
/// Throws      ShapeError, ValueError before anything is written; std::bad_alloc
/// Threads     re-entrant; same bits for any number of threads
/// Source      onnx.ai, operator FlexAttention; Dong et al. 2024 (FlexAttention)
template <class T, class... Parts>
void flex_attention(const FlexAttentionOutputs<T>& outputs, const FlexAttentionInputs<T>& inputs,
                    const FlexAttentionAttributes& attributes = {}, Parts&&... parts) {
  static_assert((true && ... && binding::suits_flex_attention<Parts>),
                "attn::onnx::flex_attention: behind the attributes only score modifiers, "
                "probability modifiers, an executor and a Workspace may follow. Write a mask as "
                "score_mod(f) that returns -inf.");
  using Check = binding::FlexAttentionCheck<T>;
  Check{outputs, inputs, attributes}.run();
  ScaledDotProduct score;
  if (attributes.scale) score.scale = static_cast<double>(*attributes.scale);
  binding::run_flex(Check::name,
                    engine::Inputs<T>{inputs.Q.aligned(), inputs.K.aligned(), inputs.V.aligned()},
                    outputs.Y.aligned(), score, parts...);
}

}  // namespace onnx
ATTN_END_NAMESPACE
