// SPDX-License-Identifier: Apache-2.0
// Linear attention: a state of fixed size in place of all keys and values, so that the cost is
// linear in the number of tokens and a decoded token costs the same however many came before.
//
//     S <- diag(exp(decay)) S              gated, gated_delta
//     w  = v, or beta (v - S^T k)          linear, gated, or delta, gated_delta
//     S <- S + k w^T
//     o  = scale S^T q                     a token sees what it has written itself
//
// One state, d_k x d_v, for every batch and key-value head. Long calls run chunk by chunk as matrix
// products (engine/linear_chunk.hpp), short ones token by token (engine/recurrence.hpp).
// Next: kernel_attention.hpp, the form with a feature map and a normaliser.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/front.hpp>
#include <attn/engine/linear_call.hpp>
#include <attn/engine/parts.hpp>
#include <attn/parameter.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE

namespace role {
struct decay {};
struct beta {};
struct recurrent_state {};
}  // namespace role

/// How a token changes the state, see above.
/// Source  Katharopoulos et al. 2020 (linear); Yang et al. 2024, "Gated linear attention
///         transformers" (gated); Schlag et al. 2021 (delta); Yang et al. 2025, "Gated delta
///         networks" (gated_delta)
enum class UpdateRule { linear, gated, delta, gated_delta };

struct LinearAttentionOptions {
  UpdateRule rule = UpdateRule::gated_delta;
  Real scale = 0;           ///< of the output; 0: 1/sqrt(d_k)
  Integer chunk_size = 64;  ///< tokens that are worked on at once; results agree to rounding
};

/// The logarithm of what the state is multiplied with before a token writes: 0 keeps it, -inf
/// forgets it. An argument of LinearAttention with a gated rule.
///
/// Shapes  n x heads, or n x (heads d_k) for a factor of each row of the state; or a TensorView
///         {batch, head, token, 1 or d_k}. Heads are those of K. A view of nothing counts as none
template <class T>
struct Decay {
  using role = role::decay;
  using Scalar = T;
  engine::Parameter<T> logarithm;
};
template <engine::EigenDense M>
Decay(const M&) -> Decay<typename M::Scalar>;
template <class T>
Decay(const TensorView<T>&) -> Decay<std::remove_const_t<T>>;

/// How much of what it reads a token replaces: 0 nothing, 1 all. An argument of LinearAttention
/// with a delta rule.
///
/// Shapes  n x heads, or n x 1 for all heads; or a TensorView {batch, head or 1, token, 1}
template <class T>
struct Beta {
  using role = role::beta;
  using Scalar = T;
  engine::Parameter<T> strength;
};
template <engine::EigenDense M>
Beta(const M&) -> Beta<typename M::Scalar>;
template <class T>
Beta(const TensorView<T>&) -> Beta<std::remove_const_t<T>>;

/// A state in memory of the caller's: what a call starts from and where it leaves the state behind
/// the last token. Both may be the same memory; a view of nothing means zeros, or not wanted.
///
/// Shapes  {batch, key-value head, d_k, d_v}, in any scalar no wider than the arithmetic
template <class S>
struct LinearAttentionStateViews {
  using role = role::recurrent_state;
  using Stored = S;
  TensorView<const S> past{};
  TensorView<S> present{};
};

/// A state that owns its numbers. A call reads and updates it; an empty one starts from zeros and
/// takes the sizes of its first call.
template <class S>
class LinearAttentionState {
 public:
  using role = role::recurrent_state;
  using Stored = S;

  LinearAttentionState() = default;
  LinearAttentionState(Index batches, Index heads, Index d_k, Index d_v)
      : shape_{batches, heads, d_k, d_v}, numbers_(VectorX<S>::Zero(batches * heads * d_k * d_v)) {}

  /// {batch, key-value head, d_k, d_v}
  TensorView<S> view() { return bhtd(numbers_.data(), shape_[0], shape_[1], shape_[2], shape_[3]); }
  TensorView<const S> view() const {
    return bhtd<const S>(numbers_.data(), shape_[0], shape_[1], shape_[2], shape_[3]);
  }
  bool empty() const { return shape_ == std::array<Index, 4>{}; }

 private:
  std::array<Index, 4> shape_{0, 0, 0, 0};
  VectorX<S> numbers_;
};

