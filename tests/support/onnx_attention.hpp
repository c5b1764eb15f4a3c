// SPDX-License-Identifier: Apache-2.0
// The ONNX operator Attention as its definition reads, in double: one loop for every query, nothing
// shared with the library. And a caller that gives the same node to attn::onnx and compares.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <attn/onnx.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "random.hpp"

namespace support {

using attn::Index;
inline constexpr double neg = -std::numeric_limits<double>::infinity();

/// Four dimensions, the last fastest.
struct Array4 {
  std::array<Index, 4> shape{};
  std::vector<double> numbers;

  Array4() = default;
  explicit Array4(std::array<Index, 4> sizes, double value = 0)
      : shape(sizes),
        numbers(static_cast<std::size_t>(sizes[0] * sizes[1] * sizes[2] * sizes[3]), value) {}
  double& operator()(Index a, Index b, Index c, Index d) {
    return numbers[static_cast<std::size_t>(((a * shape[1] + b) * shape[2] + c) * shape[3] + d)];
  }
  double operator()(Index a, Index b, Index c, Index d) const {
    return const_cast<Array4&>(*this)(a, b, c, d);
  }
  /// With sizes of 1 broadcast.
  double at(Index a, Index b, Index c, Index d) const {
    return (*this)(shape[0] == 1 ? 0 : a, shape[1] == 1 ? 0 : b, shape[2] == 1 ? 0 : c,
                   shape[3] == 1 ? 0 : d);
  }
};

inline Array4 random4(std::array<Index, 4> sizes, std::uint64_t seed) {
  Array4 array(sizes);
  const auto numbers = random_vector(static_cast<Index>(array.numbers.size()), seed);
  std::copy(numbers.data(), numbers.data() + numbers.size(), array.numbers.begin());
  return array;
}

/// A node with its heads apart; a tensor without numbers and shape is absent.
struct OnnxNode {
  Array4 Q, K, V, past_key, past_value;
  Array4 mask;  ///< aligned to four dimensions; its last axis may be short
  bool mask_is_bool = false;
  Index mask_rank = 4;  ///< as it is handed over
  std::vector<std::int64_t> lengths;
  bool causal = false;
  std::optional<float> scale;
  float softcap = 0;
  Index left = -1, right = -1;
  Index opset = 25;
  Index rank = 4;  ///< of Q, K, V and Y

  Index past() const { return past_key.shape[2]; }
  Index keys() const { return past() + K.shape[2]; }
  bool has_mask() const { return mask.shape[0] > 0; }
};

/// Sizes of a node; Sk are the new keys, P the cached ones.
struct OnnxSizes {
  Index B = 2, Hq = 4, Hk = 2, Sq = 5, Sk = 7, D = 6, Dv = 3, P = 0;
};

inline OnnxNode make_node(const OnnxSizes& n, std::uint64_t seed = 1) {
  OnnxNode node;
  node.Q = random4({n.B, n.Hq, n.Sq, n.D}, 10 * seed);
  node.K = random4({n.B, n.Hk, n.Sk, n.D}, 10 * seed + 1);
  node.V = random4({n.B, n.Hk, n.Sk, n.Dv}, 10 * seed + 2);
  for (double& q : node.Q.numbers) q *= 3;  // weights that differ
  if (n.P == 0) return node;
  node.past_key = random4({n.B, n.Hk, n.P, n.D}, 10 * seed + 3);
  node.past_value = random4({n.B, n.Hk, n.P, n.Dv}, 10 * seed + 4);
  return node;
}

/// What the definition gives: Y, and output 3 in its four modes.
struct OnnxResult {
  Array4 Y;
  std::array<Array4, 4> scores;
};

inline double key_number(const OnnxNode& n, Index b, Index c, Index j, Index d) {
  return j < n.past() ? n.past_key(b, c, j, d) : n.K(b, c, j - n.past(), d);
}
inline double value_number(const OnnxNode& n, Index b, Index c, Index j, Index d) {
  return j < n.past() ? n.past_value(b, c, j, d) : n.V(b, c, j - n.past(), d);
}

/// The float mask, 0 or NEG: everything that is added to the capped score of a pair.
inline double bias_of(const OnnxNode& n, Index b, Index h, Index i, Index j) {
  const auto batch = static_cast<std::size_t>(b);
  Index offset = 0;
  if (n.past_key.shape[0] > 0) offset = n.past();
  if (!n.lengths.empty()) offset = Index(n.lengths[batch]) - n.Q.shape[2];
  const Index p = offset + i;
  if (n.causal && !(j <= p)) return neg;
  if (n.left >= 0 && !(j >= p - n.left)) return neg;
  if (n.right >= 0 && !(j <= p + n.right)) return neg;
  if (!n.lengths.empty() && !(j < Index(n.lengths[batch]))) return neg;
  if (!n.has_mask()) return 0;
  const bool broadcasts = n.opset < 24 && n.mask.shape[3] == 1;
  if (!broadcasts && j >= n.mask.shape[3]) return neg;
  const double m = n.mask.at(b, h, i, j);
  return n.mask_is_bool ? (m != 0 ? 0 : neg) : m;
}

inline OnnxResult onnx_attention(const OnnxNode& n) {
  const Index B = n.Q.shape[0], Hq = n.Q.shape[1], Sq = n.Q.shape[2], D = n.Q.shape[3];
  const Index T = n.keys(), Dv = n.V.shape[3], group = Hq / n.K.shape[1];
  OnnxResult r;
  r.Y = Array4({B, Hq, Sq, Dv});
  r.scores.fill(Array4({B, Hq, Sq, T}));
  const double scale = n.scale ? double(*n.scale) : 1 / std::sqrt(double(D));
  for (Index b = 0; b < B; ++b)
    for (Index h = 0; h < Hq; ++h)
      for (Index i = 0; i < Sq; ++i) {
        double most = neg, largest_bias = neg, sum = 0;
        for (Index j = 0; j < T; ++j) {
          double dot = 0;
          for (Index d = 0; d < D; ++d) dot += n.Q(b, h, i, d) * key_number(n, b, h / group, j, d);
          const double raw = scale * dot;
          const double capped = n.softcap != 0 ? n.softcap * std::tanh(raw / n.softcap) : raw;
          const double bias = bias_of(n, b, h, i, j);
          r.scores[0](b, h, i, j) = raw;
          r.scores[1](b, h, i, j) = capped;
          r.scores[2](b, h, i, j) = bias == neg ? neg : capped + bias;
          most = std::max(most, r.scores[2](b, h, i, j));
          largest_bias = std::max(largest_bias, bias);
        }
        if (largest_bias == neg) continue;
        for (Index j = 0; j < T; ++j) sum += std::exp(r.scores[2](b, h, i, j) - most);
        for (Index j = 0; j < T; ++j) {
          const double p = std::exp(r.scores[2](b, h, i, j) - most) / sum;
          r.scores[3](b, h, i, j) = p;
          if (p == 0) continue;
          for (Index d = 0; d < Dv; ++d) r.Y(b, h, i, d) += p * value_number(n, b, h / group, j, d);
        }
      }
  return r;
}

/// Numbers as a runtime holds them: of rank 4, or of rank 3 with the heads side by side.
template <class T>
struct Buffer {
  std::vector<T> numbers;
  std::vector<Index> sizes;

