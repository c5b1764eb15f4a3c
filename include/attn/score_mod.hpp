// SPDX-License-Identifier: Apache-2.0
// Score modifiers: what happens to a score that knows where it stands.
//
//     softcap  c tanh(s / c)          bias      s + B_ij
//     ALiBi    s - slope_h |i - j|    relative  s + table[bucket(j - i), h]
//
// `apply` is the rule, for a scalar as for a pack of scores; `backward` turns the gradient of the
// modified score into that of the raw one and adds up the gradients of the part's own parameters.
// `bind`, where there is one, has looked up once what all packs of a tile need.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/packet.hpp>
#include <attn/math.hpp>
#include <attn/parameter.hpp>
#include <attn/user_function.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Calls number_at(Position) for a scalar, or lane by lane for a pack.
template <class S, class F>
S number_for(const Position& at, F&& number_at) {
  return static_cast<S>(number_at(at));
}
template <class S, class A, class F>
S number_for(const PackPosition<A>& at, F&& number_at) {
  return map_positions(S(0), at, [&](A, Position p) { return static_cast<A>(number_at(p)); });
}

/// Calls f(position, number) for a scalar, or for every lane of a pack.
template <class S, class F>
void for_each_position(const Position& at, const S& number, F&& f) {
  f(at, number);
}
template <class A, class F>
void for_each_position(const PackPosition<A>& at, const Pack<A>& numbers, F&& f) {
  A lanes[Pack<A>::width];
  numbers.store(lanes);
  for (Index l = 0; l < at.lanes; ++l) f(at.lane(l), lanes[l]);
}

}  // namespace engine

/// c tanh(s / c): keeps scores within (-c, c).  Throws ValueError unless c > 0.
/// Source: Bello et al. 2017, section 3; Gemma 2 (2024), section 2.
struct Softcap {
  using role = role::score_mod;
  Real cap = 0.0;

  template <class S, class At>
  S apply(const S& s, const At&, Extent) const {
    return S(double(cap)) * math::tanh(s / S(double(cap)));
  }
  template <class A>
  struct Bound {
    A cap;
    A inverse;

    template <class S, class At>
    S apply(const S& s, const At&, Extent) const {
      return S(cap) * math::tanh(s * S(inverse));
    }
  };
  template <class A>
  Bound<A> bind(const Tile&) const {
    return {static_cast<A>(double(cap)),
            static_cast<A>(std::min(1.0 / cap, double(std::numeric_limits<A>::max())))};
  }
  template <class A>
  struct Gradient {
    A cap = A(0);
    auto members() { return std::tie(cap); }
  };
  void check(const engine::CallSizes& call) const {
    if (!(cap > 0.0) || !std::isfinite(double(cap)))
      engine::raise_value(
          {call.name, ": Softcap's cap is ", double(cap), "; it must be above 0, and finite"});
  }
  template <class S, class At, class G>
  S backward(const S& s, const S& d_out, const At&, Extent, G& gradient) const {
    // Where nothing flows back the score may be that of a masked key, and so NaN.
    const S x = math::select(d_out == S(0), S(0), s) / S(double(cap));
    const S t = math::tanh(x);
    const S slope = S(1) - t * t;
    using engine::sum;
    gradient.cap += sum(d_out * (t - x * slope));
    return d_out * slope;
  }
};

/// s - slope_h |i + offset - j|: the further, the less.
/// Shapes  slopes: one a head, or one number for all.  Source: Press et al. 2022, section 3.
struct Alibi {
  using role = role::score_mod;
  engine::HeadValues slopes{};
  Integer offset = 0;
  bool from_bottom_right = false;

