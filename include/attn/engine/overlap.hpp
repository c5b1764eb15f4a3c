// SPDX-License-Identifier: Apache-2.0
// Whether two strided views share memory: exact for views that interleave, as column blocks of one
// row-major matrix do.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <attn/config.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

using ByteRange = std::pair<std::uintptr_t, std::uintptr_t>;  // first byte, one past the last

/// {0, 0} of nothing, which meets no other.
template <class T>
ByteRange byte_range(const TensorView<T>& v) {
  if (v.size() == 0) return {0, 0};
  std::uintptr_t first = reinterpret_cast<std::uintptr_t>(v.data), last = first;
  for (std::size_t axis = 0; axis < 4; ++axis) {
    const Index reach = (v.shape[axis] - 1) * v.strides[axis] * static_cast<Index>(sizeof(T));
    (reach < 0 ? first : last) += static_cast<std::uintptr_t>(reach);
  }
  return {first, last + sizeof(T)};
}

inline bool meet(const ByteRange& a, const ByteRange& b) {
  return a.first < b.second && b.first < a.second;
}

/// Whether one of the first `count` ranges meets any other.
template <std::size_t n>
bool some_meet(const ByteRange (&ranges)[n], std::size_t count) {
  for (std::size_t a = 0; a < count; ++a)
    for (std::size_t b = a + 1; b < n; ++b)
      if (meet(ranges[a], ranges[b])) return true;
  return false;
}

/// The runs of neighbouring numbers along the axis of stride 1 (features or tokens), sorted.
template <class T>
std::vector<ByteRange> byte_runs(const TensorView<T>& v) {
  const std::size_t run_axis = v.strides[2] == 1 && v.strides[3] != 1 ? 2 : 3;
  const bool contiguous = v.strides[run_axis] == 1;
  TensorView<T> starts = v;
  if (contiguous) starts.shape[run_axis] = 1;
  const Index length = contiguous ? v.shape[run_axis] : 1;
  std::vector<ByteRange> runs;
  for (Index b = 0; b < starts.shape[0]; ++b)
    for (Index h = 0; h < starts.shape[1]; ++h)
      for (Index t = 0; t < starts.shape[2]; ++t)
        for (Index f = 0; f < starts.shape[3]; ++f) {
          const auto first = reinterpret_cast<std::uintptr_t>(v.pointer(b, h, t, f));
          runs.emplace_back(first, first + static_cast<std::uintptr_t>(length) * sizeof(T));
        }
  std::sort(runs.begin(), runs.end());
  return runs;
}

/// The exact test allocates, and only runs where the ranges of addresses meet.
template <class T, class U>
bool overlap(const TensorView<T>& a, const TensorView<U>& b) {
  if (!meet(byte_range(a), byte_range(b))) return false;
  const std::vector<ByteRange> runs_a = byte_runs(a), runs_b = byte_runs(b);
  for (auto x = runs_a.begin(), y = runs_b.begin(); x != runs_a.end() && y != runs_b.end();) {
    if (meet(*x, *y)) return true;
    (x->second <= y->second ? x : y)++;
  }
  return false;
}

}  // namespace engine
ATTN_END_NAMESPACE
