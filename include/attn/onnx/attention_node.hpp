// SPDX-License-Identifier: Apache-2.0
// A node of the ONNX operator Attention: its inputs, outputs and attributes, and all of its checks.
//
// The rules are those of onnx.ai's operator definition, versions 23, 24 and 25. Nothing is computed
// here; attention.hpp does that with the sizes that check_attention returns.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/onnx/tensor.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace onnx {

/// attn_mask: of bool (true takes part) or of numbers that are added to the scores.
template <class T>
struct Mask {
  Tensor<const bool> permitted;
  Tensor<const T> bias;

  Mask() = default;
  template <std::convertible_to<Tensor<const bool>> M>
  Mask(const M& mask) : permitted(mask) {}  // NOLINT(google-explicit-constructor)
  template <std::convertible_to<Tensor<const T>> M>
  Mask(const M& mask) : bias(mask) {}  // NOLINT(google-explicit-constructor)

  /// Whole numbers have no meaning as a mask.
  template <class U>
  requires(!std::is_same_v<std::remove_const_t<U>, bool> &&
           !std::is_same_v<std::remove_const_t<U>, T>)
      ATTN_UNAVAILABLE(
          "attn::onnx: attn_mask is of another type than Q. Give it bool (true takes "
          "part), or numbers of Q's type that are added to the scores")
  Mask(const Tensor<U>&) {}

  bool is_given() const { return permitted.is_given() || bias.is_given(); }
  std::array<Index, 4> aligned_shape() const {
    return permitted.is_given() ? permitted.aligned().shape : bias.aligned().shape;
  }
};

/// The inputs by their names. B batches, Hq query and Hk key-value heads, Sq queries, Sk keys of
/// this call, P cached ones, T = P + Sk.
template <class T>
struct AttentionInputs {
  Tensor<const T> Q;                              ///< [B, Hq, Sq, D] or [B, Sq, Hq D]
  Tensor<const T> K;                              ///< [B, Hk, Sk, D] or [B, Sk, Hk D]
  Tensor<const T> V;                              ///< [B, Hk, Sk, Dv] or [B, Sk, Hk Dv]
  Mask<T> attn_mask{};                            ///< optional; broadcasts to [B, Hq, Sq, T]
  Tensor<const T> past_key{};                     ///< optional, [B, Hk, P, D]
  Tensor<const T> past_value{};                   ///< optional, [B, Hk, P, Dv]
  Tensor<const std::int64_t> nonpad_kv_seqlen{};  ///< optional, [B]; from opset 24 on
};

/// Where results go; all but Y may be left out.
template <class T>
struct AttentionOutputs {
  Tensor<T> Y;                   ///< [B, Hq, Sq, Dv], or [B, Sq, Hq Dv] where Q has rank 3
  Tensor<T> present_key{};       ///< [B, Hk, T, D]
  Tensor<T> present_value{};     ///< [B, Hk, T, Dv]
  Tensor<T> qk_matmul_output{};  ///< [B, Hq, Sq, T]
};

/// The attributes by their names, with the operator's defaults.
struct AttentionAttributes {
  bool is_causal = false;
  std::optional<float> scale{};              ///< 1/sqrt(D) where there is none
  std::optional<Index> q_num_heads{};        ///< for rank 3, and only there
  std::optional<Index> kv_num_heads{};       ///< likewise
  float softcap = 0;                         ///< 0: off
  std::optional<Index> softmax_precision{};  ///< 1 float, 10 float16, 11 double, 16 bfloat16
  Integer qk_matmul_output_mode = 0;  ///< 0 scaled product, 1 soft-capped, 2 masked, 3 weights
  Integer left_window_size = -1;      ///< from opset 25 on; -1: open
  Integer right_window_size = -1;     ///< likewise
};

namespace binding {

/// Sizes of a node that has passed its checks.
struct AttentionSizes {
  Index batches = 0;
  Index q_heads = 0;
  Index kv_heads = 0;
  Index n_q = 0;
  Index n_new = 0;   ///< Sk
  Index n_past = 0;  ///< P
  Index d = 0;
  Index d_v = 0;
  Index visible = 0;  ///< keys behind that number are hidden by a mask that ends before them

