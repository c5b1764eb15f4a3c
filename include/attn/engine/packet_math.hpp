// SPDX-License-Identifier: Apache-2.0
// exp, log, tanh of SIMD packs.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/packet.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

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

/// c[0] + c[1] f + ...
template <class A, std::size_t size>
ATTN_INLINE Pack<A> polynomial(const A (&c)[size], const Pack<A>& f) {
  Pack<A> p(c[size - 1]);
  ATTN_UNROLL
  for (int k = static_cast<int>(size) - 2; k >= 0; --k) p = multiply_add(p, f, Pack<A>(c[k]));
  return p;
}

#if defined(EIGEN_VECTORIZE_AVX512) && defined(__AVX512DQ__)
/// The coefficients of a polynomial for 2^(g - 1/2) with 0 <= g < 1, which is 1 for g = 1/2: degree
/// 5 with a relative error of 1.4e-7 for float, degree 10 with 3.4e-16 for double.
template <class A>
inline constexpr A power_of_two_less_half[] = {0.707106709f, 0.490133315f,   0.169814184f,
                                               0.039475169f, 0.00635642326f, 0.00132764725f};
template <>
inline constexpr double power_of_two_less_half<double>[] = {
    0.70710678118654768,    0.49012907173423537,    0.1698657920931356,    0.039247331594746665,
    0.0068010445275580953,  0.00094282391893938712, 0.000108922427991257,  1.0779602212994422e-05,
    9.4135146378701834e-07, 6.6898985062939545e-08, 7.0372788467269009e-09};

/// y - floor(y) and p 2^floor(y), an instruction each.
inline Pack<float> above_floor(const Pack<float>& y) {
  return Pack<float>(_mm512_reduce_ps(y.raw, _MM_FROUND_TO_NEG_INF));
}
inline Pack<double> above_floor(const Pack<double>& y) {
  return Pack<double>(_mm512_reduce_pd(y.raw, _MM_FROUND_TO_NEG_INF));
}
inline Pack<float> scale_by_floor(const Pack<float>& p, const Pack<float>& y) {
  return Pack<float>(_mm512_scalef_ps(p.raw, y.raw));
}
inline Pack<double> scale_by_floor(const Pack<double>& p, const Pack<double>& y) {
  return Pack<double>(_mm512_scalef_pd(p.raw, y.raw));
}

/// exp(x) for lowest <= x <= 0; relative error below (2 + |x|) epsilon. NaN goes through.
///
/// x log2(e) + 1/2 = n + g with 0 <= g < 1, and 2^(g - 1/2) 2^n.
template <class A>
Pack<A> exp_by_polynomial(const Pack<A>& x) {
  const Pack<A> y = multiply_add(x, Pack<A>(A(1.4426950408889634)), Pack<A>(A(0.5)));
  return scale_by_floor(polynomial(power_of_two_less_half<A>, above_floor(y)), y);
}
#else
/// The coefficients of a polynomial for 2^f with |f| <= 1/2, constant term 1 first: degree 5 with a
/// relative error of 1.1e-7 for float, degree 10 with 3e-16 for double.
template <class A>
inline constexpr A power_of_two[] = {1.0f,         0.693147f,    0.24022241f,
                                     0.055507343f, 0.009671566f, 0.0013264659f};
template <>
inline constexpr double power_of_two<double>[] = {1.0,
                                                  0.69314718055995162,
                                                  0.24022650695910472,
                                                  0.055504108664346584,
                                                  0.0096181291073807143,
                                                  0.001333355824648072,
                                                  0.00015403530800818256,
                                                  1.525264774769592e-05,
                                                  1.3215235634776039e-06,
                                                  1.0210506458816145e-07,
                                                  7.1117586875578523e-09};

/// exp(x) for lowest <= x <= 0; relative error below (2 + |x|) epsilon. NaN goes through.
///
/// x log2(e) = n + f with |f| <= 1/2. Adding 1.5 2^23 + 127 (double: 1.5 2^52 + 1023) leaves the
/// biased exponent of 2^n in the lowest bits, from where a shift puts it into place.
template <class A>
Pack<A> exp_by_polynomial(const Pack<A>& x) {
  using P = Pack<A>;
  constexpr int mantissa = std::numeric_limits<A>::digits - 1;
  constexpr A bias = A(1.5) * A(Index(1) << mantissa) + A(std::numeric_limits<A>::max_exponent - 1);
  const P log2_e(A(1.4426950408889634));
  const P z = multiply_add(x, log2_e, P(bias));
  const P f = multiply_add(x, log2_e, P(bias) - z);
  return polynomial(power_of_two<A>, f) * shift_left<mantissa>(z);
}
#endif

/// exp of s - m for s <= m. With `hides`, s = -inf gives exactly zero; anything else never does, so
/// that a zero weight always means "not visible". NaN stays NaN: `larger` keeps its first argument.
template <bool hides, class A>
Pack<A> exp_of_difference(const Pack<A>& s, const Pack<A>& m) {
  // -86.8 in float, -707.9 in double: safely above denormal numbers, which are slow
  const A lowest = std::log(std::numeric_limits<A>::min()) + A(0.5);
  const Pack<A> x = larger(s - m, Pack<A>(lowest));
  Pack<A> e;
  if constexpr (Pack<A>::width > 1)
    e = exp_by_polynomial(x);
  else
    e = Pack<A>(std::exp(x.raw));
  if constexpr (hides) e = select(s == Pack<A>(-std::numeric_limits<A>::infinity()), Pack<A>(0), e);
  return e;
}

