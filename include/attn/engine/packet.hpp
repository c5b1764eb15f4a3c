// SPDX-License-Identifier: Apache-2.0
// SIMD packets: one register of scores, behind some twenty names of Eigen's packet functions.
//
// A pack holds `width` neighbouring queries of one key. Arithmetic mixes packs and plain numbers,
// so a rule written for a scalar reads the same for a pack. Functions that Eigen has no packet for
// are applied lane by lane. Next: attn/math.hpp, which offers these to users' own rules.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

#include <attn/concepts.hpp>
#include <attn/config.hpp>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"  // attributes of __m512 as template argument
#endif

ATTN_BEGIN_NAMESPACE
namespace engine {

template <class A>
struct PackMask;

template <class N>
concept Arithmetic = std::is_arithmetic_v<N>;

template <class A>
struct Pack {
  using Scalar = A;
  using Traits = Eigen::internal::packet_traits<A>;
  using Raw = typename Traits::type;
  static constexpr Index width = Traits::size;

  Raw raw;

  Pack() : raw(Eigen::internal::pset1<Raw>(A(0))) {}
  explicit Pack(const Raw& r) : raw(r) {}
  template <Arithmetic N>
  Pack(N number) : raw(Eigen::internal::pset1<Raw>(static_cast<A>(number))) {}  // NOLINT

  static Pack load(const A* from) { return Pack(Eigen::internal::ploadu<Raw>(from)); }
  static Pack first_and_up(A first) { return Pack(Eigen::internal::plset<Raw>(first)); }
  void store(A* to) const { Eigen::internal::pstoreu(to, raw); }

  /// The first `count` numbers, zeros behind them; nothing past them is read or written.
  static Pack load_first(const A* from, Index count) {
    if (count >= width) return load(from);
    A lanes[width] = {};
    std::copy_n(from, count, lanes);
    return load(lanes);
  }
  void store_first(A* to, Index count) const {
    if (count >= width) return store(to);
    A lanes[width];
    store(lanes);
    std::copy_n(lanes, count, to);
  }

  friend Pack operator+(const Pack& a, const Pack& b) {
    return Pack(Eigen::internal::padd(a.raw, b.raw));
  }
  friend Pack operator-(const Pack& a, const Pack& b) {
    return Pack(Eigen::internal::psub(a.raw, b.raw));
  }
  friend Pack operator*(const Pack& a, const Pack& b) {
    return Pack(Eigen::internal::pmul(a.raw, b.raw));
  }
  friend Pack operator/(const Pack& a, const Pack& b) {
    return Pack(Eigen::internal::pdiv(a.raw, b.raw));
  }
  friend Pack operator-(const Pack& a) { return Pack(Eigen::internal::pnegate(a.raw)); }
  Pack& operator+=(const Pack& b) { return *this = *this + b; }
  Pack& operator-=(const Pack& b) { return *this = *this - b; }
  Pack& operator*=(const Pack& b) { return *this = *this * b; }
  Pack& operator/=(const Pack& b) { return *this = *this / b; }

  friend PackMask<A> operator<(const Pack& a, const Pack& b) {
    return PackMask<A>{Eigen::internal::pcmp_lt(a.raw, b.raw)};
  }
  friend PackMask<A> operator<=(const Pack& a, const Pack& b) {
    return PackMask<A>{Eigen::internal::pcmp_le(a.raw, b.raw)};
  }
  friend PackMask<A> operator>(const Pack& a, const Pack& b) { return b < a; }
  friend PackMask<A> operator>=(const Pack& a, const Pack& b) { return b <= a; }
  friend PackMask<A> operator==(const Pack& a, const Pack& b) {
    return PackMask<A>{Eigen::internal::pcmp_eq(a.raw, b.raw)};
  }
};

/// The result of comparing packs: all bits of a lane set where the comparison holds.
template <class A>
struct PackMask {
  using Numbers = Pack<A>;
  typename Pack<A>::Raw raw;

