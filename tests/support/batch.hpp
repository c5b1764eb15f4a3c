// SPDX-License-Identifier: Apache-2.0
// Batches in memory of any layout: arrays, views of them, and the part of one key-value head.
#pragma once

#include <array>
#include <attn/tensor_view.hpp>
#include <cstdint>
#include <memory>
#include <random>
#include <type_traits>

namespace support {

using Sizes = std::array<attn::Index, 4>;  ///< batch, head, token, feature

enum class Layout { bhtd, bthd, strided };

/// Numbers of its own with a view over them.
template <class T>
class Array {
 public:
  Array(Layout layout, const Sizes& n)
      : numbers_(new T[static_cast<std::size_t>(8 * volume(n))]()) {
    T* data = numbers_.get();
    if (layout == Layout::bhtd) {
      view_ = attn::bhtd(data, n[0], n[1], n[2], n[3]);
    } else if (layout == Layout::bthd) {
      view_ = attn::bthd(data, n[0], n[2], n[1], n[3]);
    } else {
      // Tokens from the last to the first, nothing contiguous, batches innermost, and gaps.
      const attn::Index f = 2 * n[0], t = f * n[3], h = t * (n[2] + 1);
      view_ = {data + (n[2] > 0 ? n[2] - 1 : 0) * t, n, {2, h, -t, f}};
    }
  }

  /// Uniform numbers in [-1, 1).
  Array(Layout layout, const Sizes& n, std::uint64_t seed) : Array(layout, n) {
    std::mt19937_64 bits(seed);
    for_each([&](T& x) { x = static_cast<T>(static_cast<double>(bits() >> 11) * 0x1p-52 - 1.0); });
  }

  attn::TensorView<T> view() { return view_; }
  attn::TensorView<const T> view() const { return view_; }

  template <class F>
  void for_each(F&& f) {
    for (attn::Index b = 0; b < view_.batches(); ++b)
      for (attn::Index h = 0; h < view_.heads(); ++h)
        for (attn::Index t = 0; t < view_.tokens(); ++t)
          for (attn::Index k = 0; k < view_.features(); ++k) f(view_(b, h, t, k));
  }

 private:
  static attn::Index volume(const Sizes& n) { return n[0] * n[1] * (n[2] + 1) * n[3] + 1; }
  std::unique_ptr<T[]> numbers_;
  attn::TensorView<T> view_;
};

/// `heads` heads of one batch, from `first` on.
template <class T>
attn::TensorView<T> heads_of(attn::TensorView<T> view, attn::Index batch, attn::Index first,
                             attn::Index heads) {
  view.data = view.pointer(batch, first, 0);
  view.shape[0] = 1;
  view.shape[1] = heads;
  return view;
}

/// The numbers of a view, head below head and batch below batch.
template <class T>
attn::MatrixX<std::remove_const_t<T>> stacked(const attn::TensorView<T>& view) {
  attn::MatrixX<std::remove_const_t<T>> rows(view.batches() * view.heads() * view.tokens(),
                                             view.features());
  attn::Index row = 0;
  for (attn::Index b = 0; b < view.batches(); ++b)
    for (attn::Index h = 0; h < view.heads(); ++h)
      for (attn::Index t = 0; t < view.tokens(); ++t, ++row)
        for (attn::Index k = 0; k < view.features(); ++k) rows(row, k) = view(b, h, t, k);
  return rows;
}

}  // namespace support