template <class A>
Pack<A> log(const Pack<A>& x) {
  return Pack<A>(Eigen::internal::plog(x.raw));
}

/// Constants of exp_of_twice. With |r| <= log(2)/4, e^(2r) - 1 = 2r + r^2 p(r): the relative error
/// of degree 4 is 2.5e-8 (float), of degree 9 4.1e-17 (double). log(2)/2 stands in two pieces, the
/// first short enough for its products with whole numbers up to 2^11 to be exact.
template <class A>
struct ExpOfTwice {
  static constexpr A half_log_2[] = {0.345703125f, 0.000870465280f};
  static constexpr A polynomial[] = {2.0f, 1.33332613f, 0.666664867f, 0.267623452f, 0.0891280053f};
};
template <>
struct ExpOfTwice<double> {
  static constexpr double half_log_2[] = {0x1.62e42fecp-2, 2.1182606829046420526e-10};
  static constexpr double polynomial[] = {
      2.0000000000000004,     1.3333333333333334,   0.66666666666598113,   0.26666666666656122,
      0.088888889071149316,   0.025396825424859592, 0.0063491893908142605, 0.0014109321357775716,
      0.00028283086429216306, 5.1405767691663352e-5};
};

/// e^(2x) to 2 ulp and e^(2x) - 1 to 3, for |x| <= 43 (float) or 350 (double). NaN goes through.
///
/// 2x log2(e) = n + f as in exp_by_polynomial, but f becomes r = x - n log(2)/2 without a rounding
/// that grows with n, and the polynomial has no constant term, so that no digits are lost near 0.
template <class A>
ATTN_INLINE void exp_of_twice(const Pack<A>& x, Pack<A>& e, Pack<A>& e_minus_one) {
  using P = Pack<A>;
  using C = ExpOfTwice<A>;
  constexpr int mantissa = std::numeric_limits<A>::digits - 1;
  constexpr A bias = A(1.5) * A(Index(1) << mantissa) + A(std::numeric_limits<A>::max_exponent - 1);
  const P z = multiply_add(x, P(A(2.8853900817779268)), P(bias));
  const P n = P(bias) - z;
  const P r = multiply_add(n, P(C::half_log_2[1]), multiply_add(n, P(C::half_log_2[0]), x));
  constexpr int degree = static_cast<int>(std::size(C::polynomial)) - 1;
  P p(C::polynomial[degree]);
  ATTN_UNROLL
  for (int k = degree - 1; k >= 0; --k) p = multiply_add(p, r, P(C::polynomial[k]));
  p = multiply_add(r * r, p, r + r);
  const P power = shift_left<mantissa>(z);
  e = multiply_add(power, p, power);
  e_minus_one = multiply_add(power, p, power - P(1));
}

/// The smaller one; NaN as in larger().
template <class A>
Pack<A> smaller(const Pack<A>& a, const Pack<A>& b) {
  return Pack<A>(Eigen::internal::pmin(a.raw, b.raw));
}

/// tanh x = x p(x^2) / q(x^2) for |x| <= 8.8, behind which tanh rounds to 1 or the number below it:
/// the least relative error of degrees 4 and 4 is 1.7e-8. Both are scaled alike, so that rounding
/// the coefficients adds little.
struct TanhFraction {
  static constexpr float largest = 8.8f;
  static constexpr float numerator[] = {1.46512163f, 0.196238726f, 0.00514412485f, 3.05704125e-05f,
                                        2.0093772e-08f};
  static constexpr float denominator[] = {1.46512163f, 0.684612393f, 0.0379990153f, 0.000485102122f,
                                          1.16078934e-06f};
};

/// tanh(x) = n / d with d between 1 and 2^9 (double: 2^59), so that a dozen of them can be
/// brought to one division before they leave the range of A. NaN goes through.
template <class A>
ATTN_INLINE void tanh_fraction(const Pack<A>& x, Pack<A>& n, Pack<A>& d) {
  using P = Pack<A>;
  if constexpr (std::is_same_v<A, float>) {
    using C = TanhFraction;
    const P inside = smaller(larger(x, P(-C::largest)), P(C::largest));
    const P square = inside * inside;
    n = P(C::numerator[4]);
    d = P(C::denominator[4]);
    ATTN_UNROLL
    for (int k = 3; k >= 0; --k) {
      n = multiply_add(n, square, P(C::numerator[k]));
      d = multiply_add(d, square, P(C::denominator[k]));
    }
    n *= inside;
  } else {
    constexpr A largest = A(20);  // tanh rounds to 1
    P e;
    exp_of_twice(smaller(larger(x, P(-largest)), P(largest)), e, n);
    d = n + P(2);
  }
}

/// tanh to 6 ulp in float, 3 in double. NaN goes through.
template <class A>
Pack<A> tanh(const Pack<A>& x) {
  Pack<A> n, d;
  tanh_fraction(x, n, d);
  return n / d;
}

}  // namespace engine
ATTN_END_NAMESPACE
