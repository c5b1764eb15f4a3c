// SPDX-License-Identifier: Apache-2.0
// Masks: which keys a query may see. They compose with `&`, `|` and `!`.
//
// `permits` is the rule for one pair (and, where it pays, for a pack of queries); `verdict` tells
// of a whole tile whether none, some or all of its pairs are permitted, so that empty tiles are
// never touched and full ones pay nothing. A verdict of `mixed` is always right, if slow. The masks
// here are exact for rectangles of any size (a composition is where one of its sides decides), in
// time that does not grow with them; Documents and DenseMask say what theirs costs.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/document_ids.hpp>
#include <attn/engine/packet.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

constexpr Verdict verdict_of(bool none, bool all) {
  return none ? Verdict::empty : all ? Verdict::full : Verdict::mixed;
}

}  // namespace engine

/// j <= i + offset: no query sees the future.  Source: Vaswani et al. 2017, section 3.2.3.
struct Causal {
  using role = role::mask;
  Integer offset = 0;
  bool from_bottom_right = false;

  /// The offset is n_k - n_q (n_k: the batch's length under KeyPadding): the last query sees all.
  static constexpr Causal bottom_right() { return {.from_bottom_right = true}; }

  void check(const engine::CallSizes& call) const {
    engine::check_alignment(call, "Causal", from_bottom_right);
  }
  bool permits(const Position& at, Extent extent) const {
    return at.key <= at.query + aligned_offset(offset, from_bottom_right, extent);
  }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent extent) const {
    return at.queries_from(at.key - aligned_offset(offset, from_bottom_right, extent));
  }
  Verdict verdict(const Tile& t) const {
    const Index shift = aligned_offset(offset, from_bottom_right, t.extent);
    return engine::verdict_of(t.first_key > t.last_query + shift,
                              t.last_key <= t.first_query + shift);
  }
};

/// i + offset - left <= j <= i + offset + right; a side of -1 is open.
/// Throws ValueError for a side below -1.  Source: Beltagy et al. 2020, section 3.1.
struct SlidingWindow {
  using role = role::mask;
  Integer left = -1;
  Integer right = -1;
  Integer offset = 0;
  bool from_bottom_right = false;

  static constexpr SlidingWindow bottom_right(Integer left, Integer right) {
    return {.left = left, .right = right, .from_bottom_right = true};
  }

  void check(const engine::CallSizes& call) const {
    engine::check_alignment(call, "SlidingWindow", from_bottom_right);
    if (left < -1 || right < -1)
      engine::raise_value({call.name, ": SlidingWindow is {", Index(left), ", ", Index(right),
                           "}; a side is a number of keys, or -1 for no limit"});
  }
  bool permits(const Position& at, Extent extent) const {
    const Index middle = at.query + aligned_offset(offset, from_bottom_right, extent);
    return (left < 0 || at.key >= middle - left) && (right < 0 || at.key <= middle + right);
  }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent extent) const {
    const Index middle = at.key - aligned_offset(offset, from_bottom_right, extent);
    const auto all = engine::PackMask<A>::all(true);
    return (left < 0 ? all : at.queries_up_to(middle + left)) &
           (right < 0 ? all : at.queries_from(middle - right));
  }
  Verdict verdict(const Tile& t) const {
    const Index shift = aligned_offset(offset, from_bottom_right, t.extent);
    const Index first = t.first_query + shift, last = t.last_query + shift;
    const bool none =
        (left >= 0 && t.last_key < first - left) || (right >= 0 && t.first_key > last + right);
    const bool all =
        (left < 0 || t.first_key >= last - left) && (right < 0 || t.last_key <= first + right);
    return engine::verdict_of(none, all);
  }
};

/// j < n or j <= i: everybody sees the first n keys.  Source: Raffel et al. 2020 (T5), figure 4.
struct PrefixLm {
  using role = role::mask;
  Integer n = 0;

