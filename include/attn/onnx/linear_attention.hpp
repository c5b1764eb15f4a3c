// SPDX-License-Identifier: Apache-2.0
// The ONNX operator LinearAttention (opset 27): heads taken apart, then attn::LinearAttention.
//
//     S <- exp(decay) S,  S <- S + k w^T,  output = scale S^T q
//
// with w = value, or beta (value - S^T k) for the delta rules. The tensors of tokens have rank 3
// with heads side by side, the states rank 4.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/linear_attention.hpp>
#include <attn/onnx/tensor.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace onnx {

/// The inputs by their names. B batches, n tokens, Hq query and Hk key-value heads.
template <class T, class S = T>
struct LinearAttentionInputs {
  Tensor<const T> query;         ///< [B, n, Hq dk]
  Tensor<const T> key;           ///< [B, n, Hk dk]
  Tensor<const T> value;         ///< [B, n, Hk dv]
  Tensor<const S> past_state{};  ///< optional, [B, Hk, dk, dv]; zeros where there is none
  Tensor<const T> decay{};       ///< gated rules: [B, n, Hk dk] or [B, n, Hk], logarithms
  Tensor<const T> beta{};        ///< delta rules: [B, n, Hk] or [B, n, 1]
};

/// Where results go; present_state may be left out.
template <class T, class S = T>
struct LinearAttentionOutputs {
  Tensor<T> output;           ///< [B, n, Hq dv]
  Tensor<S> present_state{};  ///< [B, Hk, dk, dv]
};

/// The attributes by their names, with the operator's defaults.
struct LinearAttentionAttributes {
  std::string_view update_rule = "gated_delta";  ///< linear, gated, delta or gated_delta
  std::optional<Index> q_num_heads{};            ///< required
  std::optional<Index> kv_num_heads{};           ///< required
  float scale = 0;                               ///< 0: 1/sqrt(dk)
  Integer chunk_size = 64;                       ///< a hint that changes results by rounding only
};

namespace binding {

inline UpdateRule rule_named(const char* name, std::string_view text) {
  constexpr std::array<std::string_view, 4> names{"linear", "gated", "delta", "gated_delta"};
  for (std::size_t k = 0; k < names.size(); ++k)
    if (names[k] == text) return static_cast<UpdateRule>(k);
  raise_value(
      {name, ": update_rule is \"", text, "\"; it must be linear, gated, delta or gated_delta"});
}

/// The checks of one node, and the views that its tensors become.
template <class T, class S>
class LinearNode {
 public:
  static constexpr const char* name = "onnx::linear_attention";

  LinearNode(const LinearAttentionOutputs<T, S>& out, const LinearAttentionInputs<T, S>& in,
             const LinearAttentionAttributes& attributes)
      : out_(out), in_(in), attributes_(attributes) {}

  /// Throws before anything is written.
  UpdateRule check() {
    const UpdateRule rule = rule_named(name, attributes_.update_rule);
    const bool gated = rule == UpdateRule::gated || rule == UpdateRule::gated_delta;
    const bool delta = rule == UpdateRule::delta || rule == UpdateRule::gated_delta;
    check_slot("decay", gated, in_.decay.is_given());
    check_slot("beta", delta, in_.beta.is_given());
    check_tokens();
    check_optional();
    return rule;
  }

  template <class... Parts>
  void run(UpdateRule rule, Parts&... parts) const {
    const LinearAttention operation(
        {.rule = rule, .scale = attributes_.scale, .chunk_size = attributes_.chunk_size});
    const LinearAttentionStateViews<S> states{view(in_.past_state), view(out_.present_state)};
    operation.into(head_view(out_.output, q_heads_), head_view(in_.query, q_heads_),
                   head_view(in_.key, kv_heads_), head_view(in_.value, kv_heads_),
                   Decay<T>{in_.decay.is_given() ? head_view(in_.decay, kv_heads_) : nothing},
                   Beta<T>{beta()}, states, parts...);
  }

 private:
  static constexpr TensorView<const T> nothing{};

  template <class U>
  static TensorView<U> view(const Tensor<U>& tensor) {
    return tensor.is_given() ? tensor.aligned() : TensorView<U>();
  }
  TensorView<const T> beta() const {
    if (!in_.beta.is_given()) return nothing;
    return head_view(in_.beta, in_.beta.last() == kv_heads_ ? kv_heads_ : 1);
  }

  void check_slot(const char* which, bool needed, bool given) const {
    if (needed == given) return;
    raise_value({name, ": ", which, given ? " is given" : " is missing", " and update_rule is ",
                 attributes_.update_rule, given ? ", which takes none" : ", which needs it"});
  }

