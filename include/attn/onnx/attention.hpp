// SPDX-License-Identifier: Apache-2.0
// The ONNX operator Attention, versions 23, 24 and 25, on the engine of the library.
//
//     raw    = scale Q K^T                          K, V: past_key, past_value and then K, V
//     logit  = softcap tanh(raw / softcap) + mask   -inf where causal rule, window, padding hide
//     Y      = softmax(logit) V                     zeros for a query that sees nothing
//
// Causal rule and windows become one SlidingWindow, padding a KeyPadding, under which the bottom
// right of a batch is its own length; a mask that ends early leaves out the keys behind its end.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/front.hpp>
#include <attn/mask.hpp>
#include <attn/onnx/attention_node.hpp>
#include <attn/onnx/tensor.hpp>
#include <attn/score.hpp>
#include <attn/score_mod.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE
namespace onnx {
namespace binding {

/// A score modifier that a node may do without: what it has is known at run time alone.
template <class Mod>
struct OptionalMod {
  using role = role::score_mod;
  static constexpr bool can_mask = engine::can_mask<Mod>;
  template <class A>
  using Gradient = NoGradient;
  std::optional<Mod> mod{};

  template <class B>
  struct Bound {
    std::optional<B> bound;

    template <class S, class At>
    S apply(const S& s, const At& at, Extent e) const {
      return bound ? bound->apply(s, at, e) : s;
    }
  };
  template <class A>
  auto bind(const Tile& t) const {
    using B = decltype(mod->template bind<A>(t));
    return Bound<B>{mod ? std::optional<B>(mod->template bind<A>(t)) : std::nullopt};
  }
};

/// A DenseMask that a node may do without.
struct OptionalMask {
  using role = role::mask;
  std::optional<DenseMask> mask{};

  bool permits(const Position& at, Extent e) const { return !mask || mask->permits(at, e); }
  template <class A>
  engine::PackMask<A> permits(const engine::PackPosition<A>& at, Extent e) const {
    return mask ? engine::permits_pack(*mask, at, e) : engine::PackMask<A>::all(true);
  }
  Verdict verdict(const Tile& t) const { return mask ? mask->verdict(t) : Verdict::full; }
};

/// Writes down the scores that pass through.
template <class T>
struct RecordScores {
  using role = role::score_mod;
  template <class A>
  using Gradient = NoGradient;
  TensorView<T> to;

  template <class S, class At>
  S apply(const S& s, const At& at, Extent) const {
    engine::for_each_position(at, s, [&](const Position& p, auto score) {
      to(p.batch, p.head, p.query, p.key) = static_cast<T>(score);
    });
    return s;
  }
};

/// For a walk that is made for its scores alone: weights are not wanted, so they cost nothing.
struct NoNormalizer {
  using role = role::normalizer;
  static constexpr RowStatistic statistic = RowStatistic::none;
  template <class A>
  using Gradient = NoGradient;

  template <class S>
  static S probability(const S& s, const S&, const S&) {
    return s;
  }
};

/// One node whose checks have passed: its views and the parts of its call.
template <class T>
class AttentionRun {
 public:
  using A = Accumulator<T>;
  using Numbers = std::vector<T>;

  AttentionRun(const AttentionOutputs<T>& out, const AttentionInputs<T>& in,
               const AttentionAttributes& attributes, const AttentionSizes& sizes)
      : out_(out), attributes_(attributes), n_(sizes), q_(head_view(in.Q, n_.q_heads)) {
    k_ = join(in.past_key, head_view(in.K, n_.kv_heads), out.present_key, key_memory_);
    v_ = join(in.past_value, head_view(in.V, n_.kv_heads), out.present_value, value_memory_);
    if (attributes.scale) score_.scale = static_cast<double>(*attributes.scale);
    if (attributes.softcap != 0) cap_.mod = Softcap{attributes.softcap};
    if (in.attn_mask.bias.is_given()) bias_.mod = DenseBias<T>{in.attn_mask.bias.aligned()};
    if (in.attn_mask.permitted.is_given()) mask_.mask = DenseMask{in.attn_mask.permitted.aligned()};
    place(in.nonpad_kv_seqlen, in.past_key.is_given());
  }

