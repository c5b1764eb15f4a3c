// SPDX-License-Identifier: Apache-2.0
// The score modifiers of a case: a list, chosen at run time, that is one part of a call.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/result.hpp>
#include <attn/score_mod.hpp>

#include "support/case_storage.hpp"

namespace cases {

// Rules of the kind that users write, with their number as a registered parameter.
struct AddNumber {
  template <class S, class N>
  S operator()(const S& s, attn::Position, const N& number) const {
    return s + number;
  }
};
struct MultiplyByNumber {
  template <class S, class N>
  S operator()(const S& s, attn::Position, const N& number) const {
    return s * number;
  }
};
struct AddDistance {
  template <class S, class N>
  S operator()(const S& s, attn::Position at, const N& number) const {
    return s + number * S(static_cast<double>(at.query - at.key));
  }
};
struct HideFuture {
  template <class S>
  S operator()(const S& s, attn::Position at) const {
    return at.key <= at.query ? s : S(-std::numeric_limits<double>::infinity());
  }
};

/// Modifiers one after the other. T is the scalar of Q; a list without any is the identity.
template <class T>
struct ScoreMods {
  using role = attn::role::score_mod;
  using Scalar = T;
  static constexpr bool can_mask = true;
  using Any =
      std::variant<attn::Softcap, attn::Alibi, attn::DenseBias<T>, attn::RelativePositionBias<T>,
                   attn::ScoreMod<AddNumber, double>, attn::ScoreMod<MultiplyByNumber, double>,
                   attn::ScoreMod<AddDistance, double>, attn::ScoreMod<HideFuture>>;
  std::vector<Any> list;

  template <class S, class At>
  S apply(S s, const At& at, attn::Extent e) const {
    for (const Any& mod : list)
      s = std::visit([&](const auto& part) { return part.apply(s, at, e); }, mod);
    return s;
  }

  /// The gradient of each, in the same order: alternative k here belongs to alternative k of Any.
  template <class A>
  struct Gradient {
    template <class Variant>
    struct Of;
    template <class... P>
    struct Of<std::variant<P...>> {
      using type = std::variant<attn::engine::GradientOf<P, A>...>;
    };
    std::vector<typename Of<Any>::type> list;
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    Gradient<A> gradient;
    for_each_alternative([&]<std::size_t I>(const auto& part) {
      using G = std::remove_reference_t<decltype(gradient.list[0])>;
      gradient.list.push_back(G(std::in_place_index<I>, attn::engine::zero_gradient<A>(part)));
    });
    return gradient;
  }
  void check(const attn::engine::CallSizes& call) const {
    for (const Any& mod : list)
      std::visit([&](const auto& part) { attn::engine::check_part(part, call); }, mod);
  }
  template <class S, class At, class G>
  S backward(const S& s, const S& d_out, const At& at, attn::Extent e, G& gradient) const {
    return backward_from(0, s, d_out, at, e, gradient);
  }

  template <class A>
  static void collect(const std::string& name, const Gradient<A>& gradient, GradientMap& to) {
    for (std::size_t k = 0; k < gradient.list.size(); ++k)
      std::visit([&](const auto& g) { collect_gradient(name + std::to_string(k), g, to); },
                 gradient.list[k]);
  }

 private:
  /// f.operator()<I>(part) with I the place of its type among the alternatives.
  template <class F>
  void for_each_alternative(F&& f) const {
    for (const Any& mod : list) visit_indexed(mod, f);
  }
  template <std::size_t I = 0, class F>
  static auto visit_indexed(const Any& mod, F&& f) {
    if constexpr (I + 1 < std::variant_size_v<Any>) {
      if (mod.index() != I) return visit_indexed<I + 1>(mod, f);
    }
    return f.template operator()<I>(std::get<I>(mod));
  }
  /// Forward through the rest of the list, and back with the gradient.
  template <class S, class At, class G>
  S backward_from(std::size_t k, const S& s, const S& d_out, const At& at, attn::Extent e,
                  G& gradient) const {
    if (k == list.size()) return d_out;
    return visit_indexed(list[k], [&]<std::size_t I>(const auto& part) {
      const S d = backward_from(k + 1, S(part.apply(s, at, e)), d_out, at, e, gradient);
      return S(part.backward(s, d, at, e, std::get<I>(gradient.list[k])));
    });
  }
};

}  // namespace cases
