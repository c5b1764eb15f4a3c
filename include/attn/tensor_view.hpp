// SPDX-License-Identifier: Apache-2.0
// Strided views of four dimensions (batch, head, token, feature), and `Heads`.
//
// Every entry point turns its matrices into such views, so that the engine is a template over the
// scalar alone and never over the expression types that users pass.
#pragma once

#include <array>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE

/// Heads side by side in the columns: `Heads{8}`, or `Heads{.query = 8, .key_value = 2}` for
/// grouped queries, where query head h reads key-value head h / (query / key_value).
/// Source: Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 (grouped queries).
struct Heads {
  using role = role::heads;
  Integer query = 1;
  Integer key_value = 0;  ///< 0: as many as `query`

  constexpr Index key_value_heads() const {
    return Index(key_value) == 0 ? Index(query) : Index(key_value);
  }
};

/// A strided view of numbers; does not own them. T may be const.
///
/// Shapes  {batch, head, token, feature}; strides are in elements and may be 0 or negative
template <class T>
struct TensorView {
  using Scalar = std::remove_const_t<T>;

  T* data = nullptr;
  std::array<Index, 4> shape{0, 0, 0, 0};
  std::array<Index, 4> strides{0, 0, 0, 0};

  constexpr TensorView() = default;
  constexpr TensorView(T* pointer, std::array<Index, 4> sizes, std::array<Index, 4> steps)
      : data(pointer), shape(sizes), strides(steps) {}

  /// A view to change is a view to read.
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) constexpr TensorView(
      const TensorView<U>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), shape(other.shape), strides(other.strides) {}

  constexpr Index batches() const { return shape[0]; }
  constexpr Index heads() const { return shape[1]; }
  constexpr Index tokens() const { return shape[2]; }
  constexpr Index features() const { return shape[3]; }
  constexpr Index size() const { return shape[0] * shape[1] * shape[2] * shape[3]; }

  constexpr T* pointer(Index b, Index h, Index t, Index f = 0) const {
    return data + b * strides[0] + h * strides[1] + t * strides[2] + f * strides[3];
  }
  constexpr T& operator()(Index b, Index h, Index t, Index f) const { return *pointer(b, h, t, f); }
};

/// A contiguous array in the order batch, head, token, feature.
template <class T>
constexpr TensorView<T> bhtd(T* data, Index batch, Index heads, Index tokens, Index features) {
  return {data,
          {batch, heads, tokens, features},
          {heads * tokens * features, tokens * features, features, 1}};
}

/// A contiguous array in the order batch, token, head, feature, as linear layers produce it.
template <class T>
constexpr TensorView<T> bthd(T* data, Index batch, Index tokens, Index heads, Index features) {
  return {data,
          {batch, heads, tokens, features},
          {tokens * heads * features, features, heads * features, 1}};
}

namespace engine {

template <class E>
concept EigenDense = requires(const std::remove_cvref_t<E>& e) {
  []<class D>(const Eigen::DenseBase<D>&) {}(e);
};

template <class E>
struct IsTensorView : std::false_type {};
template <class T>
struct IsTensorView<TensorView<T>> : std::true_type {};

template <class E>
concept TensorViewLike = IsTensorView<std::remove_cvref_t<E>>::value;

/// Whether an expression has its numbers in memory, so that a view of it needs no copy.
template <class E>
inline constexpr bool has_direct_access = (Eigen::internal::traits<std::remove_cvref_t<E>>::Flags &
                                           Eigen::DirectAccessBit) != 0;

/// Rows are tokens; `heads` equal groups of columns are heads.
template <class T, class E>
TensorView<T> view_columns(T* data, const E& matrix, Index heads) {
  const Index row = E::IsRowMajor ? matrix.outerStride() : matrix.innerStride();
  const Index column = E::IsRowMajor ? matrix.innerStride() : matrix.outerStride();
  const Index features = heads > 0 ? matrix.cols() / heads : 0;
  return {data, {1, heads, matrix.rows(), features}, {0, features * column, row, column}};
}

}  // namespace engine

/// A view of a matrix in memory (Matrix, Map, Block, Ref): one batch; tokens by rows, heads side by
/// side in the columns. Throws ValueError where the heads do not divide the columns.
template <class E>
requires engine::EigenDense<E> && engine::has_direct_access<E>
auto view(E&& matrix, Heads heads = {}) {
  using Plain = std::remove_reference_t<E>;
  using T = std::conditional_t<std::is_const_v<Plain>, const typename Plain::Scalar,
                               std::remove_pointer_t<decltype(matrix.data())>>;
  const Index count = heads.query;
  if (count < 1 || matrix.cols() % count != 0)
    engine::raise_value({"view: ", matrix.cols(), " columns cannot be split into ", count,
                         " heads; the head count must divide the columns"});
  return engine::view_columns<T>(matrix.data(), matrix, count);
}

ATTN_END_NAMESPACE