  template <class... Parts>
  void attend(Parts&... parts) const {
    engine::Outputs<T, A> to;
    to.output = head_view(out_.Y, n_.q_heads);
    to.are_new = true;  // AttentionCheck has seen to shapes and memory
    const engine::Inputs<T> in = inputs(n_.visible);
    const auto call = [&](const auto& out, auto&... mods) {
      engine::forward_call(name, in, out, score_, window_, padding_, mask_, mods..., parts...);
    };
    if (out_.qk_matmul_output.is_given() && attributes_.qk_matmul_output_mode == 3)
      call(engine::WeightedOutputs<T, A>{to, visible_weights()}, cap_, bias_);
    else if (cap_.mod || bias_.mod)
      call(to, cap_, bias_);
    else
      call(to);
  }

  /// Output 3 before the softmax, for modes 0 to 2.
  template <class... Parts>
  void write_scores(Parts&... parts) const {
    if (!out_.qk_matmul_output.is_given() || attributes_.qk_matmul_output_mode == 3) return;
    const TensorView<T> to = out_.qk_matmul_output.aligned();
    if (attributes_.qk_matmul_output_mode == 2) {
      record(to, n_.visible, window_, padding_, mask_, cap_, bias_, parts...);
      return hide(to);
    }
    const OptionalMod<Softcap> off;
    const SlidingWindow open;
    const KeyPadding whole{n_.total()};
    record(to, n_.total(), open, whole, OptionalMask{},
           attributes_.qk_matmul_output_mode == 1 ? cap_ : off, OptionalMod<DenseBias<T>>{},
           parts...);
  }

 private:
  static constexpr const char* name = AttentionCheck<T>::name;

  /// The diagonal stands where the first query of this call does: behind the cached keys, or behind
  /// those of its batch that came before it.
  void place(const Tensor<const std::int64_t>& lengths, bool has_past) {
    const Index right = attributes_.right_window_size;
    window_.left = attributes_.left_window_size;
    window_.right = attributes_.is_causal ? 0 : right;  // a window to the right adds nothing then
    window_.offset = has_past ? n_.n_past : 0;
    window_.from_bottom_right = lengths.is_given();
    std::vector<Index> of_batch{n_.total()};
    if (lengths.is_given()) {
      of_batch.clear();
      for (Index b = 0; b < n_.batches; ++b)
        of_batch.push_back(static_cast<Index>(lengths.data[b * lengths.strides[0]]));
    }
    padding_ = KeyPadding{of_batch};
  }

  /// The cached tokens and then the new ones: in the present where that is asked for.
  static TensorView<const T> join(const Tensor<const T>& past, const TensorView<const T>& fresh,
                                  const Tensor<T>& present, Numbers& memory) {
    const Index old = past.is_given() ? past.size(2) : 0;
    if (old == 0 && !present.is_given()) return fresh;
    TensorView<T> all = present.aligned();
    if (!present.is_given()) {
      const Index count = old + fresh.tokens();
      memory.resize(
          static_cast<std::size_t>(fresh.batches() * fresh.heads() * count * fresh.features()));
      all = bhtd(memory.data(), fresh.batches(), fresh.heads(), count, fresh.features());
    }
    if (old > 0) copy_numbers(past.aligned(), tokens(all, 0, old));
    copy_numbers(fresh, tokens(all, old, fresh.tokens()));
    return all;
  }

  engine::Inputs<T> inputs(Index keys) const {
    return {q_, tokens(k_, 0, keys), tokens(v_, 0, keys)};
  }

  /// Where the weights of visible keys go; those of keys behind the end of a mask become 0.
  TensorView<T> visible_weights() const {
    TensorView<T> all = out_.qk_matmul_output.aligned();
    for_each_row(all, [&](Index b, Index h, Index i) {
      for (Index j = n_.visible; j < n_.total(); ++j) all(b, h, i, j) = T(0);
    });
    all.shape[3] = n_.visible;
    return all;
  }

  /// The scores that these modifiers leave, wherever these masks do not empty a whole tile.
  template <class... Parts>
  void record(const TensorView<T>& to, Index keys, const SlidingWindow& window,
              const KeyPadding& padding, const OptionalMask& mask, const OptionalMod<Softcap>& cap,
              const OptionalMod<DenseBias<T>>& bias, Parts&... parts) const {
    engine::Inputs<T> in = inputs(keys);
    in.v = in.k;
    const RecordScores<T> recorder{to};
    const NoNormalizer normalizer;
    engine::Outputs<T, A> nothing;
    nothing.are_new = true;
    engine::forward_call(name, in, nothing, score_, normalizer, window, padding, mask, cap, bias,
                         recorder, parts...);
  }

