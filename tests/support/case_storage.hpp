// SPDX-License-Identifier: Apache-2.0
// Tensors of a case in the scalar of a call, and back: views refer to a Storage, results become
// tensors of doubles again.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include <attn/config.hpp>
#include <attn/tensor_view.hpp>

#include "support/case_folder.hpp"

namespace cases {

using Shape = std::array<Index, 4>;

/// Dimensions aligned from the right, as numpy broadcasts: n_q x n_k becomes {1, 1, n_q, n_k}.
inline Shape shape4(const Tensor& tensor) {
  if (tensor.shape.size() > 4)
    throw Unsupported("a tensor of rank " + std::to_string(tensor.shape.size()));
  Shape shape{1, 1, 1, 1};
  std::copy(tensor.shape.rbegin(), tensor.shape.rend(), shape.rbegin());
  return shape;
}

/// Memory that views refer to; it stays where it is.
template <class T>
class Storage {
 public:
  /// An array in the order batch, head, token, feature, of zeros.
  attn::TensorView<T> make(const Shape& shape) {
    arrays_.emplace_back(Array::Constant(shape[0] * shape[1] * shape[2] * shape[3], T(0)));
    return attn::bhtd(arrays_.back().data(), shape[0], shape[1], shape[2], shape[3]);
  }
  attn::TensorView<T> copy(const Tensor& tensor) {
    const attn::TensorView<T> view = make(shape4(tensor));
    for (std::size_t k = 0; k < tensor.numbers.size(); ++k) {
      if constexpr (std::is_same_v<T, bool>)
        view.data[k] = tensor.numbers[k] != 0;
      else
        view.data[k] = static_cast<T>(tensor.numbers[k]);
    }
    return view;
  }

 private:
  using Array = Eigen::Array<T, Eigen::Dynamic, 1>;
  std::deque<Array> arrays_;
};

/// All numbers of a view, in C order.
template <class T>
Tensor tensor_of(const attn::TensorView<T>& view) {
  Tensor tensor{{view.shape.begin(), view.shape.end()}, {}};
  for (Index b = 0; b < view.batches(); ++b)
    for (Index h = 0; h < view.heads(); ++h)
      for (Index t = 0; t < view.tokens(); ++t)
        for (Index f = 0; f < view.features(); ++f)
          tensor.numbers.push_back(static_cast<double>(view(b, h, t, f)));
  return tensor;
}

template <class Derived>
Tensor tensor_of(const Eigen::MatrixBase<Derived>& matrix) {
  Tensor tensor{{matrix.rows(), matrix.cols()}, {}};
  for (Index i = 0; i < matrix.rows(); ++i)
    for (Index j = 0; j < matrix.cols(); ++j)
      tensor.numbers.push_back(static_cast<double>(matrix(i, j)));
  return tensor;
}

template <std::floating_point A>
Tensor tensor_of(A number) {
  return {{}, {static_cast<double>(number)}};
}

/// A tensor of rank 2, or of rank 1 as one column.
template <class T>
attn::MatrixX<T> matrix_of(const Tensor& tensor) {
  const Shape shape = shape4(tensor);
  const bool stands = tensor.shape.size() < 2;
  if (shape[0] * shape[1] != 1) throw Unsupported("a matrix with batches or heads");
  attn::MatrixX<T> matrix(stands ? shape[3] : shape[2], stands ? 1 : shape[3]);
  for (Index i = 0; i < matrix.rows(); ++i)
    for (Index j = 0; j < matrix.cols(); ++j)
      matrix(i, j) = static_cast<T>(tensor.numbers[std::size_t(i * matrix.cols() + j)]);
  return matrix;
}

template <class T>
attn::VectorX<T> vector_of(const Tensor& tensor) {
  return Eigen::Map<const Eigen::VectorXd>(tensor.numbers.data(), tensor.size()).cast<T>();
}

inline std::vector<Index> integers_of(const Tensor& tensor) {
  std::vector<Index> integers;
  for (const double number : tensor.numbers) integers.push_back(static_cast<Index>(number));
  return integers;
}

/// Everything that was computed: forward results by their names, gradients by what they belong to.
struct Computed {
  std::map<std::string, Tensor> results;
  std::map<std::string, Tensor> gradients;
};

/// Gradients by "part.member", such as "score.Wq".
using GradientMap = std::map<std::string, Tensor>;

/// Every member of a part's gradient, whatever the part is.
template <class G>
void collect_gradient(const std::string& part, const G& g, GradientMap& to) {
  const auto add = [&](const char* member, const auto& numbers) {
    to[part + "." + member] = tensor_of(numbers);
  };
  if constexpr (requires { g.scale; }) add("scale", g.scale);
  if constexpr (requires { g.W; }) add("W", g.W);
  if constexpr (requires { g.Wq; }) add("Wq", g.Wq), add("Wk", g.Wk), add("v", g.v), add("b", g.b);
  if constexpr (requires { g.cap; }) add("cap", g.cap);
  if constexpr (requires { g.slopes; }) add("slopes", g.slopes);
  if constexpr (requires { g.B; }) add("B", g.view());
  if constexpr (requires { g.table; }) add("table", g.table);
  if constexpr (requires { g.logits; }) add("logits", g.logits);
  if constexpr (requires { g.bias; }) add("bias", g.bias);
  if constexpr (requires { g.parameters; }) add("parameters", g.parameters);
}

}  // namespace cases