  Index total() const { return n_past + n_new; }
};

/// The softmax runs in the accumulator type, whatever is asked for; what is asked for must exist.
inline void check_precision(const char* name, const std::optional<Index>& type) {
  if (type && *type != 1 && *type != 10 && *type != 11 && *type != 16)
    raise_value({name, ": softmax_precision is ", *type,
                 "; it must be 1 (float), 10 (float16), 11 (double) or 16 (bfloat16)"});
}

/// The operators multiply the square root of the scale into Q and into K.
inline void check_scale(const char* name, const std::optional<float>& scale) {
  if (scale && !(*scale >= 0 && std::isfinite(*scale)))
    raise_value(
        {name, ": scale is ", static_cast<double>(*scale), "; it must be 0 or more, and finite"});
}

/// The checks of one node, in the order of the slots.
template <class T>
class AttentionCheck {
 public:
  AttentionCheck(const AttentionOutputs<T>& out, const AttentionInputs<T>& in,
                 const AttentionAttributes& attributes, Index opset)
      : out_(out), in_(in), attributes_(attributes), opset_(opset) {}

  AttentionSizes run() {
    if (opset_ < 23)
      raise_value({name, ": the opset is ", opset_, "; the operator exists from 23 on"});
    check_numbers();
    check_ranks();
    check_heads();
    check_keys();
    check_past();
    check_lengths();
    check_mask();
    check_outputs();
    check_memory();
    return n_;
  }

  static constexpr const char* name = "onnx::attention";

 private:
  void check_numbers() const {
    check_scale(name, attributes_.scale);
    check_precision(name, attributes_.softmax_precision);
    if (!(attributes_.softcap >= 0 && std::isfinite(attributes_.softcap)))
      raise_value({name, ": softcap is ", static_cast<double>(attributes_.softcap),
                   "; it must be 0 (off) or more, and finite"});
    if (attributes_.qk_matmul_output_mode < 0 || attributes_.qk_matmul_output_mode > 3)
      raise_value({name, ": qk_matmul_output_mode is ", Index(attributes_.qk_matmul_output_mode),
                   "; it must be 0, 1, 2 or 3"});
    check_window("left_window_size", attributes_.left_window_size);
    check_window("right_window_size", attributes_.right_window_size);
  }
  void check_window(const char* which, Index size) const {
    if (size < -1)
      raise_value(
          {name, ": ", which, " is ", size, "; it must be a number of keys, or -1 for no limit"});
    if (size != -1 && opset_ < 25)
      raise_value({name, ": ", which, " is ", size, " in opset ", opset_,
                   "; windows exist from opset 25 on"});
  }

  void check_ranks() const {
    const auto check = [](const char* which, const Tensor<const T>& tensor) {
      if (tensor.rank != 3 && tensor.rank != 4)
        raise_shape({name, ": ", which, " has rank ", tensor.rank,
                     "; it must be 3, [batch, tokens, heads x features], or 4, [batch, heads, "
                     "tokens, features]"});
    };
    check("Q", in_.Q), check("K", in_.K), check("V", in_.V);
    if (in_.K.rank != in_.Q.rank || in_.V.rank != in_.Q.rank)
      raise_shape({name, ": Q has rank ", in_.Q.rank, ", K ", in_.K.rank, " and V ", in_.V.rank,
                   "; all three need the same"});
  }