  static void check_rank(const char* which, const Tensor<const T>& tensor) {
    if (tensor.rank != 3)
      raise_shape({name, ": ", which, " has rank ", tensor.rank,
                   "; it must be 3, [batch, tokens, heads x features]"});
  }

  void check_tokens() {
    check_rank("query", in_.query), check_rank("key", in_.key), check_rank("value", in_.value);
    const auto &q_heads = attributes_.q_num_heads, &kv_heads = attributes_.kv_num_heads;
    if (!q_heads || !kv_heads)
      raise_value({name, ": ", q_heads ? "kv_num_heads" : "q_num_heads",
                   " is not given; both head counts are needed"});
    check_packed(name, "query", in_.query, "q_num_heads", *q_heads);
    check_packed(name, "key", in_.key, "kv_num_heads", *kv_heads);
    check_packed(name, "value", in_.value, "kv_num_heads", *kv_heads);
    check_grouping(name, *q_heads, *kv_heads);
    q_heads_ = *q_heads, kv_heads_ = *kv_heads;
    d_k_ = in_.query.last() / q_heads_, d_v_ = in_.value.last() / kv_heads_;
    check_shape(name, "key", in_.key, {in_.query.size(0), in_.query.size(1), kv_heads_ * d_k_},
                "[batch, tokens, key-value heads x features of query]");
    check_shape(name, "value", in_.value, {in_.query.size(0), in_.query.size(1), kv_heads_ * d_v_},
                "[batch, tokens, key-value heads x features]");
  }

  void check_optional() const {
    const Index b = in_.query.size(0), n = in_.query.size(1);
    if (in_.decay.is_given())
      check_shape(name, "decay", in_.decay,
                  {b, n, in_.decay.last() == kv_heads_ ? kv_heads_ : kv_heads_ * d_k_},
                  "[batch, tokens, key-value heads x features of key], or one number a head");
    if (in_.beta.is_given())
      check_shape(name, "beta", in_.beta, {b, n, in_.beta.last() == 1 ? 1 : kv_heads_},
                  "[batch, tokens, key-value heads], or one number for all heads");
    const char* state = "[batch, key-value heads, features of key, features of value]";
    if (in_.past_state.is_given())
      check_shape(name, "past_state", in_.past_state, {b, kv_heads_, d_k_, d_v_}, state);
    if (out_.present_state.is_given())
      check_shape(name, "present_state", out_.present_state, {b, kv_heads_, d_k_, d_v_}, state);
    check_shape(name, "output", out_.output, {b, n, q_heads_ * d_v_},
                "[batch, tokens, query heads x features of value]");
  }

  const LinearAttentionOutputs<T, S>& out_;
  const LinearAttentionInputs<T, S>& in_;
  const LinearAttentionAttributes& attributes_;
  Index q_heads_ = 0, kv_heads_ = 0, d_k_ = 0, d_v_ = 0;
};

}  // namespace binding

/// The ONNX operator LinearAttention: inputs, outputs and attributes have the operator's names.
///
///     attn::onnx::linear_attention<float>(
///         {.output = {y, {B, n, Hq * dv}}, .present_state = {s, {B, Hk, dk, dv}}},
///         {.query = {q, {B, n, Hq * dk}}, .key = ..., .value = ..., .decay = ..., .beta = ...},
///         {.q_num_heads = Hq, .kv_num_heads = Hk});
///
/// Shapes      see LinearAttentionInputs; results in memory of the caller's
/// Types       T is float, Eigen::half or Eigen::bfloat16, S (the states) likewise
/// Parts       an executor (Threads, on(pool)), a Workspace
/// Precision   all arithmetic in float; each output rounded to T, the state to S once, at the end
/// Memory      past_state and present_state may be the same memory
/// Throws      ShapeError, ValueError before anything is written; std::bad_alloc
/// Threads     re-entrant; same bits for any number of threads
/// Source      onnx.ai, operator LinearAttention; see attn::LinearAttention
template <class T, class S, class... Parts>
void linear_attention(const LinearAttentionOutputs<T, S>& outputs,
                      const LinearAttentionInputs<T, S>& inputs,
                      const LinearAttentionAttributes& attributes = {}, Parts&&... parts) {
  static_assert(!std::is_same_v<T, double> && !std::is_same_v<S, double>,
                "attn::onnx::linear_attention: the operator has no double. Take float, Eigen::half "
                "or Eigen::bfloat16; attn::LinearAttention itself computes in double too.");
  static_assert(binding::only_run<Parts...>,
                "attn::onnx::linear_attention: behind the attributes only an executor (Threads, "
                "on(pool)) and a Workspace may follow. The operator has no other parts.");
  binding::LinearNode<T, S> node(outputs, inputs, attributes);
  node.run(node.check(), parts...);
}

}  // namespace onnx
ATTN_END_NAMESPACE
