// SPDX-License-Identifier: Apache-2.0
// What the entry points return: outputs with log-sum-exp, weights, gradients; merge and finish.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/normalizer.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Marks a result whose parts cannot be merged afterwards.
struct NotMergeable {};

template <class P, class A>
struct GradientOfPart {
  using type = typename P::template Gradient<A>;
};
template <class P, class A>
using GradientOf = typename GradientOfPart<P, A>::type;

template <class A, class P>
GradientOf<P, A> zero_gradient(const P& part) {
  if constexpr (requires { part.template zero_gradient<A>(); })
    return part.template zero_gradient<A>();
  else
    return {};
}

template <class P, template <class...> class Template>
struct IsInstance : std::false_type {};
template <template <class...> class Template, class... T>
struct IsInstance<Template<T...>, Template> : std::true_type {};

/// Gradients whose numbers can be visited, and so added up.
template <class G>
concept NamesMembers = requires(G& gradient) {
  gradient.members();
};

/// Index of the n-th true, or the number of flags.
template <std::size_t Count>
consteval std::size_t nth_true(const bool (&flags)[Count], std::size_t n) {
  for (std::size_t k = 0; k < Count; ++k)
    if (flags[k] && n-- == 0) return k;
  return Count;
}

}  // namespace engine

/// Gradients of the parameters of the parts of a call, in the accumulator type.
///
///     gradients.of<Additive>().Wq     gradients.of<DenseBias, 1>().B   (the second of two)
template <class A, class... Parts>
class PartGradients {
 public:
  PartGradients() = default;
  explicit PartGradients(const Parts&... parts) : gradients_(engine::zero_gradient<A>(parts)...) {}

  template <class P, std::size_t N = 0>
  const auto& of() const {
    constexpr bool match[] = {std::is_same_v<Parts, P>...};
    return select<engine::nth_true(match, N)>();
  }
  template <template <class...> class P, std::size_t N = 0>
  const auto& of() const {
    constexpr bool match[] = {engine::IsInstance<Parts, P>::value...};
    return select<engine::nth_true(match, N)>();
  }

  /// Private to the engine.
  template <std::size_t I>
  auto& at() {
    return std::get<I>(gradients_);
  }
  /// Private to the engine: whether every part names the members of its gradients.
  static constexpr bool can_add =
      (true && ... && engine::NamesMembers<engine::GradientOf<Parts, A>>);
  /// Private to the engine: how many numbers these are; more than any where they cannot be added.
  Index size() {
    if constexpr (can_add)
      return std::apply([](auto&... member) { return (Index(0) + ... + count(member)); },
                        members());
    else
      return std::numeric_limits<Index>::max();
  }
  /// Private to the engine: adds the gradients of the same parts.
  void add(PartGradients& other) {
    if constexpr (can_add) {
      const auto to = members(), from = other.members();
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((std::get<I>(to) += std::get<I>(from)), ...);
      }
      (std::make_index_sequence<std::tuple_size_v<decltype(to)>>());
    }
  }

 private:
  template <std::size_t I>
  const auto& select() const {
    static_assert(I < sizeof...(Parts),
                  "attn: of<Part>() names a part that was not in the call of attention_backward "
                  "(or fewer of that kind were).");
    return std::get<(I < sizeof...(Parts) ? I : 0)>(gradients_);
  }
  /// References to every number, vector and matrix.
  auto members() {
    return std::apply([](auto&... part) { return std::tuple_cat(part.members()...); }, gradients_);
  }
  static Index count(const A&) { return 1; }
  template <class Matrix>
  static Index count(const Matrix& matrix) {
    return matrix.size();
  }

  std::tuple<engine::GradientOf<Parts, A>...> gradients_;
};

/// What backward, merging and chunked work need of a forward call.
///
/// output       n_q x d_v
/// log_sum_exp  n_q x heads: L = log sum_j exp(s_ij) of the visible, modified scores; a sink is
///              left out; -inf where a query sees no key
template <class Output, class Lse, class Normalizer = Softmax>
struct Forward {
  Output output;
  Lse log_sum_exp;
};
template <class Output, class Lse>
Forward(Output, Lse) -> Forward<Output, Lse>;

/// The output and the n_q x n_k weights that it is made with; heads stacked by rows.
template <class Output, class Weights>
struct Weighted {
  Output output;
  Weights weights;
};