  /// The paper's slopes: 2^(-8 (h + 1) / heads) for a power of two; else those of the power of two
  /// below, followed by every other one of the power above.
  static Alibi standard(Integer heads) {
    if (heads < 1)
      engine::raise_value(
          {"Alibi::standard: there are ", Index(heads), " heads; it needs 1 or more"});
    Index power = 1;
    while (power * 2 <= heads) power *= 2;
    VectorX<double> values = VectorX<double>::Zero(Index(heads));
    for (Index h = 0; h < heads; ++h)
      values(h) = h < power ? std::exp2(-8.0 * double(h + 1) / double(power))
                            : std::exp2(-4.0 * double(2 * (h - power) + 1) / double(power));
    return {.slopes = values};
  }
  /// The offset is n_k - n_q: the last query stands at the last key.
  static Alibi bottom_right(engine::HeadValues slopes) {
    return {.slopes = std::move(slopes), .from_bottom_right = true};
  }

  /// |i + offset - j|, subtracted in integers: exact wherever the two stand.
  template <class S>
  S distance(const Position& at, Extent extent) const {
    return S(std::abs(at.query + shift(at.key, extent)));
  }
  template <class S, class A>
  S distance(const engine::PackPosition<A>& at, Extent extent) const {
    return abs(S::first_and_up(static_cast<A>(at.first_query + shift(at.key, extent))));
  }
  Index shift(Index key, Extent extent) const {
    return aligned_offset(offset, from_bottom_right, extent) - key;
  }
  template <class S, class At>
  S apply(const S& s, const At& at, Extent extent) const {
    return s - S(slopes(at.head)) * distance<S>(at, extent);
  }
  /// Both positions counted from the tile's first key: one conversion a query or key, not a pair.
  template <class A>
  struct Bound {
    A slope;
    Index shift;
    Index first_key;

    template <class S, class At>
    S apply(const S& s, const At& at, Extent) const {
      const S query = S::first_and_up(static_cast<A>(at.first_query + shift));
      return s - S(slope) * abs(query - S(static_cast<A>(at.key - first_key)));
    }
  };
  template <class A>
  Bound<A> bind(const Tile& t) const {
    return {static_cast<A>(slopes(t.head)), shift(t.first_key, t.extent), t.first_key};
  }
  template <class A>
  struct Gradient {
    VectorX<A> slopes;
    auto members() { return std::tie(slopes); }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    return {VectorX<A>::Zero(slopes.size())};
  }
  void check(const engine::CallSizes& call) const {
    engine::check_alignment(call, "Alibi", from_bottom_right);
    if (!slopes.covers(call.heads))
      engine::raise_shape({call.name, ": Alibi has ", slopes.size(), " slopes and there are ",
                           call.heads, " query heads; it needs one slope a head"});
  }
  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, Extent extent, G& gradient) const {
    using engine::sum;
    gradient.slopes(slopes.shared() ? 0 : at.head) -= sum(d_out * distance<S>(at, extent));
    return d_out;
  }
};

/// s + B_ij.  Shapes  B n_q x n_k, or a TensorView {batch, head, query, key} whose dimensions of
/// size 1 broadcast; the gradient has B's own shape, with a broadcast dimension summed.
template <class T>
struct DenseBias {
  using role = role::score_mod;
  static constexpr bool can_mask = true;
  using Scalar = T;
  engine::Parameter<T> B;

  /// A bias of -inf masks, whatever the score is.
  template <class S>
  static S add(const S& s, const S& bias) {
    return math::select(bias == S(-std::numeric_limits<double>::infinity()), bias, s + bias);
  }
  template <class S>
  S apply(const S& s, const Position& at, Extent) const {
    const TensorView<const T> t = B.tensor();
    return add(s, static_cast<S>(t(t.shape[0] == 1 ? 0 : at.batch, t.shape[1] == 1 ? 0 : at.head,
                                   t.shape[2] == 1 ? 0 : at.query, t.shape[3] == 1 ? 0 : at.key)));
  }
  template <class S, class A>
  S apply(const S& s, const engine::PackPosition<A>& at, Extent) const {
    return bind_at<A>(at.batch, at.head).apply(s, at, Extent{});
  }
  /// The bias of one batch and head.
  template <class A>
  struct Bound {
    const T* first;
    Index query_step;  ///< 0 where queries broadcast
    Index key_step;