  friend PackMask operator&(const PackMask& a, const PackMask& b) {
    return PackMask{Eigen::internal::pand(a.raw, b.raw)};
  }
  friend PackMask operator|(const PackMask& a, const PackMask& b) {
    return PackMask{Eigen::internal::por(a.raw, b.raw)};
  }
  friend PackMask operator!(const PackMask& a) {
    return Pack<A>(Eigen::internal::pselect(a.raw, Pack<A>(1).raw, Pack<A>(0).raw)) == Pack<A>(0);
  }
  static PackMask all(bool value) { return Pack<A>(0) == Pack<A>(value ? 0 : 1); }
};

template <class A>
Pack<A> select(const PackMask<A>& condition, const Pack<A>& yes, const Pack<A>& no) {
  return Pack<A>(Eigen::internal::pselect(condition.raw, yes.raw, no.raw));
}

template <class A>
Pack<A> min(const Pack<A>& a, const Pack<A>& b) {
  return select(b < a, b, a);
}

template <class A>
Pack<A> max(const Pack<A>& a, const Pack<A>& b) {
  return select(a < b, b, a);
}

template <class A>
Pack<A> abs(const Pack<A>& a) {
  return Pack<A>(Eigen::internal::pabs(a.raw));
}

template <class A>
Pack<A> sqrt(const Pack<A>& a) {
  return Pack<A>(Eigen::internal::psqrt(a.raw));
}

template <class A>
A sum(const Pack<A>& a) {
  return Eigen::internal::predux(a.raw);
}

template <class A>
bool any(const PackMask<A>& mask) {
  A lanes[Pack<A>::width];
  select(mask, Pack<A>(1), Pack<A>(0)).store(lanes);
  for (A lane : lanes)
    if (lane != A(0)) return true;
  return false;
}

/// f of every lane, one after the other.
template <class A, class F>
Pack<A> map_lanes(const Pack<A>& a, F&& f) {
  A lanes[Pack<A>::width];
  a.store(lanes);
  for (A& lane : lanes) lane = f(lane);
  return Pack<A>::load(lanes);
}

/// exp for all arguments: 0 far below, +inf far above, NaN for NaN. Eigen's clamps at both ends.
template <class A>
Pack<A> exp(const Pack<A>& x) {
  const A highest = std::log(std::numeric_limits<A>::max());
  const A lowest = std::log(std::numeric_limits<A>::min());
  const Pack<A> inside(Eigen::internal::pexp(x.raw));
  const Pack<A> low = select(x < Pack<A>(lowest), Pack<A>(0), inside);
  const Pack<A> both =
      select(Pack<A>(highest) < x, Pack<A>(std::numeric_limits<A>::infinity()), low);
  return select(x == x, both, x);
}

/// a b + c, rounded once where the machine can.
template <class A>
Pack<A> multiply_add(const Pack<A>& a, const Pack<A>& b, const Pack<A>& c) {
  return Pack<A>(Eigen::internal::pmadd(a.raw, b.raw, c.raw));
}

/// The larger one; NaN in either may get lost.
template <class A>
Pack<A> larger(const Pack<A>& a, const Pack<A>& b) {
  return Pack<A>(Eigen::internal::pmax(a.raw, b.raw));
}

/// exp(x) for lowest <= x <= 0 in float: relative error below 1.7e-7, about 12 operations.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 2^23 + 127 to x log2(e) leaves n + 127, the
/// biased exponent of 2^n, in the lowest bits. exp(r) is a polynomial whose relative error is least
/// in the maximum norm (9.2e-8) among those of degree 5 with constant term 1. NaN goes through.
template <std::same_as<float> A>
Pack<A> exp_by_polynomial(const Pack<A>& x) {
  using P = Pack<A>;
  const float exponent_bias = 12582912.0f + 127.0f;
  const P z = multiply_add(x, P(1.44269504f), P(exponent_bias));
  const P n = z - P(exponent_bias);
  // ln 2 in two pieces: n times the first is exact for |n| < 2^9
  const P r = multiply_add(n, P(2.12194440e-4f), multiply_add(n, P(-0.693359375f), x));
  P p = multiply_add(r, P(0.0082902721f), P(0.0418981598f));
  p = multiply_add(r, p, P(0.1666763813f));
  p = multiply_add(r, p, P(0.4999914784f));
  p = multiply_add(r, p, P(0.9999997063f));
  p = multiply_add(r, p, P(1.0f));
  using Bits = typename Eigen::internal::unpacket_traits<typename P::Raw>::integer_packet;
  const auto bits = Eigen::internal::preinterpret<Bits>(z.raw);
  const auto power = Eigen::internal::plogical_shift_left<23>(bits);
  return p * P(Eigen::internal::preinterpret<typename P::Raw>(power));
}

/// exp of s - m for s <= m. With `hides`, s = -inf gives exactly zero; anything else never does, so
/// that a zero weight always means "not visible". NaN stays NaN.
template <bool hides, class A>
Pack<A> exp_of_difference(const Pack<A>& s, const Pack<A>& m) {
  // -86.8 in float, -707.9 in double: safely above denormal numbers, which are slow
  const A lowest = std::log(std::numeric_limits<A>::min()) + A(0.5);
  const Pack<A> x = s - m;
  Pack<A> e;
  if constexpr (std::is_same_v<A, float> && Pack<A>::width > 1) {
    e = exp_by_polynomial(larger(x, Pack<A>(lowest)));
  } else {
    e = Pack<A>(Eigen::internal::pexp(larger(x, Pack<A>(lowest)).raw));
  }
  e = select(x == x, e, x);
  if constexpr (hides) e = select(s == Pack<A>(-std::numeric_limits<A>::infinity()), Pack<A>(0), e);
  return e;
}

template <class A>
Pack<A> log(const Pack<A>& x) {
  return Pack<A>(Eigen::internal::plog(x.raw));
}

template <class A>
Pack<A> tanh(const Pack<A>& x) {
  if constexpr (Pack<A>::Traits::HasTanh && Pack<A>::width > 1) {
    return select(x == x, Pack<A>(Eigen::internal::ptanh(x.raw)), x);  // Eigen's clamp eats NaN
  } else {
    return map_lanes(x, [](A lane) { return std::tanh(lane); });
  }
}

/// Where the scores of one pack stand: `lanes` queries from `first_query` on, against one key.
/// `query` holds their positions as numbers, as users' packet rules see them.
template <class A>
struct PackPosition {
  Index batch;
  Index head;
  Pack<A> query;
  Index key;
  Index first_query;
  Index lanes;

  Position lane(Index l) const { return {batch, head, first_query + l, key}; }

  /// The lanes whose query stands at `position` or behind it; exact for any position.
  PackMask<A> queries_from(Index position) const {
    const Index lane = std::clamp<Index>(position - first_query, 0, Pack<A>::width);
    return Pack<A>(lane) <= Pack<A>::first_and_up(A(0));
  }
  /// The lanes whose query stands at `position` or before it.
  PackMask<A> queries_up_to(Index position) const { return !queries_from(position + 1); }
};

/// f(value, position) lane by lane; lanes past the last query keep their value.
template <class A, class F>
Pack<A> map_positions(const Pack<A>& value, const PackPosition<A>& at, F&& f) {
  A lanes[Pack<A>::width];
  value.store(lanes);
  for (Index l = 0; l < at.lanes; ++l) lanes[l] = f(lanes[l], at.lane(l));
  return Pack<A>::load(lanes);
}

/// The least multiple of the pack width that is not below n.
template <class A>
constexpr Index padded(Index n) {
  return (n + Pack<A>::width - 1) / Pack<A>::width * Pack<A>::width;
}

}  // namespace engine
ATTN_END_NAMESPACE

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
