// SPDX-License-Identifier: Apache-2.0
// What a part *is*: roles, positions, tiles and their verdicts, accumulator types.
//
// Every part is a small value with a nested `role`. It states a scalar rule, which is the truth
// (reference.hpp uses nothing else), and what the tiled engine needs to be fast. Next: score.hpp,
// score_mod.hpp, mask.hpp, normalizer.hpp, prob_mod.hpp.
#pragma once

#include <concepts>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE

/// Where a score stands: batch b, query head h, query i, key j, all counted from 0.
struct Position {
  Index batch = 0;
  Index head = 0;
  Index query = 0;
  Index key = 0;
};

/// The sizes that "bottom right" aligns to: queries and keys of one batch of the call.
struct Extent {
  Index n_q = 0;
  Index n_k = 0;
};

/// The offset of a part that may be aligned to the bottom right: the last query at the last key.
constexpr Index aligned_offset(Index offset, bool from_bottom_right, Extent extent) {
  return from_bottom_right ? extent.n_k - extent.n_q : offset;
}

/// A rectangle of scores, bounds included, in the positions that parts see.
struct Tile {
  Index batch = 0;
  Index head = 0;
  Index first_query = 0;
  Index last_query = -1;
  Index first_key = 0;
  Index last_key = -1;
  Extent extent{};
};

/// What a mask says of a whole tile: no pair is permitted, some may be, every one is.
enum class Verdict { empty, mixed, full };

/// The role of a part in a call; `Part::role` is one of these.
namespace role {
struct score_function {};
struct score_mod {};
struct mask {};
struct normalizer {};
struct prob_mod {};
struct heads {};
struct executor {};
struct workspace {};
struct position_offset {};
}  // namespace role

template <class P>
concept Part = requires {
  typename std::remove_cvref_t<P>::role;
};

template <class P, class Role>
concept PartOf = Part<P> && std::same_as<typename std::remove_cvref_t<P>::role, Role>;

template <class P>
concept MaskPart = PartOf<P, role::mask>;

/// The type in which a scalar is computed with: float for the 16-bit storage types, itself else.
template <class T>
struct AccumulatorOf {
  using type = T;
};
template <>
struct AccumulatorOf<Eigen::half> {
  using type = float;
};
template <>
struct AccumulatorOf<Eigen::bfloat16> {
  using type = float;
};
template <class T>
using Accumulator = typename AccumulatorOf<std::remove_cv_t<T>>::type;

template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, Eigen::half> || std::same_as<T, Eigen::bfloat16>;

namespace engine {

template <class T>
concept WholeNumber = std::integral<T> && !std::same_as<T, bool>;
template <class T>
concept RealNumber = Scalar<T> || WholeNumber<T> || std::floating_point<T>;

}  // namespace engine

/// An integer member of an aggregate that takes any integer type without a narrowing error. Values
/// beyond +-2^60 are brought to it, so that sums of positions, offsets and windows cannot overflow.
class Integer {
 public:
  constexpr Integer() = default;
  template <engine::WholeNumber T>
  constexpr Integer(T value) : value_(limited(value)) {}  // NOLINT(google-explicit-constructor)
  constexpr operator Index() const { return value_; }     // NOLINT(google-explicit-constructor)

 private:
  template <class T>
  static constexpr Index limited(T value) {
    constexpr auto limit = static_cast<Index>(std::int64_t{1} << 60);
    if (std::cmp_greater(value, limit)) return limit;
    return std::cmp_less(value, -limit) ? -limit : static_cast<Index>(value);
  }
  Index value_ = 0;
};

/// The start of a random sequence, from any integer type.
class Seed {
 public:
  constexpr Seed() = default;
  template <engine::WholeNumber T>
  constexpr Seed(T value) : value_(static_cast<std::uint64_t>(value)) {}  // NOLINT
  constexpr operator std::uint64_t() const { return value_; }             // NOLINT

 private:
  std::uint64_t value_ = 0;
};

/// A real member of an aggregate that takes any arithmetic type without a narrowing error.
class Real {
 public:
  constexpr Real() = default;
  template <engine::RealNumber T>
  constexpr Real(T value) : value_(static_cast<double>(value)) {}  // NOLINT
  constexpr operator double() const { return value_; }             // NOLINT

 private:
  double value_ = 0;
};

/// Shifts the positions that masks, modifiers and dropout see, so that a chunk of the queries or
/// keys can be computed as part of a whole.
struct PositionOffset {
  using role = role::position_offset;
  Integer query = 0;
  Integer key = 0;
};

namespace engine {

/// The sizes of a call, for the checks of its parts.
struct CallSizes {
  const char* name = "attention";  ///< of the function the user called
  Index batches = 1;
  Index heads = 1;  ///< query heads
  Index n_q = 0;
  Index n_k = 0;
  Index d = 0;          ///< features of a query head
  Index d_k = 0;        ///< features of a key head
  Index query_end = 0;  ///< one past the last position
  Index key_end = 0;
  bool is_chunk = false;  ///< positions are those of a larger whole
};

}  // namespace engine

/// What a part without parameters hands back from backward.
struct NoGradient {
  auto members() { return std::tie(); }
};

ATTN_END_NAMESPACE
