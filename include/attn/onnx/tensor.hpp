// SPDX-License-Identifier: Apache-2.0
// Tensors as they stand at the door of an ONNX operator: of rank 1 to 4, or absent.
//
// Rank is part of the operators' meaning (heads apart or side by side, masks that broadcast), so a
// TensorView, which always has four dimensions, is not enough here. Next: attention.hpp,
// flex_attention.hpp and linear_attention.hpp beside this file.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/overlap.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace onnx {

/// Numbers in memory of the caller's, with a shape of one to four dimensions; T may be const.
/// Without a shape it is an absent slot of the operator. Strides are in elements.
///
///     Tensor<float>(data, {2, 3, 4})       contiguous, last axis fastest
///     Tensor<float>(data, sizes)           sizes: any range of integers
///     Tensor<float>(view)                  rank 4, with the strides of a TensorView
///
/// Throws  ShapeError for another rank and for negative sizes, ValueError for numbers without data
template <class T>
struct Tensor {
  using Scalar = std::remove_const_t<T>;

  T* data = nullptr;
  Index rank = 0;
  std::array<Index, 4> shape{};    ///< the first `rank` numbers
  std::array<Index, 4> strides{};  ///< likewise

  Tensor() = default;
  Tensor(T* numbers, std::initializer_list<Index> sizes) : data(numbers) { set_shape(sizes); }
  template <class Sizes>
  requires requires(const Sizes& s) {
    { *s.begin() } -> std::convertible_to<Index>;
    s.end();
  }
  Tensor(T* numbers, const Sizes& sizes) : data(numbers) { set_shape(sizes); }

  Tensor(const TensorView<T>& view)  // NOLINT(google-explicit-constructor)
      : data(view.data), rank(4), shape(view.shape), strides(view.strides) {}
  /// A tensor to change is a tensor to read.
  template <class U>
  requires std::is_same_v<const U, T> Tensor(
      const Tensor<U>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), rank(other.rank), shape(other.shape), strides(other.strides) {}
  template <class U>
  requires std::is_same_v<const U, T> Tensor(const TensorView<U>& view)
      : Tensor(TensorView<T>(view)) {}  // NOLINT

  bool is_given() const { return rank > 0; }
  Index size(Index axis) const { return shape[static_cast<std::size_t>(axis)]; }
  Index last() const { return rank > 0 ? size(rank - 1) : 0; }

  /// Four dimensions, aligned from the right as numpy broadcasts: [Sq, T] becomes {1, 1, Sq, T}.
  TensorView<T> aligned() const {
    TensorView<T> view(data, {1, 1, 1, 1}, {0, 0, 0, 0});
    std::copy_n(shape.begin(), rank, view.shape.end() - rank);
    std::copy_n(strides.begin(), rank, view.strides.end() - rank);
    return view;
  }

 private:
  template <class Sizes>
  void set_shape(const Sizes& sizes) {
    for (const auto n : sizes) {
      if (rank < 4) shape[static_cast<std::size_t>(rank)] = static_cast<Index>(n);
      ++rank;
      if (n < 0)
        engine::raise_shape({"onnx::Tensor: dimension ", rank - 1, " is ", static_cast<Index>(n),
                             "; a size is 0 or more"});
    }
    if (rank < 1 || rank > 4)
      engine::raise_shape(
          {"onnx::Tensor: the shape has ", rank, " dimensions; the operators take 1 to 4"});
    Index count = 1;
    for (Index axis = rank - 1; axis >= 0; --axis) {
      strides[static_cast<std::size_t>(axis)] = count;
      count *= size(axis);
    }
    if (count > 0 && data == nullptr)
      engine::raise_value({"onnx::Tensor: there is no data for ", count,
                           " numbers; an absent slot is a Tensor without shape"});
  }
};