namespace engine {

template <class P>
inline constexpr bool is_linear_part =
    PartOf<P, role::decay> || PartOf<P, role::beta> || PartOf<P, role::recurrent_state> ||
    PartOf<P, role::heads> || PartOf<P, role::executor> || PartOf<P, role::workspace>;

/// What the state of a call is stored in: `Fallback` where there is none.
template <class Fallback, class... Parts>
struct StoredIn {
  using type = Fallback;
};
template <class Fallback, class P, class... Parts>
struct StoredIn<Fallback, P, Parts...> : StoredIn<Fallback, Parts...> {};
template <class Fallback, PartOf<role::recurrent_state> P, class... Parts>
struct StoredIn<Fallback, P, Parts...> {
  using type = typename std::remove_cvref_t<P>::Stored;
};

/// What is said at compile time of the arguments behind V.
template <class T, class... Parts>
consteval bool diagnose_linear_parts() {
  const bool parts = diagnose_parts<T, Parts...>();
  static_assert((true && ... && is_linear_part<Parts>),
                "attn::LinearAttention: a call takes Decay, Beta, a state, Heads, an executor and "
                "a Workspace. Leave the others out: it is causal by itself and not normalised.");
  static_assert(count_of<role::decay, Parts...> <= 1 && count_of<role::beta, Parts...> <= 1 &&
                    count_of<role::recurrent_state, Parts...> <= 1,
                "attn::LinearAttention: a call has one Decay, one Beta and one state, and here are "
                "two of a kind. Keep one of them.");
  static_assert(
      (true && ... &&
       !(PartOf<Parts, role::recurrent_state> && std::is_const_v<std::remove_reference_t<Parts>> &&
         requires(std::remove_cvref_t<Parts> & p) { p.view(); })),
      "attn::LinearAttention: a const LinearAttentionState cannot be updated. Pass one that is not "
      "const.");
  using S = typename StoredIn<Accumulator<T>, Parts...>::type;
  static_assert(sizeof(S) <= sizeof(Accumulator<T>),
                "attn::LinearAttention: the state is stored in a wider type than is computed with. "
                "Take the accumulator type of Q, or a narrower one.");
  return parts && sizeof(S) <= sizeof(Accumulator<T>);
}

/// A matrix's columns as heads; a view of four dimensions as it is.
template <class T>
TensorView<const T> split_columns(TensorView<const T> view, Index heads) {
  if (view.shape[0] != 1 || view.shape[1] != 1 || heads < 1 || view.features() % heads != 0)
    return view;
  view.shape[1] = heads;
  view.shape[3] /= heads;
  view.strides[1] = view.shape[3] * view.strides[3];
  return view;
}

}  // namespace engine

/// Attention with a recurrent state and one of four update rules.
///
/// Shapes      Q  n x (query heads d_k), K  n x (heads d_k), V  n x (heads d_v)
///             O  n x (query heads d_v); or TensorViews. Query head h reads the state of key-value
///             head h / (query heads / heads)
/// Parts       Decay (gated rules), Beta (delta rules), a state (LinearAttentionState or views),
///             Heads (matrices), Threads or on(pool), Workspace; in any order
/// Delta rules expect keys of norm 1, which is the caller's to see to: longer ones make the
///             recurrence grow
/// Non-finite  as in the recurrence: a NaN reaches its own token and later ones, never earlier ones
/// Accuracy    chunks and recurrence agree to rounding. E and 1/E (engine/linear_chunk.hpp) are
///             products of at most chunk_size factors, each good to some units in the last place
/// Cost        (4 d_k d_v + C (d_k + d_v)) n flops a query head, C the chunk_size, and half to all
///             of that again for a delta rule. Where the decay within C tokens exceeds e^40 (float)
///             chunks are shorter, and tokens that decay by that much each run by the recurrence,
///             at half the speed (d = 128) to four fifths (delta, d = 64)
/// Throws      ShapeError and ValueError before anything is written
/// Threads     over batches and key-value heads; same bits for any number
/// Source      see UpdateRule and engine/linear_chunk.hpp
class LinearAttention {
 public:
  LinearAttentionOptions options;

  /// Throws  ValueError for a rule that does not exist, a scale that is not finite, a chunk_size
  ///         below 1
  explicit LinearAttention(LinearAttentionOptions o = {}) : options(o) {
    if (o.rule < UpdateRule::linear || o.rule > UpdateRule::gated_delta)
      engine::raise_value({"LinearAttention: the rule is number ", Index(o.rule),
                           "; it must be linear, gated, delta or gated_delta"});
    if (!std::isfinite(double(o.scale)))
      engine::raise_value({"LinearAttention: scale is ", double(o.scale),
                           "; it must be finite, 0 for 1/sqrt(d_k)"});
    if (o.chunk_size < 1)
      engine::raise_value({"LinearAttention: chunk_size is ", Index(o.chunk_size),
                           "; it is a number of tokens, 1 or more"});
  }