  Buffer() = default;
  Buffer(const Array4& from, Index rank) {
    const auto& n = from.shape;
    sizes = rank == 4 ? std::vector<Index>{n[0], n[1], n[2], n[3]}
                      : std::vector<Index>{n[0], n[2], n[1] * n[3]};
    numbers.resize(from.numbers.size());
    for_each(from.shape, rank, [&](std::size_t k, Index b, Index h, Index t, Index f) {
      numbers[k] = static_cast<T>(from(b, h, t, f));
    });
  }
  Array4 array(std::array<Index, 4> shape) const {
    Array4 to(shape);
    for_each(shape, Index(sizes.size()), [&](std::size_t k, Index b, Index h, Index t, Index f) {
      to(b, h, t, f) = static_cast<double>(numbers[k]);
    });
    return to;
  }
  attn::onnx::Tensor<T> tensor() { return {numbers.data(), sizes}; }
  attn::onnx::Tensor<const T> tensor() const { return {numbers.data(), sizes}; }

 private:
  template <class F>
  static void for_each(std::array<Index, 4> n, Index rank, F&& f) {
    std::size_t k = 0;
    if (rank == 4) {
      for (Index b = 0; b < n[0]; ++b)
        for (Index h = 0; h < n[1]; ++h)
          for (Index t = 0; t < n[2]; ++t)
            for (Index d = 0; d < n[3]; ++d) f(k++, b, h, t, d);
    } else {
      for (Index b = 0; b < n[0]; ++b)
        for (Index t = 0; t < n[2]; ++t)
          for (Index h = 0; h < n[1]; ++h)
            for (Index d = 0; d < n[3]; ++d) f(k++, b, h, t, d);
    }
  }
};

/// A node as attn::onnx takes it, with room for every output.
template <class T>
struct OnnxCall {
  Buffer<T> Q, K, V, past_key, past_value, bias, Y, present_key, present_value, scores;
  std::vector<std::uint8_t> permitted;
  std::vector<Index> mask_sizes;
  attn::onnx::AttentionInputs<T> in;
  attn::onnx::AttentionOutputs<T> out;
  attn::onnx::AttentionAttributes attributes;
  Index opset;

