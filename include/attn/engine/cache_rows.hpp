// SPDX-License-Identifier: Apache-2.0
// The memory of a cache: rows of features in a storage type, one for each token and head.
//
//     int8   x ~ scale n,  scale = max|x| / 127 over the row,  n = x / scale to the nearest
//
// so a number is off by scale / 2 at most (max|x| / 253 with all rounding). A row whose largest
// number is below 127 times the smallest normal float is stored as zeros, and one that holds NaN or
// inf as NaN throughout: it then reaches those queries that see it, as NaN does, and no others.
// Next: cached_tokens.hpp.
// Source: Dettmers et al. 2022 (LLM.int8()), eq. 3, with a scale for each row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/convert.hpp>
#include <attn/engine/packet.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// What rows may be stored in besides the scalars that are computed with.
template <class S>
inline constexpr bool is_quantised = std::is_same_v<S, std::int8_t>;

/// `count` numbers, `step` apart, as a run of another type, rounded from the accumulator type A.
template <class A, class T, class S>
void store_row(const T* from, Index step, Index count, S* to) {
  if (step != 1) {
    for (Index k = 0; k < count; ++k) to[k] = static_cast<S>(static_cast<A>(from[k * step]));
    return;
  }
  for (Index k = 0; k < count; k += Pack<A>::width)
    store_first_as(load_first_as<A>(from + k, count - k), to + k, count - k);
}

/// The same in whole numbers; returns the scale.
template <class T>
float quantise_row(const T* from, Index step, Index count, std::int8_t* to) {
  float most = 0, differences = 0;
  for (Index k = 0; k < count; ++k) {
    const float x = static_cast<float>(from[k * step]);
    most = std::max(most, std::abs(x));
    differences += x - x;  // NaN where a number is not finite
  }
  constexpr float below_one = 1 - std::numeric_limits<float>::epsilon();  // 127 scale stays finite
  const float scale = std::min(most / 127, std::numeric_limits<float>::max() / 127 * below_one);
  const bool is_finite = differences == 0;
  if (!is_finite || !(scale >= std::numeric_limits<float>::min())) {
    std::fill_n(to, count, std::int8_t{0});
    return is_finite ? 0.F : std::numeric_limits<float>::quiet_NaN();
  }
  for (Index k = 0; k < count; ++k) {
    const float n = static_cast<float>(from[k * step]) / scale;
    to[k] = static_cast<std::int8_t>(n < 0 ? n - 0.5F : n + 0.5F);
  }
  return scale;
}

/// Rows of one width, and of what each must be multiplied by where they are whole numbers.
template <class S>
class CacheRows {
 public:
  CacheRows() = default;
  CacheRows(Index rows, Index width) : numbers_(rows, width), scales_(is_quantised<S> ? rows : 0) {}

  const S* numbers() const { return numbers_.data(); }
  const float* scales() const { return is_quantised<S> ? scales_.data() : nullptr; }
  Index width() const { return numbers_.cols(); }
  /// Memory that rows take, in bytes.
  Index bytes() const {
    return numbers_.size() * static_cast<Index>(sizeof(S)) +
           scales_.size() * static_cast<Index>(sizeof(float));
  }

  /// Row `row` from numbers that are `step` apart.
  template <class T>
  void store(Index row, const T* from, Index step) {
    S* to = numbers_.data() + row * width();
    if constexpr (is_quantised<S>)
      scales_(row) = quantise_row(from, step, width(), to);
    else
      store_row<Accumulator<T>>(from, step, width(), to);
  }

  /// Rows first .. first+count-1 from other memory, or from behind in the same.
  void copy(const CacheRows& from, Index from_first, Index count, Index first) {
    std::copy_n(from.numbers_.data() + from_first * width(), count * width(),
                numbers_.data() + first * width());
    if constexpr (is_quantised<S>)
      std::copy_n(from.scales_.data() + from_first, count, scales_.data() + first);
  }

 private:
  Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> numbers_;
  VectorX<float> scales_;
};

/// Stores tokens {batch, head, token, feature}; row_of(b, h, t) tells where.
template <class T, class S, class F>
void store_tokens(const TensorView<const T>& from, CacheRows<S>& to, F&& row_of) {
  for (Index b = 0; b < from.batches(); ++b)
    for (Index h = 0; h < from.heads(); ++h)
      for (Index t = 0; t < from.tokens(); ++t)
        to.store(row_of(b, h, t), from.pointer(b, h, t), from.strides[3]);
}

}  // namespace engine
ATTN_END_NAMESPACE
