// SPDX-License-Identifier: Apache-2.0
// The numbers that parts hold: a copy of a matrix, or a reference to memory of the user's.
//
// A matrix or an expression is copied; a Map, Ref or TensorView is referred to and must outlive the
// part. That lets a training loop change weights in place without building its mechanism again.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class E>
struct IsReference : std::false_type {};
template <class P, int Options, class Stride>
struct IsReference<Eigen::Map<P, Options, Stride>> : std::true_type {};
template <class P, int Options, class Stride>
struct IsReference<Eigen::Ref<P, Options, Stride>> : std::true_type {};

/// The bottom right of a whole cannot be known from a chunk of it.
inline void check_alignment(const CallSizes& call, const char* part, bool from_bottom_right) {
  if (from_bottom_right && call.is_chunk)
    raise_value({call.name, ": ", part,
                 "::bottom_right is given with positions (PositionOffset, or those of a cache); "
                 "they say where the queries stand, so the part takes its .offset or nothing"});
}

/// A matrix, vector or four-dimensional tensor of a part: owned or referred to.
template <class T>
class Parameter {
 public:
  using Scalar = T;
  using MatrixMap =
      Eigen::Map<const MatrixX<T>, Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;

  Parameter() = default;

  template <EigenDense E>
  Parameter(const E& numbers) {  // NOLINT(google-explicit-constructor)
    static_assert(std::is_same_v<typename E::Scalar, T>,
                  "attn: the matrices of one part must share one scalar type. Cast them: "
                  "W.cast<float>().");
    if constexpr (IsReference<E>::value) {
      view_ = view_columns<const T>(numbers.data(), numbers, 1);
      refers_ = true;
    } else {
      owned_ = numbers;
    }
  }

  Parameter(const TensorView<const T>& tensor)
      : view_(tensor), refers_(true), broadcasts_(true) {}                            // NOLINT
  Parameter(const TensorView<T>& tensor) : Parameter(TensorView<const T>(tensor)) {}  // NOLINT

  /// Four dimensions: a matrix is {1, 1, rows, columns}.
  TensorView<const T> tensor() const {
    return refers_ ? view_ : view_columns<const T>(owned_.data(), owned_, 1);
  }

  Index rows() const { return refers_ ? view_.tokens() : owned_.rows(); }
  Index cols() const { return refers_ ? view_.features() : owned_.cols(); }
  Index size() const { return rows() * cols(); }

  MatrixMap matrix() const {
    const TensorView<const T> t = tensor();
    return MatrixMap(t.data, t.tokens(), t.features(), {t.strides[3], t.strides[2]});
  }

  /// Throws ShapeError unless this is n_q x n_k, dimensions of size 1 aside where it is a tensor,
  /// or covers the positions of a chunk.
  void check_fits(const CallSizes& call, const char* name) const {
    const std::array<Index, 4> have = tensor().shape;
    const std::array<Index, 4> need{call.batches, call.heads, call.query_end, call.key_end};
    for (std::size_t axis = 0; axis < 4; ++axis) {
      const bool broadcasts = have[axis] == 1 && (axis < 2 || broadcasts_);
      const bool covers = call.is_chunk && axis >= 2 && have[axis] >= need[axis];
      if (have[axis] == need[axis] || broadcasts || covers) continue;
      if (axis < 2)
        raise_shape({call.name, ": ", name, " has ", have[axis], axis == 0 ? " batches" : " heads",
                     " and the call has ", need[axis], "; they must be equal, or 1 to broadcast"});
      raise_shape({call.name, ": ", name, " is ", size_text(have[2], have[3]), " and must be ",
                   size_text(need[2], need[3]), ", n_q x n_k"});
    }
  }

  /// The k-th number of a vector, lying or standing.
  T operator()(Index k) const {
    const TensorView<const T> t = tensor();
    return t.data[k * (t.features() == 1 ? t.strides[2] : t.strides[3])];
  }

 private:
  MatrixX<T> owned_;
  TensorView<const T> view_;
  bool refers_ = false;
  bool broadcasts_ = false;  ///< a tensor, whose dimensions of size 1 serve all
};

/// One number a head (ALiBi's slopes, sink logits), of any floating type, owned or referred to.
class HeadValues {
 public:
  HeadValues() = default;

  template <EigenDense E>
  HeadValues(const E& values) : values_(parameter_of(values)) {}  // NOLINT

  /// From anything that holds numbers one behind the other.
  template <class Range>
  requires(!EigenDense<Range> &&
           requires(const Range& r) {
             { *std::begin(r) } -> std::convertible_to<double>;
           }) HeadValues(const Range& values)  // NOLINT(google-explicit-constructor)
      : values_(Parameter<double>(collected(values))) {}

  template <std::floating_point T>
  HeadValues(std::initializer_list<T> values)  // NOLINT(google-explicit-constructor)
      : values_(Parameter<double>(collected(values))) {}

  /// The same number for every head.
  template <RealNumber T>
  HeadValues(T value)  // NOLINT(google-explicit-constructor)
      : values_(Parameter<double>(VectorX<double>::Constant(1, static_cast<double>(value)))),
        shared_(true) {}

  Index size() const {
    return std::visit([](const auto& p) { return p.size(); }, values_);
  }
  /// Whether one number serves every head.
  bool shared() const { return shared_; }
  /// Whether there is a number for each of `heads` heads.
  bool covers(Index heads) const { return shared_ || size() == heads; }

  double operator()(Index head) const {
    return std::visit([&](const auto& p) { return static_cast<double>(p(shared_ ? 0 : head)); },
                      values_);
  }

 private:
  template <class Range>
  static VectorX<double> collected(const Range& values) {
    VectorX<double> numbers(static_cast<Index>(std::size(values)));
    Index k = 0;
    for (const auto& value : values) numbers(k++) = static_cast<double>(value);
    return numbers;
  }
  template <class E>
  static auto parameter_of(const E& values) {
    return Parameter<typename E::Scalar>(values);
  }

  std::variant<Parameter<double>, Parameter<float>, Parameter<Eigen::half>,
               Parameter<Eigen::bfloat16>>
      values_;
  bool shared_ = false;
};

/// Integers of a part (lengths, document ids), copied from whatever holds them.
class Integers {
 public:
  Integers() = default;

  template <WholeNumber T>
  Integers(T value) : values_{static_cast<Index>(value)} {}  // NOLINT

  template <std::integral T>
  Integers(std::initializer_list<T> values) {  // NOLINT(google-explicit-constructor)
    assign(values);
  }

  template <class Range>
  requires(!std::is_integral_v<Range> && requires(const Range& r) {
    { *r.begin() } -> std::convertible_to<Index>;
    r.end();
  }) Integers(const Range& values) {  // NOLINT(google-explicit-constructor)
    assign(values);
  }

  Index size() const { return static_cast<Index>(values_.size()); }
  Index operator()(Index k) const { return values_[static_cast<std::size_t>(k)]; }

 private:
  template <class Range>
  void assign(const Range& values) {
    for (const auto& value : values) values_.push_back(static_cast<Index>(value));
  }

  std::vector<Index> values_;
};

}  // namespace engine
ATTN_END_NAMESPACE
