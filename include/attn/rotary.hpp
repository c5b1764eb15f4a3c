// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: queries and keys turn by an angle that grows with their position, so
// that their products depend on how far apart they stand.
//
//     (x, y) -> (x cos a - y sin a, x sin a + y cos a),  a = position * base^(-2m / dim)
//
// for the m-th pair of features. Source: Su et al. 2021 (RoFormer), eq. 15 and 34.
#pragma once

#include <cmath>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

/// Which features make the m-th pair: 2m and 2m + 1, or m and m + dim/2.
enum class RotaryPairing { interleaved, half_split };

/// How positions beyond those of the training are brought within reach: not at all; positions
/// divided by the factor (Chen et al. 2023); or the base multiplied by factor^(dim / (dim - 2)),
/// "NTK-aware".
enum class RotaryScaling { none, linear, ntk_aware };

struct RotaryEmbeddingOptions {
  Integer dim = 0;  ///< features of a head that turn, the first ones; 0: all
  RotaryPairing pairing = RotaryPairing::interleaved;
  Real base = 10000.0;
  RotaryScaling scaling = RotaryScaling::none;
  Real factor = 1.0;  ///< of the scaling
};

/// Turns queries or keys by their positions.
///
/// Shapes   x n x d (heads side by side in the columns: give `Heads`), or a TensorView; the result
///          has the same shape. Token t stands at position offset + t
/// Backward the gradient turns back: it is the same rotation by the negative angle
/// Cost     n dim/2 sines and cosines in double, shared by all batches and heads; n d products
/// Throws   ValueError for an odd dim, one beyond d, a base or factor that is not above 0
template <class T>
class RotaryEmbedding {
 public:
  RotaryEmbeddingOptions options;

  explicit RotaryEmbedding(RotaryEmbeddingOptions o = {}) : options(o) {
    if (options.dim < 0 || options.dim % 2 != 0)
      engine::raise_value({"RotaryEmbedding: dim is ", Index(options.dim),
                           "; features turn in pairs, so it must be even"});
    if (!(options.base > 0.0) || !(options.factor > 0.0))
      engine::raise_value({"RotaryEmbedding: base is ", double(options.base), " and factor is ",
                           double(options.factor), "; both must be above 0"});
  }

  template <engine::EigenDense X>
  typename X::PlainObject operator()(const X& x, Heads heads = {}, Integer offset = 0) const {
    typename X::PlainObject turned = x;
    turn(view(turned, heads), offset, 1.0);
    return turned;
  }
  /// The gradient by x, given the gradient by the result.
  template <engine::EigenDense X>
  typename X::PlainObject backward(const X& d_result, Heads heads = {}, Integer offset = 0) const {
    typename X::PlainObject turned = d_result;
    turn(view(turned, heads), offset, -1.0);
    return turned;
  }

  /// In place, for views.
  void apply(TensorView<T> x, Integer offset = 0) const { turn(x, offset, 1.0); }
  void apply_backward(TensorView<T> d_result, Integer offset = 0) const {
    turn(d_result, offset, -1.0);
  }

 private:
  void turn(const TensorView<T>& x, Index offset, double direction) const {
    const Index dim = options.dim == 0 ? x.features() : Index(options.dim);
    if (dim > x.features() || dim % 2 != 0)
      engine::raise_value({"RotaryEmbedding: ", dim, " features are to turn and a head has ",
                           x.features(), "; an even number, up to all of them, can"});
    for (Index m = 0; m < dim / 2; ++m) {
      const double frequency = direction * frequency_of(m, dim);
      for (Index t = 0; t < x.tokens(); ++t) {
        const double angle = static_cast<double>(offset + t) * frequency;
        turn_pair(x, t, first_of(m), second_of(m, dim), std::cos(angle), std::sin(angle));
      }
    }
  }

  /// By how much the m-th pair turns from one position to the next.
  double frequency_of(Index m, Index dim) const {
    const double d = static_cast<double>(dim);
    double base = options.base;
    if (options.scaling == RotaryScaling::ntk_aware && dim > 2)
      base *= std::pow(options.factor, d / (d - 2.0));
    const double scale = options.scaling == RotaryScaling::linear ? 1.0 / options.factor : 1.0;
    return scale * std::pow(base, -2.0 * static_cast<double>(m) / d);
  }
  Index first_of(Index m) const {
    return options.pairing == RotaryPairing::interleaved ? 2 * m : m;
  }
  Index second_of(Index m, Index dim) const {
    return options.pairing == RotaryPairing::interleaved ? 2 * m + 1 : m + dim / 2;
  }

  static void turn_pair(const TensorView<T>& view, Index t, Index first, Index second,
                        double cosine, double sine) {
    using A = Accumulator<T>;
    const A c = static_cast<A>(cosine), s = static_cast<A>(sine);
    for (Index b = 0; b < view.batches(); ++b)
      for (Index h = 0; h < view.heads(); ++h) {
        T& at_x = view(b, h, t, first);
        T& at_y = view(b, h, t, second);
        const A x = static_cast<A>(at_x), y = static_cast<A>(at_y);
        at_x = static_cast<T>(x * c - y * s);
        at_y = static_cast<T>(x * s + y * c);
      }
  }
};

ATTN_END_NAMESPACE