  bool permits(const Position& at, Extent) const { return at.key < n || at.key <= at.query; }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent) const {
    return at.key < n ? engine::PackMask<A>::all(true) : at.queries_from(at.key);
  }
  Verdict verdict(const Tile& t) const {
    return engine::verdict_of(t.first_key >= n && t.first_key > t.last_query,
                              t.last_key < n || t.last_key <= t.first_query);
  }
};

/// j < length of batch b: the keys behind it are padding. One length for all batches, or one each.
struct KeyPadding {
  using role = role::mask;
  engine::Integers lengths{};

  void check(const engine::CallSizes& call) const {
    if (lengths.size() != 1 && lengths.size() != call.batches)
      engine::raise_shape({call.name, ": KeyPadding has ", lengths.size(),
                           " lengths and there are ", call.batches,
                           " batches; it needs one length, or one a batch"});
    for (Index b = 0; b < lengths.size(); ++b)
      if (lengths(b) < 0)
        engine::raise_value({call.name, ": KeyPadding's length ", b, " is ", lengths(b),
                             "; a length is a number of keys"});
  }
  Index length(Index batch) const { return lengths(lengths.size() == 1 ? 0 : batch); }
  bool permits(const Position& at, Extent) const { return at.key < length(at.batch); }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent) const {
    return engine::PackMask<A>::all(at.key < length(at.batch));
  }
  Verdict verdict(const Tile& t) const {
    const Index n = length(t.batch);
    return engine::verdict_of(t.first_key >= n, t.last_key < n);
  }
};

/// query_ids(i) == key_ids(j): packed sequences see only themselves. The ids need not be sorted; a
/// verdict takes r log n steps, where r is the least number of changes of id on a side of the tile.
struct Documents {
  using role = role::mask;
  engine::DocumentIds query_ids{};
  engine::DocumentIds key_ids{};

  void check(const engine::CallSizes& call) const {
    check_count(call, "query_ids", query_ids.size(), call.query_end, "n_q");
    check_count(call, "key_ids", key_ids.size(), call.key_end, "n_k");
  }
  bool permits(const Position& at, Extent) const { return query_ids(at.query) == key_ids(at.key); }
  Verdict verdict(const Tile& t) const {
    const std::span<const engine::IdRun> queries = query_ids.runs(t.first_query, t.last_query);
    const std::span<const engine::IdRun> keys = key_ids.runs(t.first_key, t.last_key);
    if (queries.size() == 1 && keys.size() == 1)
      return queries[0].id == keys[0].id ? Verdict::full : Verdict::empty;
    const bool meet = queries.size() <= keys.size()
                          ? any_stands(queries, key_ids, t.first_key, t.last_key)
                          : any_stands(keys, query_ids, t.first_query, t.last_query);
    return meet ? Verdict::mixed : Verdict::empty;
  }

 private:
  static void check_count(const engine::CallSizes& call, const char* which, Index have, Index need,
                          const char* rule) {
    if (have == need || (call.is_chunk && have > need)) return;
    engine::raise_shape({call.name, ": Documents has ", have, " ", which, " and must have ", need,
                         "; one for each of ", rule});
  }
  /// Whether the id of any run stands in first..last of the other side.
  static bool any_stands(std::span<const engine::IdRun> runs, const engine::DocumentIds& ids,
                         Index first, Index last) {
    return std::any_of(runs.begin(), runs.end(),
                       [&](const engine::IdRun& run) { return ids.holds(run.id, first, last); });
  }
};

/// M_ij.  Shapes  M n_q x n_k of bool, or a TensorView {batch, head, query, key} whose dimensions
/// of size 1 broadcast. A verdict reads its rectangle until two numbers differ; BlockMask keeps the
/// verdicts where M is used often.
struct DenseMask {
  using role = role::mask;
  engine::Parameter<bool> M;