/// Gradients of a loss by Q, K, V and by the parameters of the parts.
template <class Query, class Key, class Value, class Gradients>
struct Backward {
  Query query;
  Key key;
  Value value;
  Gradients parts;

  template <class P, std::size_t N = 0>
  const auto& of() const {
    return parts.template of<P, N>();
  }
  template <template <class...> class P, std::size_t N = 0>
  const auto& of() const {
    return parts.template of<P, N>();
  }
};

/// The exact result over the union of two disjoint sets of keys, from the results over each.
///
///     L = log(exp(L_a) + exp(L_b)),  O = exp(L_a - L) O_a + exp(L_b - L) O_b
///
/// For Softmax without probability modifiers. A side that saw no key is the identity.
/// Throws  ShapeError where the two differ in size
/// Source  Dao et al. 2022 (FlashAttention), section 3.1
template <class Output, class Lse, class Normalizer>
Forward<Output, Lse> merge(const Forward<Output, Lse, Normalizer>& a,
                           const Forward<Output, Lse, Normalizer>& b) {
  static_assert(std::is_same_v<Normalizer, Softmax>,
                "attn::merge: only results of Softmax without probability modifiers can be merged. "
                "Add a sink once, at the end: finish(forward, SoftmaxWithSink{...}).");
  using A = typename Lse::Scalar;
  if (a.log_sum_exp.rows() != a.output.rows() || b.log_sum_exp.rows() != b.output.rows())
    engine::raise_shape({"merge: an output has ", a.output.rows(), " and ", b.output.rows(),
                         " rows and its log_sum_exp ", a.log_sum_exp.rows(), " and ",
                         b.log_sum_exp.rows(), "; each query needs one"});
  if (a.output.rows() != b.output.rows() || a.output.cols() != b.output.cols() ||
      a.log_sum_exp.cols() != b.log_sum_exp.cols())
    engine::raise_shape(
        {"merge: the outputs are ", engine::size_text(a.output.rows(), a.output.cols()), " with ",
         a.log_sum_exp.cols(), " heads and ", engine::size_text(b.output.rows(), b.output.cols()),
         " with ", b.log_sum_exp.cols(), "; both must be results for the same queries"});
  Forward<Output, Lse> merged{a.output, a.log_sum_exp};
  const Index heads = a.log_sum_exp.cols();
  const Index d_v = heads > 0 ? a.output.cols() / heads : 0;
  for (Index h = 0; h < heads; ++h)
    for (Index i = 0; i < a.output.rows(); ++i) {
      const A la = a.log_sum_exp(i, h), lb = b.log_sum_exp(i, h);
      constexpr A empty = -std::numeric_limits<A>::infinity();
      if (la == empty && lb == empty) continue;  // neither side saw a key
      const A most = la < lb ? lb : la;
      const A wa = std::exp(la - most), wb = std::exp(lb - most), sum = wa + wb;
      for (Index c = h * d_v; c < (h + 1) * d_v; ++c) {
        const A oa = static_cast<A>(a.output(i, c)), ob = static_cast<A>(b.output(i, c));
        merged.output(i, c) = static_cast<typename Output::Scalar>((wa * oa + wb * ob) / sum);
      }
      merged.log_sum_exp(i, h) = most + std::log(sum);
    }
  return merged;
}

/// Adds the sink to a (merged) softmax result: O exp(L - Z). L stays as it is, without the sink.
template <class Output, class Lse>
Forward<Output, Lse, SoftmaxWithSink> finish(const Forward<Output, Lse, Softmax>& forward,
                                             const SoftmaxWithSink& sink) {
  using A = typename Lse::Scalar;
  const Index heads = forward.log_sum_exp.cols();
  engine::CallSizes sizes;
  sizes.name = "finish";
  sizes.heads = heads;
  sink.check(sizes);
  Forward<Output, Lse, SoftmaxWithSink> result{forward.output, forward.log_sum_exp};
  const Index d_v = heads > 0 ? forward.output.cols() / heads : 0;
  for (Index h = 0; h < heads; ++h)
    for (Index i = 0; i < forward.output.rows(); ++i) {
      const A l = forward.log_sum_exp(i, h);
      const A factor = std::exp(l - sink.log_denominator(l, h));
      for (Index c = h * d_v; c < (h + 1) * d_v; ++c)
        result.output(i, c) =
            static_cast<typename Output::Scalar>(factor * static_cast<A>(forward.output(i, c)));
    }
  return result;
}

ATTN_END_NAMESPACE