  void check_heads() {
    const auto &q_heads = attributes_.q_num_heads, &kv_heads = attributes_.kv_num_heads;
    if (in_.Q.rank == 3) {
      if (!q_heads || !kv_heads)
        raise_value({name, ": Q has rank 3 and ", q_heads ? "kv_num_heads" : "q_num_heads",
                     " is not given; rank 3 needs both head counts"});
      check_packed(name, "Q", in_.Q, "q_num_heads", *q_heads);
      check_packed(name, "K", in_.K, "kv_num_heads", *kv_heads);
      check_packed(name, "V", in_.V, "kv_num_heads", *kv_heads);
    } else if (q_heads || kv_heads) {
      raise_value({name, ": ", q_heads ? "q_num_heads" : "kv_num_heads",
                   " is given and Q has rank 4; head counts belong to rank 3"});
    }
    n_.q_heads = in_.Q.rank == 3 ? *q_heads : in_.Q.size(1);
    n_.kv_heads = in_.Q.rank == 3 ? *kv_heads : in_.K.size(1);
    check_grouping(name, n_.q_heads, n_.kv_heads);
    if (in_.Q.rank == 4 && in_.V.size(1) != n_.kv_heads)
      raise_shape({name, ": K has ", n_.kv_heads, " heads and V has ", in_.V.size(1),
                   "; both need the same number"});
  }

  void check_keys() {
    const auto q = head_view(in_.Q, n_.q_heads);
    const auto k = head_view(in_.K, n_.kv_heads), v = head_view(in_.V, n_.kv_heads);
    if (k.batches() != q.batches() || v.batches() != q.batches())
      raise_shape({name, ": Q has ", q.batches(), " batches, K ", k.batches(), " and V ",
                   v.batches(), "; all three need the same number"});
    if (v.tokens() != k.tokens())
      raise_shape({name, ": K has ", k.tokens(), " tokens and V has ", v.tokens(),
                   "; each key needs one value"});
    if (k.features() != q.features())
      raise_shape({name, ": a head of Q has ", q.features(), " features and one of K has ",
                   k.features(), "; both need the same"});
    n_.batches = q.batches();
    n_.n_q = q.tokens();
    n_.n_new = k.tokens();
    n_.d = q.features();
    n_.d_v = v.features();
  }

  void check_past() {
    if (in_.past_key.is_given() != in_.past_value.is_given())
      raise_value({name, ": ", in_.past_key.is_given() ? "past_key" : "past_value",
                   " is given without ", in_.past_key.is_given() ? "past_value" : "past_key",
                   "; they come together"});
    if (!in_.past_key.is_given()) return;
    if (in_.nonpad_kv_seqlen.is_given())
      raise_value({name,
                   ": nonpad_kv_seqlen and past_key are given together; a cache lies inside the "
                   "operator or outside"});
    n_.n_past = in_.past_key.rank == 4 ? in_.past_key.size(2) : 0;
    check_shape(name, "past_key", in_.past_key, {n_.batches, n_.kv_heads, n_.n_past, n_.d},
                "[batch, key-value heads, tokens, features of K]");
    check_shape(name, "past_value", in_.past_value, {n_.batches, n_.kv_heads, n_.n_past, n_.d_v},
                "[batch, key-value heads, tokens of past_key, features of V]");
  }

  void check_lengths() const {
    const auto& lengths = in_.nonpad_kv_seqlen;
    if (!lengths.is_given()) return;
    if (opset_ < 24)
      raise_value(
          {name, ": nonpad_kv_seqlen is given in opset ", opset_, "; it exists from opset 24 on"});
    check_shape(name, "nonpad_kv_seqlen", lengths, {n_.batches}, "one length a batch");
    for (Index b = 0; b < n_.batches; ++b)
      if (length(b) < 0 || length(b) > n_.total())
        raise_value({name, ": nonpad_kv_seqlen of batch ", b, " is ", length(b), " and there are ",
                     n_.total(), " keys; a length is 0 to that number"});
  }
  Index length(Index b) const {
    return static_cast<Index>(in_.nonpad_kv_seqlen.data[b * in_.nonpad_kv_seqlen.strides[0]]);
  }