  void check(const engine::CallSizes& call) const { M.check_fits(call, "DenseMask's M"); }
  bool permits(const Position& at, Extent) const {
    const TensorView<const bool> t = M.tensor();
    const auto fit = [&](std::size_t axis, Index k) { return t.shape[axis] == 1 ? 0 : k; };
    return t(fit(0, at.batch), fit(1, at.head), fit(2, at.query), fit(3, at.key));
  }
  Verdict verdict(const Tile& t) const {
    const TensorView<const bool> m = M.tensor();
    const bool* corner = &m(m.shape[0] == 1 ? 0 : t.batch, m.shape[1] == 1 ? 0 : t.head,
                            m.shape[2] == 1 ? 0 : t.first_query, m.shape[3] == 1 ? 0 : t.first_key);
    Axis line{m.shape[2] == 1 ? 1 : t.last_query - t.first_query + 1, m.strides[2]};
    Axis across{m.shape[3] == 1 ? 1 : t.last_key - t.first_key + 1, m.strides[3]};
    if (line.stride != 1) std::swap(line, across);
    for (Index k = 0; k < across.count; ++k)
      if (differs(corner + k * across.stride, line, *corner)) return Verdict::mixed;
    return *corner ? Verdict::full : Verdict::empty;
  }

 private:
  struct Axis {
    Index count;
    Index stride;
  };
  /// Whether any number of a line is not `value`.
  static bool differs(const bool* numbers, Axis line, bool value) {
    static_assert(sizeof(bool) == 1);
    if (line.stride == 1)
      return std::memchr(numbers, value ? 0 : 1, static_cast<std::size_t>(line.count)) != nullptr;
    for (Index k = 0; k < line.count; ++k)
      if (numbers[k * line.stride] != value) return true;
    return false;
  }
};

/// A mask of the user's own.
template <class F>
struct MaskMod {
  using role = role::mask;
  F f;

  bool permits(const Position& at, Extent) const { return f(at); }
  Verdict verdict(const Tile&) const { return Verdict::mixed; }
};

/// Permitted where f(Position) is true. It is asked for every pair.
template <class F>
MaskMod<std::decay_t<F>> mask_mod(F&& f) {
  static_assert(std::is_invocable_r_v<bool, const std::decay_t<F>&, Position>,
                "attn::mask_mod: the function must take an attn::Position and return a bool: "
                "[](attn::Position at) { return at.key % 2 == 0; }.");
  return {std::forward<F>(f)};
}

namespace engine {

/// Asks a part that has something to check whether it fits the call.
template <class P>
void check_part(const P& part, const CallSizes& call) {
  if constexpr (requires { part.check(call); }) part.check(call);
}

/// What a mask says of a pack of queries: by its own rule for packs, or asked lane by lane.
template <class M, class A>
PackMask<A> permits_pack(const M& mask, const PackPosition<A>& at, Extent e) {
  if constexpr (requires { mask.permits(at, e); })
    return mask.permits(at, e);
  else
    return map_positions(Pack<A>(0), at, [&](A, const Position& p) {
             return mask.permits(p, e) ? A(1) : A(0);
           }) == Pack<A>(1);
}

template <class B, class A>
concept NotBothMasks = Part<B> && !(MaskPart<A> && MaskPart<B>);

}  // namespace engine

/// Both permit.
template <MaskPart A, MaskPart B>
struct AndMask {
  using role = role::mask;
  A a;
  B b;

  void check(const engine::CallSizes& call) const {
    engine::check_part(a, call);
    engine::check_part(b, call);
  }
  bool permits(const Position& at, Extent e) const { return a.permits(at, e) && b.permits(at, e); }
  template <class S>
  engine::PackMask<S> permits(const engine::PackPosition<S>& at, Extent e) const {
    return engine::permits_pack(a, at, e) & engine::permits_pack(b, at, e);
  }
  Verdict verdict(const Tile& t) const {
    const Verdict of_a = a.verdict(t);
    return of_a == Verdict::empty ? of_a : std::min(of_a, b.verdict(t));
  }
};