  /// -inf wherever a rule hides a key, whatever has been recorded there; a float mask's own -inf
  /// has been recorded as such.
  void hide(const TensorView<T>& to) const {
    const T hidden = static_cast<T>(-std::numeric_limits<float>::infinity());
    for_each_row(to, [&](Index b, Index h, Index i) {
      const Extent e{n_.n_q, std::min(n_.visible, padding_.length(b))};
      for (Index j = 0; j < n_.total(); ++j) {
        const Position at{b, h, i, j};
        if (j >= n_.visible || !window_.permits(at, e) || !padding_.permits(at, e) ||
            !mask_.permits(at, e))
          to(b, h, i, j) = hidden;
      }
    });
  }

  template <class F>
  static void for_each_row(const TensorView<T>& scores, F&& f) {
    for (Index b = 0; b < scores.batches(); ++b)
      for (Index h = 0; h < scores.heads(); ++h)
        for (Index i = 0; i < scores.tokens(); ++i) f(b, h, i);
  }

  const AttentionOutputs<T>& out_;
  const AttentionAttributes& attributes_;
  AttentionSizes n_;
  Numbers key_memory_, value_memory_;
  TensorView<const T> q_, k_, v_;
  ScaledDotProduct score_;
  SlidingWindow window_;
  KeyPadding padding_;
  OptionalMask mask_;
  OptionalMod<Softcap> cap_;
  OptionalMod<DenseBias<T>> bias_;
};

}  // namespace binding

/// The ONNX operator Attention: inputs, outputs and attributes have the operator's names.
///
///     std::vector<float> y(B * Hq * Sq * Dv);
///     attn::onnx::attention<float>({.Y = {y.data(), {B, Hq, Sq, Dv}}},
///                                  {.Q = {q, {B, Hq, Sq, D}}, .K = ..., .V = ...},
///                                  {.is_causal = true}, 25, attn::Threads{4});
///
/// Shapes      see AttentionInputs and AttentionOutputs; ranks 3 and 4, outputs of the caller's
/// Types       T is float, double, Eigen::half or Eigen::bfloat16; the mask bool or T
/// Opset       the operator set of the model: 23, 24, or 25 and later
/// Parts       an executor (Threads, on(pool)), a Workspace
/// Empty rows  a query that sees nothing gets zeros, and so it is without any key (T = 0)
/// Non-finite  keys and values that are hidden are never read into Y, nor into output 3 in modes 2
///             and 3; modes 0 and 1 show the products of hidden keys too. NaN in a mask reaches the
///             queries that see its key. A logit of -inf hides its key, however it came about
/// Precision   arithmetic in float (double for double), softmax_precision is checked only: it is
///             never less precise than asked, and where double is asked for narrower inputs the
///             result differs in the rounding to T at most
/// Choices     where the operator's text and its reference code disagree: mode 0 is the product
///             before the soft cap; a mask whose last axis is 1 is filled up like any short mask
///             from opset 24 on, and broadcasts in 23; presents may be asked for without a past;
///             a negative softcap or scale, a nonpad_kv_seqlen outside 0 .. T, head counts with
///             rank 4 and masks of integers are refused
/// Memory      a past without presents is joined to the new tokens in memory of this call's own. A
///             present may lie where its past and K or V are: what stands in place is not copied
/// Cost        as attention_into; a qk_matmul_output costs a second walk over Q K^T
/// Throws      ShapeError, ValueError before anything is written; std::bad_alloc
/// Threads     re-entrant; same bits for any number of threads
/// Source      onnx.ai, operator Attention
template <class T, class... Parts>
void attention(const AttentionOutputs<T>& outputs, const AttentionInputs<T>& inputs,
               const AttentionAttributes& attributes = {}, Integer opset = 25, Parts&&... parts) {
  static_assert(binding::only_run<Parts...>,
                "attn::onnx::attention: behind the opset only an executor (Threads, on(pool)) and "
                "a Workspace may follow. The operator has no other parts.");
  const auto sizes = binding::AttentionCheck<T>(outputs, inputs, attributes, opset).run();
  engine::check_part(engine::part_of<role::executor>(engine::default_executor, parts...),
                     engine::CallSizes{.name = "onnx::attention"});
  const binding::AttentionRun<T> run(outputs, inputs, attributes, sizes);
  run.write_scores(parts...);
  run.attend(parts...);
}

}  // namespace onnx
ATTN_END_NAMESPACE