  void check_mask() {
    n_.visible = n_.total();
    if (!in_.attn_mask.is_given()) return;
    const std::array<Index, 4> have = in_.attn_mask.aligned_shape();
    const std::array<Index, 4> need{n_.batches, n_.q_heads, n_.n_q, n_.total()};
    bool fits = have[3] <= need[3] || have[3] == 1;
    for (std::size_t axis = 0; axis < 3; ++axis)
      fits = fits && (have[axis] == need[axis] || have[axis] == 1);
    if (!fits)
      raise_shape({name, ": attn_mask is ", mask_text(), " and must broadcast to ",
                   shape_text(need), ", [batch, query heads, queries, keys]"});
    const bool broadcasts = have[3] == 1 && opset_ < 24;
    n_.visible = broadcasts ? n_.total() : std::min(have[3], n_.total());
    if (!in_.nonpad_kv_seqlen.is_given()) return;
    for (Index b = 0; b < n_.batches; ++b)
      if (length(b) > n_.visible)
        raise_shape({name, ": attn_mask covers ", n_.visible,
                     " keys and nonpad_kv_seqlen of batch ", b, " is ", length(b),
                     "; a mask covers every key that is no padding"});
  }
  std::string mask_text() const {
    const Mask<T>& mask = in_.attn_mask;
    return mask.permitted.is_given() ? shape_text(mask.permitted) : shape_text(mask.bias);
  }

  void check_outputs() const {
    if (in_.Q.rank == 3)
      check_shape(name, "Y", out_.Y, {n_.batches, n_.n_q, n_.q_heads * n_.d_v},
                  "[batch, queries, query heads x features of V]");
    else
      check_shape(name, "Y", out_.Y, {n_.batches, n_.q_heads, n_.n_q, n_.d_v},
                  "[batch, query heads, queries, features of V]");
    check_presents();
    if (out_.qk_matmul_output.is_given())
      check_shape(name, "qk_matmul_output", out_.qk_matmul_output,
                  {n_.batches, n_.q_heads, n_.n_q, n_.total()},
                  "[batch, query heads, queries, keys]");
  }
  void check_presents() const {
    const bool key = out_.present_key.is_given(), value = out_.present_value.is_given();
    if (opset_ >= 25 && key != value)
      raise_value({name, ": ", key ? "present_key" : "present_value", " is requested without ",
                   key ? "present_value" : "present_key", "; from opset 25 on they come together"});
    if (opset_ >= 25 && key && in_.nonpad_kv_seqlen.is_given())
      raise_value({name,
                   ": present_key is requested and nonpad_kv_seqlen is given; from opset 25 on a "
                   "cache outside the operator has no presents"});
    if (key)
      check_shape(name, "present_key", out_.present_key,
                  {n_.batches, n_.kv_heads, n_.total(), n_.d},
                  "[batch, key-value heads, keys, features of K]");
    if (value)
      check_shape(name, "present_value", out_.present_value,
                  {n_.batches, n_.kv_heads, n_.total(), n_.d_v},
                  "[batch, key-value heads, keys, features of V]");
  }

  /// Results lie apart from the inputs and from one another. A present may be where its past and
  /// the new tokens already are: a cache that grows in place.
  void check_memory() const {
    MemoryClaims<T> claims{name};
    const auto past_key = in_.past_key.aligned(), past_value = in_.past_value.aligned();
    const auto k = head_view(in_.K, n_.kv_heads), v = head_view(in_.V, n_.kv_heads);
    claims.read("Q", in_.Q.aligned());
    claims.read("K", k);
    claims.read("V", v);
    if (in_.past_key.is_given()) claims.read("past_key", past_key);
    if (in_.past_key.is_given()) claims.read("past_value", past_value);
    if (in_.attn_mask.bias.is_given()) claims.read("attn_mask", in_.attn_mask.bias.aligned());
    claims.write("Y", out_.Y);
    claims.write("present_key", out_.present_key, past_key, k);
    claims.write("present_value", out_.present_value, past_value, v);
    claims.write("qk_matmul_output", out_.qk_matmul_output);
  }

  const AttentionOutputs<T>& out_;
  const AttentionInputs<T>& in_;
  const AttentionAttributes& attributes_;
  Index opset_;
  AttentionSizes n_;
};

}  // namespace binding
}  // namespace onnx
ATTN_END_NAMESPACE