  /// O of matrices, in Q's storage order.
  template <engine::EigenDense Q, class K, class V, class... Parts>
  auto operator()(const Q& q, const K& k, const V& v, Parts&&... parts) const {
    constexpr bool valid = engine::diagnose_inputs<Q, K, V>();
    if constexpr (valid) {
      const Heads heads = engine::part_of<role::heads>(engine::default_heads, parts...);
      engine::check_heads("LinearAttention", heads, q.cols(), k.cols(), v.cols());
      engine::OutputOf<Q, V, Parts...> output(q.rows(),
                                              v.cols() / heads.key_value_heads() * heads.query);
      into(output, q, k, v, parts...);
      return output;
    }
  }

  /// Into memory of the caller's: O, Q, K and V are all matrices, or all TensorViews.
  template <class O, class Q, class K, class V, class... Parts>
  void into(O&& o, const Q& q, const K& k, const V& v, Parts&&... parts) const {
    constexpr bool writable = engine::diagnose_output<O>();
    constexpr bool valid = engine::diagnose_inputs<Q, K, V>();
    if constexpr (writable && valid) {
      using T = typename Q::Scalar;
      if constexpr (engine::diagnose_linear_parts<T, Parts...>())
        engine::with_inputs(
            "LinearAttention", q, k, v,
            [&](const auto& in) {
              engine::with_output<T>("LinearAttention", o, in.q.heads(), [&](const auto& view) {
                call<T>(view, in, engine::EigenDense<Q>, parts...);
              });
            },
            parts...);
    }
  }

  /// O of one token, whose state is updated: a call with one row and a state.
  template <engine::EigenDense Q, class K, class V, class... Parts>
  auto step(const Q& q, const K& k, const V& v, Parts&&... parts) const {
    static_assert(engine::count_of<role::recurrent_state, Parts...> == 1,
                  "attn::LinearAttention: step needs the state that it updates. Pass a "
                  "LinearAttentionState.");
    if (q.rows() != 1)
      engine::raise_shape({"LinearAttention: step was given ", q.rows(),
                           " rows; it takes one token, and the call itself takes many"});
    return (*this)(q, k, v, parts...);
  }

 private:
  engine::LinearRule rule() const {
    static constexpr const char* names[] = {"linear", "gated", "delta", "gated_delta"};
    return {names[static_cast<std::size_t>(options.rule)],
            options.rule == UpdateRule::gated || options.rule == UpdateRule::gated_delta,
            options.rule == UpdateRule::delta || options.rule == UpdateRule::gated_delta};
  }

  template <class T, class... Parts>
  void call(const TensorView<T>& output, const engine::Inputs<T>& in, bool are_matrices,
            Parts&... parts) const {
    using S = typename engine::StoredIn<Accumulator<T>, Parts...>::type;
    engine::LinearViews<T, S> views;
    views.output = output;
    views.q = in.q, views.k = in.k, views.v = in.v;
    const Index heads = are_matrices ? in.k.heads() : 1;
    [[maybe_unused]] const auto look = [&](const auto& part) {
      using P = std::remove_cvref_t<decltype(part)>;
      if constexpr (PartOf<P, role::decay>)
        views.decay = engine::split_columns(part.logarithm.tensor(), heads);
      if constexpr (PartOf<P, role::beta>)
        views.beta = part.strength.cols() == 1
                         ? part.strength.tensor()
                         : engine::split_columns(part.strength.tensor(), heads);
    };
    (look(parts), ...);
    with_state(
        views, [&] { run(views, parts...); }, parts...);
  }

  template <class T, class S, class... Parts>
  void run(const engine::LinearViews<T, S>& views, Parts&... parts) const {
    const auto& executor = engine::part_of<role::executor>(engine::default_executor, parts...);
    engine::check_linear_call(rule(), views);
    engine::check_part(executor, engine::CallSizes{.name = "LinearAttention"});
    engine::StackScratch small;
    Workspace own(small);
    engine::run_linear(views, rule(), options.scale, options.chunk_size, executor,
                       engine::workspace_of(own, parts...));
  }

  /// f() with the state's views in place. An empty state takes its numbers when all has gone well.
  template <class Views, class F, class... Parts>
  static void with_state(Views& views, F&& f, Parts&... parts) {
    bool done = false;
    [[maybe_unused]] const auto look = [&](auto& part) {
      using P = std::remove_cvref_t<decltype(part)>;
      if constexpr (PartOf<P, role::recurrent_state>) {
        if constexpr (requires { part.past; }) {
          views.past = part.past;
          views.present = part.present;
        } else if (part.empty()) {
          P fresh(views.k.batches(), views.k.heads(), views.d_k(), views.d_v());
          views.past = views.present = fresh.view();
          f();
          part = std::move(fresh);
          done = true;
        } else {
          views.past = views.present = part.view();
        }
      }
    };
    (look(parts), ...);
    if (!done) f();
  }
};

ATTN_END_NAMESPACE