    template <class S, class At>
    S apply(const S& s, const At& at, Extent) const {
      const T* from = first + at.first_query * query_step + at.key * key_step;
      if constexpr (std::is_same_v<T, A>)
        if (query_step == 1 && at.lanes == S::width) return add(s, S::load(from));
      A lanes[S::width] = {};
      for (Index l = 0; l < at.lanes; ++l) lanes[l] = static_cast<A>(from[l * query_step]);
      return add(s, S::load(lanes));
    }
  };
  template <class A>
  ATTN_INLINE Bound<A> bind(const Tile& t) const {
    const Bound<A> bound = bind_at<A>(t.batch, t.head);
    if (bound.query_step == 1) fetch(bound, t);
    return bound;
  }
  /// Neighbouring queries: the keys of a tile are too far apart for the processor to foresee.
  template <class A>
  ATTN_INLINE static void fetch(const Bound<A>& bound, const Tile& t) {
    constexpr Index line = 64 / static_cast<Index>(sizeof(T));
    for (Index j = t.first_key; j <= t.last_key; ++j)
      for (Index i = t.first_query; i <= t.last_query; i += line)
        engine::prefetch(bound.first + i + j * bound.key_step);
  }
  template <class A>
  Bound<A> bind_at(Index batch, Index head) const {
    const TensorView<const T> t = B.tensor();
    return {t.pointer(t.shape[0] == 1 ? 0 : batch, t.shape[1] == 1 ? 0 : head, 0),
            t.shape[2] == 1 ? 0 : t.strides[2], t.shape[3] == 1 ? 0 : t.strides[3]};
  }
  template <class A>
  struct Gradient {
    MatrixX<A> B;                  ///< (batch, head, query) by rows, keys by columns
    std::array<Index, 4> shape{};  ///< of the bias itself
    auto members() { return std::tie(B); }
    TensorView<const A> view() const {
      const Index row = 1, key = B.rows();
      return {B.data(), shape, {shape[1] * shape[2] * row, shape[2] * row, row, key}};
    }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    const auto n = B.tensor().shape;
    return {MatrixX<A>::Zero(n[0] * n[1] * n[2], n[3]), n};
  }
  void check(const engine::CallSizes& call) const { B.check_fits(call, "DenseBias's B"); }

  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, Extent, G& gradient) const {
    const auto& n = gradient.shape;
    engine::for_each_position(at, d_out, [&](const Position& p, auto d) {
      const Index b = n[0] == 1 ? 0 : p.batch, h = n[1] == 1 ? 0 : p.head;
      gradient.B((b * n[1] + h) * n[2] + (n[2] == 1 ? 0 : p.query), n[3] == 1 ? 0 : p.key) += d;
    });
    return d_out;
  }
};
template <engine::EigenDense M>
DenseBias(const M&) -> DenseBias<typename M::Scalar>;
template <class T>
DenseBias(const TensorView<T>&) -> DenseBias<std::remove_const_t<T>>;

/// How T5 sorts distances into buckets.
struct RelativePositionOptions {
  bool bidirectional = true;   ///< separate buckets for keys before and behind the query
  Integer max_distance = 128;  ///< beyond it all distances share the last bucket
  Integer offset = 0;          ///< the distance is j - (i + offset)
};

/// s + table[bucket(j - i), h]: a learned bias that is exact near by and logarithmic far away.
/// Shapes  table: buckets x heads, or buckets x 1 for all heads.
/// Source: Raffel et al. 2020 (T5), section 2.1; buckets as in the published implementation, where
///         the logarithm is taken in float.
template <class T>
struct RelativePositionBias {
  using role = role::score_mod;
  using Scalar = T;
  engine::Parameter<T> table;
  RelativePositionOptions options{};

