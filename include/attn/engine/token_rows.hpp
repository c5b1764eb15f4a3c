// SPDX-License-Identifier: Apache-2.0
// What layers take: n x d matrices, or batches as TensorViews {batch, 1, token, d}. Inside they are
// rows of tokens, batch after batch.
#pragma once

#include <cstddef>
#include <type_traits>

#include <attn/check.hpp>
#include <attn/config.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/parts.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// One token a row, batch after batch.
template <class T>
using TokenRows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class X>
Index batches_of(const X& x) {
  if constexpr (TensorViewLike<X>)
    return x.batches();
  else
    return 1;
}

/// The numbers of an argument called `which`, copied.
template <class T, class X>
TokenRows<T> token_rows(const char* name, const char* which, const X& x) {
  if constexpr (TensorViewLike<X>) {
    if (x.heads() != 1)
      raise_shape({name, ": ", which, " has ", x.heads(), " heads; it must have 1"});
    TokenRows<T> rows(x.batches() * x.tokens(), x.features());
    for (Index b = 0; b < x.batches(); ++b)
      Slice<const T>(x, b, 0).visit_rows(0, x.tokens(), [&](const auto& tokens) {
        rows.middleRows(b * x.tokens(), x.tokens()) = tokens;
      });
    return rows;
  } else {
    return x;
  }
}

/// How many of these types are matrices or views, up to the first that is neither.
template <class... Args>
consteval std::size_t leading_arrays() {
  constexpr bool are_arrays[] = {is_array<Args>..., false};
  std::size_t count = 0;
  while (are_arrays[count]) ++count;
  return count;
}

/// An input of a layer with numbers of type T.
template <class T, class X>
consteval bool diagnose_tokens() {
  static_assert(is_array<X>,
                "attn: a layer takes X as an Eigen matrix or expression with one token a row, or "
                "as a TensorView {batch, 1, token, feature}.");
  if constexpr (is_array<X>)
    static_assert(std::is_same_v<typename X::Scalar, T>,
                  "attn: a layer and its input have different scalar types. Cast one of them: "
                  "X.cast<float>().");
  return is_array<X>;
}

}  // namespace engine
ATTN_END_NAMESPACE