/// What the machinery between operator and engine needs; private.
namespace binding {

using engine::raise_shape;
using engine::raise_value;

/// Whether these arguments say how a call runs, and nothing of what it computes.
template <class... Parts>
inline constexpr bool only_run =
    (true && ... && (PartOf<Parts, role::executor> || PartOf<Parts, role::workspace>));

template <class Sizes>
std::string shape_text(const Sizes& sizes) {
  std::string text;
  for (const Index n : sizes) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "[" + text + "]";
}
template <class T>
std::string shape_text(const Tensor<T>& tensor) {
  std::string text;
  for (Index axis = 0; axis < tensor.rank; ++axis)
    text += (axis == 0 ? "" : ", ") + std::to_string(tensor.size(axis));
  return "[" + text + "]";
}

/// Throws ShapeError unless the tensor is given and has this shape.
template <class T>
void check_shape(const char* name, const char* which, const Tensor<T>& tensor,
                 std::initializer_list<Index> need, const char* rule) {
  if (!tensor.is_given())
    raise_shape({name, ": ", which, " is missing; it must be ", shape_text(need), ", ", rule});
  if (tensor.rank == static_cast<Index>(need.size()) &&
      std::equal(need.begin(), need.end(), tensor.shape.begin()))
    return;
  raise_shape({name, ": ", which, " is ", shape_text(tensor), " and must be ", shape_text(need),
               ", ", rule});
}

/// Throws unless `heads` is 1 or more and divides the width of a tensor that packs them.
template <class T>
void check_packed(const char* name, const char* which, const Tensor<T>& tensor, const char* count,
                  Index heads) {
  if (heads < 1) raise_value({name, ": ", count, " is ", heads, "; it must be 1 or more"});
  if (tensor.last() % heads != 0)
    raise_shape({name, ": ", which, " is ", tensor.last(), " wide, which cannot be split into ",
                 heads, " heads; ", count, " must divide the width"});
}

/// Throws ValueError unless each key-value head serves the same number of query heads.
inline void check_grouping(const char* name, Index query_heads, Index key_heads) {
  if (query_heads >= 1 && key_heads >= 1 && query_heads % key_heads == 0) return;
  raise_value({name, ": there are ", query_heads, " query heads and ", key_heads,
               " key-value heads; the first must be a multiple of the second"});
}

/// {batch, head, token, feature} of a tensor of rank 4, or of rank 3 with heads side by side.
template <class T>
TensorView<T> head_view(const Tensor<T>& tensor, Index heads) {
  const auto &n = tensor.shape, &step = tensor.strides;
  if (tensor.rank == 4) return {tensor.data, n, step};
  const Index features = n[2] / heads;
  return {
      tensor.data, {n[0], heads, n[1], features}, {step[0], features * step[2], step[1], step[2]}};
}

/// Tokens first .. first + count - 1.
template <class T>
TensorView<T> tokens(TensorView<T> view, Index first, Index count) {
  if (count > 0) view.data += first * view.strides[2];
  view.shape[2] = count;
  return view;
}

/// Whether two views name the same numbers in the same order.
template <class T, class U>
bool is_same(const TensorView<T>& a, const TensorView<U>& b) {
  bool same = a.data == b.data && a.shape == b.shape;
  for (std::size_t axis = 0; axis < 4; ++axis)
    same = same && (a.shape[axis] <= 1 || a.strides[axis] == b.strides[axis]);
  return same;
}

/// Copies bit for bit; nothing where the numbers stand in their place already.
template <class T>
void copy_numbers(const TensorView<const T>& from, const TensorView<T>& to) {
  if (is_same(from, to)) return;
  const bool in_runs = from.strides[3] == 1 && to.strides[3] == 1;
  for (Index b = 0; b < to.batches(); ++b)
    for (Index h = 0; h < to.heads(); ++h)
      for (Index t = 0; t < to.tokens(); ++t)
        if (in_runs)
          std::copy_n(from.pointer(b, h, t), to.features(), to.pointer(b, h, t));
        else
          for (Index f = 0; f < to.features(); ++f) to(b, h, t, f) = from(b, h, t, f);
}

/// Who reads and writes which memory in one call: results lie apart from all else.
template <class T>
class MemoryClaims {
 public:
  using View = TensorView<const T>;
  explicit MemoryClaims(const char* name) : name_(name) {}

  void read(const char* which, const View& view) { taken_.push_back({which, view}); }

  void write(const char* which, const Tensor<T>& tensor) {
    if (!tensor.is_given()) return;
    check(which, tensor.aligned(), nullptr);
    read(which, tensor.aligned());
  }
  /// A result whose first tokens may be those of `past` where they lie, and the others `fresh`.
  void write(const char* which, const Tensor<T>& tensor, const View& past, const View& fresh) {
    if (!tensor.is_given()) return;
    const View all = tensor.aligned();
    const Index old = all.tokens() - fresh.tokens();
    check(which, tokens(all, 0, old), &past);
    check(which, tokens(all, old, fresh.tokens()), &fresh);
    read(which, all);
  }

 private:
  struct Claim {
    const char* which;
    View view;
  };
  void check(const char* which, const View& view, const View* in_place) const {
    for (const Claim& other : taken_)
      if (engine::overlap(view, other.view) &&
          !(in_place && is_same(*in_place, other.view) && is_same(view, other.view)))
        raise_value({name_, ": ", which, " overlaps ", other.which,
                     " in memory; results need memory of their own"});
  }

  const char* name_;
  std::vector<Claim> taken_;
};

}  // namespace binding
}  // namespace onnx
ATTN_END_NAMESPACE
