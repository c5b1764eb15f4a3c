// SPDX-License-Identifier: Apache-2.0
// SIMD packets: one register of scores, behind some twenty names of Eigen's packet functions.
//
// A pack holds `width` neighbouring queries of one key. Arithmetic mixes packs and plain numbers,
// so a rule written for a scalar reads the same for a pack. Next: packet_math.hpp for exp and the
// like, attn/math.hpp, which offers these to users' own rules.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
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

  Pack() = default;  // not set: a loop that clears an array of packs keeps it in memory
  explicit Pack(const Raw& r) : raw(r) {}
  template <Arithmetic N>
  Pack(N number) : raw(Eigen::internal::pset1<Raw>(static_cast<A>(number))) {}  // NOLINT

  static Pack load(const A* from) { return Pack(Eigen::internal::ploadu<Raw>(from)); }
  static Pack broadcast(const A* from) { return Pack(Eigen::internal::pload1<Raw>(from)); }
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
  return Eigen::internal::predux_max(select(mask, Pack<A>(1), Pack<A>(0)).raw) != A(0);
}

/// a b + c, rounded once where the machine can.
template <class A>
Pack<A> multiply_add(const Pack<A>& a, const Pack<A>& b, const Pack<A>& c) {
  return Pack<A>(Eigen::internal::pmadd(a.raw, b.raw, c.raw));
}

/// The larger one; the first where either is NaN (or NaN, on some machines).
template <class A>
Pack<A> larger(const Pack<A>& a, const Pack<A>& b) {
  return Pack<A>(Eigen::internal::pmax(a.raw, b.raw));
}

/// The bits of every lane shifted up. Eigen has no such packet function for double.
template <int bits, class A>
Pack<A> shift_left(const Pack<A>& a) {
  using Lane = std::conditional_t<sizeof(A) == 4, std::uint32_t, std::uint64_t>;
  using Raw = typename Pack<A>::Raw;
#if defined(__GNUC__)
  if constexpr (Pack<A>::width > 1) {
    typedef Lane Lanes __attribute__((vector_size(sizeof(Raw))));
    return Pack<A>(reinterpret_cast<Raw>(reinterpret_cast<Lanes>(a.raw) << bits));
  }
#endif
  Lane lanes[Pack<A>::width];
  std::memcpy(lanes, &a.raw, sizeof(lanes));
  for (Lane& lane : lanes) lane <<= bits;
  Raw result;
  std::memcpy(&result, lanes, sizeof(lanes));
  return Pack<A>(result);
}

/// Asks the memory for what stands at an address. Whatever only calls this must be inlined as well:
/// g++ drops calls of functions without an effect.
ATTN_INLINE void prefetch(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  Eigen::internal::prefetch(static_cast<const char*>(address));
#endif
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