  Index bucket(Index query, Index key) const {
    Index buckets = table.rows(), first = 0;
    Index distance = query + options.offset - key;  // positive: the key stands before the query
    if (options.bidirectional) {
      buckets /= 2;
      if (distance < 0) first = buckets;
      distance = std::abs(distance);
    } else {
      distance = distance < 0 ? 0 : distance;
    }
    const Index exact = buckets / 2;
    if (distance < exact) return first + distance;
    const float range = std::log(static_cast<float>(options.max_distance) / float(exact));
    const float share = std::log(static_cast<float>(distance) / float(exact)) / range;
    const Index far = exact + static_cast<Index>(share * static_cast<float>(buckets - exact));
    return first + (far < buckets ? far : buckets - 1);
  }
  Index column(Index head) const { return table.cols() == 1 ? 0 : head; }

  template <class S, class At>
  S apply(const S& s, const At& at, Extent) const {
    const auto t = table.matrix();
    return s + engine::number_for<S>(at, [&](const Position& p) {
             return t(bucket(p.query, p.key), column(p.head));
           });
  }
  template <class A>
  struct Gradient {
    MatrixX<A> table;
    auto members() { return std::tie(table); }
  };
  template <class A>
  Gradient<A> zero_gradient() const {
    return {MatrixX<A>::Zero(table.rows(), table.cols())};
  }
  void check(const engine::CallSizes& call) const {
    const Index sides = options.bidirectional ? 2 : 1;
    if (table.cols() != 1 && table.cols() != call.heads)
      engine::raise_shape({call.name, ": RelativePositionBias's table has ", table.cols(),
                           " columns and there are ", call.heads,
                           " query heads; it is buckets x heads, or buckets x 1"});
    if (table.rows() < 2 * sides || table.rows() % sides != 0)
      engine::raise_value({call.name, ": RelativePositionBias's table has ", table.rows(),
                           " buckets; it needs ", 2 * sides,
                           " or more, and an even number where "
                           "bidirectional"});
    if (options.max_distance <= table.rows() / sides / 2)
      engine::raise_value({call.name, ": RelativePositionBias's max_distance is ",
                           Index(options.max_distance), " and ", table.rows() / sides / 2,
                           " distances have a bucket of their own; it must be larger"});
  }
  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, Extent, G& gradient) const {
    engine::for_each_position(at, d_out, [&](const Position& p, auto d) {
      gradient.table(bucket(p.query, p.key), column(p.head)) += d;
    });
    return d_out;
  }
};
template <class M>
RelativePositionBias(const M&) -> RelativePositionBias<typename M::Scalar>;
template <class M>
RelativePositionBias(const M&, RelativePositionOptions) -> RelativePositionBias<typename M::Scalar>;

/// A score modifier of the user's own: `f(score, Position)`, or `f(score, auto at)` for packs.
template <class F, class... P>
struct ScoreMod : engine::UserFunction<F, P...> {
  using role = role::score_mod;
  static constexpr bool can_mask = true;
};

/// s' = f(s, position). With `auto score` backward differentiates it; numbers given behind f are
/// passed on as further arguments, and backward gives their gradients too:
///
///     score_mod([](auto s, attn::Position at, auto slope) {
///       return s - slope * float(at.query - at.key);
///     }, 0.5f)
///
/// Pass std::ref(x) for a number that training changes. A result of -inf masks the position.
template <class F, class... P>
ScoreMod<std::decay_t<F>, std::decay_t<P>...> score_mod(F&& f, P&&... parameters) {
  static_assert(
      engine::takes_position<std::decay_t<F>,
                             typename engine::PlainNumber<std::decay_t<P>>::type...>,
      "attn::score_mod: the function must take a score and an attn::Position (and one "
      "argument for each registered parameter): [](auto score, attn::Position at) {...}.");
  return {{std::forward<F>(f), {std::forward<P>(parameters)...}}};
}

ATTN_END_NAMESPACE