  explicit OnnxCall(const OnnxNode& n)
      : Q(n.Q, n.rank), K(n.K, n.rank), V(n.V, n.rank), opset(n.opset) {
    in.Q = Q.tensor(), in.K = K.tensor(), in.V = V.tensor();
    const Index B = n.Q.shape[0], Hq = n.Q.shape[1], Hk = n.K.shape[1], Sq = n.Q.shape[2];
    Y = Buffer<T>(Array4({B, Hq, Sq, n.V.shape[3]}, 7), n.rank);
    out.Y = Y.tensor();
    if (n.past_key.shape[0] > 0) {
      past_key = Buffer<T>(n.past_key, 4), past_value = Buffer<T>(n.past_value, 4);
      in.past_key = past_key.tensor(), in.past_value = past_value.tensor();
    }
    if (!n.lengths.empty()) in.nonpad_kv_seqlen = {n.lengths.data(), {B}};
    set_mask(n);
    attributes.is_causal = n.causal;
    attributes.scale = n.scale;
    attributes.softcap = n.softcap;
    attributes.left_window_size = n.left;
    attributes.right_window_size = n.right;
    if (n.rank == 3) attributes.q_num_heads = Hq, attributes.kv_num_heads = Hk;
  }
  OnnxCall(const OnnxCall&) = delete;

  void ask_presents(const OnnxNode& n) {
    const Index B = n.Q.shape[0], Hk = n.K.shape[1], T_ = n.keys();
    present_key = Buffer<T>(Array4({B, Hk, T_, n.K.shape[3]}, 7), 4);
    present_value = Buffer<T>(Array4({B, Hk, T_, n.V.shape[3]}, 7), 4);
    out.present_key = present_key.tensor(), out.present_value = present_value.tensor();
  }
  void ask_scores(const OnnxNode& n, Index mode) {
    scores = Buffer<T>(Array4({n.Q.shape[0], n.Q.shape[1], n.Q.shape[2], n.keys()}, 7), 4);
    out.qk_matmul_output = scores.tensor();
    attributes.qk_matmul_output_mode = mode;
  }
  template <class... Parts>
  void run(Parts&&... parts) {
    attn::onnx::attention(out, in, attributes, opset, parts...);
  }

 private:
  void set_mask(const OnnxNode& n) {
    if (!n.has_mask()) return;
    mask_sizes.assign(n.mask.shape.end() - n.mask_rank, n.mask.shape.end());
    if (n.mask_is_bool) {
      for (const double m : n.mask.numbers) permitted.push_back(m != 0);
      in.attn_mask = attn::onnx::Tensor<const bool>(reinterpret_cast<const bool*>(permitted.data()),
                                                    mask_sizes);
    } else {
      bias = Buffer<T>(n.mask, 4);
      in.attn_mask = attn::onnx::Tensor<const T>(bias.numbers.data(), mask_sizes);
    }
  }
};

/// Whether all numbers lie within bound (1 + |expected|); infinities agree, NaN with NaN.
inline testing::AssertionResult agrees(const Array4& got, const Array4& expected, double bound) {
  for (Index a = 0; a < got.shape[0]; ++a)
    for (Index b = 0; b < got.shape[1]; ++b)
      for (Index c = 0; c < got.shape[2]; ++c)
        for (Index d = 0; d < got.shape[3]; ++d) {
          const double x = got(a, b, c, d), e = expected(a, b, c, d);
          if (x == e || (std::isnan(x) && std::isnan(e))) continue;
          if (std::isinf(e) || !(std::abs(x - e) <= bound * (1 + std::abs(e))))
            return testing::AssertionFailure() << "[" << a << ", " << b << ", " << c << ", " << d
                                               << "] is " << x << " and should be " << e;
        }
  return testing::AssertionSuccess();
}

/// Rounds what the definition is given to what the operator is given.
template <class T>
OnnxNode rounded(OnnxNode n) {
  for (Array4* a : {&n.Q, &n.K, &n.V, &n.past_key, &n.past_value, &n.mask})
    for (double& x : a->numbers) x = static_cast<double>(static_cast<T>(x));
  return n;
}

/// Y and output 3 in every mode against the definition.
template <class T = double>
void expect_defined(const OnnxNode& node, double bound = 1e-13) {
  const OnnxNode n = rounded<T>(node);
  const OnnxResult expected = onnx_attention(n);
  OnnxCall<T> plain(n);
  plain.run();
  EXPECT_TRUE(agrees(plain.Y.array(expected.Y.shape), expected.Y, bound)) << "Y";
  for (Index mode = 0; mode < 4; ++mode) {
    const Array4& scores = expected.scores[static_cast<std::size_t>(mode)];
    OnnxCall<T> call(n);
    call.ask_scores(n, mode);
    call.run();
    EXPECT_TRUE(agrees(call.Y.array(expected.Y.shape), expected.Y, bound)) << "Y, mode " << mode;
    EXPECT_TRUE(agrees(call.scores.array(scores.shape), scores, bound)) << "mode " << mode;
  }
}

}  // namespace support