/// Either permits.
template <MaskPart A, MaskPart B>
struct OrMask {
  using role = role::mask;
  A a;
  B b;

  void check(const engine::CallSizes& call) const {
    engine::check_part(a, call);
    engine::check_part(b, call);
  }
  bool permits(const Position& at, Extent e) const { return a.permits(at, e) || b.permits(at, e); }
  template <class S>
  engine::PackMask<S> permits(const engine::PackPosition<S>& at, Extent e) const {
    return engine::permits_pack(a, at, e) | engine::permits_pack(b, at, e);
  }
  Verdict verdict(const Tile& t) const {
    const Verdict of_a = a.verdict(t);
    return of_a == Verdict::full ? of_a : std::max(of_a, b.verdict(t));
  }
};

/// The other does not permit.
template <MaskPart A>
struct NotMask {
  using role = role::mask;
  A a;

  void check(const engine::CallSizes& call) const { engine::check_part(a, call); }
  bool permits(const Position& at, Extent e) const { return !a.permits(at, e); }
  template <class S>
  engine::PackMask<S> permits(const engine::PackPosition<S>& at, Extent e) const {
    return !engine::permits_pack(a, at, e);
  }
  Verdict verdict(const Tile& t) const {
    const Verdict of_a = a.verdict(t);
    return engine::verdict_of(of_a == Verdict::full, of_a == Verdict::empty);
  }
};

namespace engine {

/// The padding among the masks of a call, which moves its bottom right; null without one. Only what
/// all masks demand counts: KeyPadding by itself or joined by `&`, and within a mask that demands
/// what another one does and says so by a member padding().
inline const KeyPadding* find_padding() { return nullptr; }
template <class P, class... Rest>
const KeyPadding* find_padding(const P& part, const Rest&... rest);
template <MaskPart A, MaskPart B, class... Rest>
const KeyPadding* find_padding(const AndMask<A, B>& part, const Rest&... rest) {
  return find_padding(part.a, part.b, rest...);
}
template <class P, class... Rest>
const KeyPadding* find_padding(const P& part, const Rest&... rest) {
  if constexpr (std::is_same_v<P, KeyPadding>)
    return &part;
  else if constexpr (requires { part.padding(); })
    return part.padding() ? part.padding() : find_padding(rest...);
  else
    return find_padding(rest...);
}

}  // namespace engine

template <MaskPart A, MaskPart B>
AndMask<A, B> operator&(A a, B b) {
  return {std::move(a), std::move(b)};
}
template <MaskPart A, MaskPart B>
OrMask<A, B> operator|(A a, B b) {
  return {std::move(a), std::move(b)};
}
template <MaskPart A>
NotMask<A> operator!(A a) {
  return {std::move(a)};
}

template <MaskPart A, MaskPart B>
ATTN_UNAVAILABLE("attn: masks are combined with `&`, not with `&&`")
AndMask<A, B> operator&&(A a, B b) {
  return {std::move(a), std::move(b)};
}
template <MaskPart A, MaskPart B>
ATTN_UNAVAILABLE("attn: masks are combined with `|`, not with `||`")
OrMask<A, B> operator||(A a, B b) {
  return {std::move(a), std::move(b)};
}
template <Part A, engine::NotBothMasks<A> B>
ATTN_UNAVAILABLE(
    "attn: `&` combines masks only. Pass other parts side by side, separated by commas: "
    "attention(Q, K, V, Causal{}, Softcap{5})")
A operator&(A a, B) {
  return a;
}
template <Part A, engine::NotBothMasks<A> B>
ATTN_UNAVAILABLE(
    "attn: `|` combines masks only. Pass other parts side by side, separated by commas: "
    "attention(Q, K, V, Causal{}, Softcap{5})")
A operator|(A a, B) {
  return a;
}

ATTN_END_NAMESPACE
