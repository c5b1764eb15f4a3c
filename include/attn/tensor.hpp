// SPDX-License-Identifier: Apache-2.0
// Views of Eigen's Tensors (unsupported/Eigen/CXX11/Tensor), so that they are read where they lie.
//
//     bhtd {batch, head, token, feature}    htd {head, token, feature}     view {token, feature}
//     bthd {batch, token, head, feature}    thd {token, head, feature}
//                                           btd {batch, token, feature}
//
// The name says what the dimensions of the tensor are, first to last; whether they are stored in
// column-major order, Eigen's default, or in row-major order its type says. This header is not part
// of attn.hpp.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/config.hpp>
#include <attn/tensor_view.hpp>
#include <unsupported/Eigen/CXX11/Tensor>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// A Tensor, a TensorFixedSize or a TensorMap: numbers in memory, with sizes and an order.
template <class E>
concept EigenTensor = requires(const std::remove_cvref_t<E>& tensor) {
  { *tensor.data() } -> std::convertible_to<typename std::remove_cvref_t<E>::Scalar>;
  { tensor.dimension(0) } -> std::convertible_to<Index>;
  { std::remove_cvref_t<E>::Layout } -> std::convertible_to<int>;
};

template <class E>
struct IsTensorMap : std::false_type {};
template <class P, int Options, template <class> class Pointer>
struct IsTensorMap<Eigen::TensorMap<P, Options, Pointer>> : std::true_type {};

/// Sizes and strides of a tensor of Rank dimensions, each in the place that `axes` names; the
/// others have the size 1.
template <std::size_t Rank, class E>
auto view_tensor(E& tensor, const std::array<std::size_t, Rank>& axes) {
  using T = std::conditional_t<std::is_const_v<E>, const typename E::Scalar,
                               std::remove_pointer_t<decltype(tensor.data())>>;
  const auto sizes = [&]<std::size_t... k>(std::index_sequence<k...>) {
    return std::array<Index, Rank>{static_cast<Index>(tensor.dimension(k))...};
  }
  (std::make_index_sequence<Rank>());
  TensorView<T> view(tensor.data(), {1, 1, 1, 1}, {0, 0, 0, 0});
  Index stride = 1;
  for (std::size_t k = 0; k < Rank; ++k) {
    const std::size_t dimension = int(E::Layout) == int(Eigen::RowMajor) ? Rank - 1 - k : k;
    view.shape[axes[dimension]] = sizes[dimension];
    view.strides[axes[dimension]] = stride;
    stride *= sizes[dimension];
  }
  return view;
}

/// Heads side by side in the features.
template <class T>
TensorView<T> split_features(const char* name, TensorView<T> view, const Heads& heads) {
  const Index count = heads.query;
  if (count < 1 || view.features() % count != 0)
    raise_value({name, ": ", view.features(), " features cannot be split into ", count,
                 " heads; the head count must divide the features"});
  view.shape[1] = count;
  view.shape[3] /= count;
  view.strides[1] = view.shape[3] * view.strides[3];
  return view;
}

/// What can be known of a tensor before its view is made.
template <class E, std::size_t Rank>
consteval bool diagnose_tensor() {
  using Plain = std::remove_cvref_t<E>;
  constexpr bool has_rank = std::size_t(Plain::NumDimensions) == Rank;
  constexpr bool outlives = std::is_lvalue_reference_v<E> || IsTensorMap<Plain>::value;
  static_assert(has_rank,
                "attn: this view names another number of dimensions than the tensor has: bhtd and "
                "bthd take 4, btd, thd and htd take 3, view takes 2.");
  static_assert(outlives,
                "attn: a view of a temporary Tensor would outlive its numbers. Give the tensor a "
                "name, or pass a TensorMap.");
  return has_rank && outlives;
}

template <std::size_t Rank, class E>
auto checked_view(E&& tensor, const std::array<std::size_t, Rank>& axes) {
  constexpr bool valid = diagnose_tensor<E, Rank>();
  if constexpr (valid) return view_tensor<Rank>(tensor, axes);
}

}  // namespace engine

/// A tensor {batch, head, token, feature}.
///
///     Eigen::Tensor<float, 4, Eigen::RowMajor> Q(B, H, n_q, d), O(B, H, n_q, d_v);
///     attn::attention_into(attn::bhtd(O), attn::bhtd(Q), attn::bhtd(K), attn::bhtd(V));
///
/// Params  a Tensor, TensorFixedSize or TensorMap, in either storage order; of const numbers where
///         it is const. Nothing is copied: it must outlive the view, so no temporary Tensor
/// Result  a TensorView, which every call that takes one takes; so do DenseBias and DenseMask
template <engine::EigenTensor E>
auto bhtd(E&& tensor) {
  return engine::checked_view<4, E>(static_cast<E&&>(tensor), {0, 1, 2, 3});
}

/// A tensor {batch, token, head, feature}.
template <engine::EigenTensor E>
auto bthd(E&& tensor) {
  return engine::checked_view<4, E>(static_cast<E&&>(tensor), {0, 2, 1, 3});
}

/// A tensor {token, head, feature}: one batch, and what packed sequences (CumulativeLengths) are
/// usually kept in.
template <engine::EigenTensor E>
auto thd(E&& tensor) {
  return engine::checked_view<3, E>(static_cast<E&&>(tensor), {2, 1, 3});
}

/// A tensor {head, token, feature}: one batch.
template <engine::EigenTensor E>
auto htd(E&& tensor) {
  return engine::checked_view<3, E>(static_cast<E&&>(tensor), {1, 2, 3});
}

/// A tensor {batch, token, feature}, with `heads` side by side in the features.
/// Throws ValueError where the heads do not divide the features.
template <engine::EigenTensor E>
auto btd(E&& tensor, Heads heads = {}) {
  return engine::split_features(
      "btd", engine::checked_view<3, E>(static_cast<E&&>(tensor), {0, 2, 3}), heads);
}

/// A tensor {token, feature}, with `heads` side by side in the features, as a matrix.
/// Throws ValueError where the heads do not divide the features.
template <engine::EigenTensor E>
auto view(E&& tensor, Heads heads = {}) {
  return engine::split_features(
      "view", engine::checked_view<2, E>(static_cast<E&&>(tensor), {2, 3}), heads);
}

ATTN_END_NAMESPACE
