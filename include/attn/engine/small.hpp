// SPDX-License-Identifier: Apache-2.0
// Attention of small heads, where any other path is mostly preparation: all keys make one tile, and
// the queries are so few panels that K and V are used where they lie.
//
//     panel of queries -> S = (factor Q) K^T, m -> e = exp(S - m), l -> O = e V / l
//
// A panel is done in one go: nothing is rescaled, nothing is packed but its queries, and O goes to
// where it belongs from registers. Only for softmax without modifiers and masks. 2 n_q n_k (d +
// d_v) flops; every number of K and V is read once a panel.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/small_product.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/normalizer.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Whether all keys make one tile, whose scores stay in a first-level cache, for so few panels that
/// packing K and V would not pay. Lanes of few queries are mostly empty: where keys or features are
/// many, those are better decoded.
template <class T>
bool is_small(const Inputs<T>& in) {
  constexpr Index few = 3, few_keys = 8, wide = 32, most_keys = 96;
  if (in.n_q() <= few) return in.n_k() <= few_keys && in.q.features() < wide;
  if (in.n_q() <= 2 * few && in.q.features() > 2 * wide) return false;
  return in.n_k() <= most_keys && in.n_q() <= direct_panels * panel_width<Accumulator<T>>;
}

/// e = exp(s - m) takes the place of every score of a panel, and `sum` holds l of its rows. Returns
/// whether some score is -inf, whose e is zero if this `hides` it.
template <Index packs, bool hides, class A>
ATTN_NOINLINE bool exponentiate(A* s, Index keys, const A* maximum, A* sum) {
  constexpr Index width = Pack<A>::width;
  Pack<A> m[packs], total[packs], least[packs];
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) {
    m[p] = Pack<A>::load(maximum + p * width);
    total[p] = Pack<A>(0);
    least[p] = Pack<A>(0);
  }
  for (Index j = 0; j < keys; ++j, s += panel_width<A>) {
    ATTN_UNROLL
    for (Index p = 0; p < packs; ++p) {
      const Pack<A> score = Pack<A>::load(s + p * width);
      const Pack<A> e = exp_of_difference<hides>(score, m[p]);
      total[p] += e;
      least[p] = smaller(least[p], score);
      e.store(s + p * width);
    }
  }
  ATTN_UNROLL
  for (Index p = 0; p < packs; ++p) {
    total[p].store(sum + p * width);
    least[0] = smaller(least[0], least[p]);
  }
  return !(Eigen::internal::predux_min(least[0].raw) > minus_infinity<A>);
}

/// Scratch of one worker.
template <class A>
struct SmallScratch {
  A* q;        ///< of a panel: [feature][query]
  A* s;        ///< [key][query]
  A* maximum;  ///< of the rows of a panel
  A* sum;
  A* factor;
  A* keys;  ///< where they can't be used in place
  A* values;
  ProductScratch<A> product;

  /// out: Outputs or WeightedOutputs.
  template <class T, class O>
  SmallScratch(Arena& arena, const Inputs<T>& in, const O& out) {
    const Index rows = Panels<A>(in.n_q()).most_rows();
    const Index d = in.q.features(), d_v = in.v.features(), n_k = in.n_k();
    Index staged = reads_in_place<A>(in.q) && writes_in_place(out.output) ? 0 : std::max(d, d_v);
    if constexpr (has_weights<O>)
      if (!writes_in_place(out.weights)) staged = std::max(staged, n_k);
    q = arena.take<A>(rows * d);
    s = arena.take<A>((grouped(n_k) + 1) * panel_width<A>);  // mix_rows reads on to whole groups
    maximum = arena.take<A>(rows);
    sum = arena.take<A>(rows);
    factor = arena.take<A>(rows);
    keys = arena.take<A>(reads_in_place<A>(in.k) ? 0 : n_k * d);
    values = arena.take<A>(reads_in_place<A>(in.v) ? 0 : n_k * d_v);
    product = {arena.take<A>(rows * d_v), arena.take<A>(rows * staged)};
  }

 private:
  template <class T>
  static bool writes_in_place(const TensorView<T>& view) {
    return std::is_same_v<T, A> && (view.strides[2] == 1 || view.strides[3] == 1);
  }
};

/// One head.
template <class T>
class SmallHead {
 public:
  using A = Accumulator<T>;

  SmallHead(const Inputs<T>& in, Index b, Index h, const SmallScratch<A>& scratch)
      : queries_(in.q, b, h),
        keys_(load_operand<A>(Slice<const T>(in.k, b, in.key_head(h)), 0, in.n_k(), scratch.keys)),
        values_(
            load_operand<A>(Slice<const T>(in.v, b, in.key_head(h)), 0, in.n_k(), scratch.values)),
        scratch_(scratch) {}

  /// Weights of a panel, not yet divided by their sums; whether some are hidden.
  bool weigh(const Panel& panel, A scale) const {
    pack_panel(load_operand<A>(queries_, panel.first, panel.count, scratch_.product.staging),
               panel_rows<A>(panel), scratch_.q, scale);
    const bool hides = exponentiate_scores<false>(panel);
    if (hides) exponentiate_scores<true>(panel);
    return hides;
  }

  /// 1 / denominator of every row of a panel; 0 for one that sees nothing.
  template <class Normalizer>
  void find_factors(const Panel& panel, const Normalizer& normalizer, Index h) const {
    const SmallScratch<A>& x = scratch_;
    const Index rows = panel_rows<A>(panel);
    const A* denominators = x.sum;
    if constexpr (!std::is_same_v<Normalizer, Softmax>) {
      for (Index i = 0; i < rows; ++i)
        x.factor[i] = normalizer.denominator(x.sum[i], x.maximum[i], h);
      denominators = x.factor;
    }
    for (Index i = 0; i < rows; i += Pack<A>::width)
      select(Pack<A>::load(x.sum + i) == Pack<A>(0), Pack<A>(0),
             Pack<A>(1) / Pack<A>::load(denominators + i))
          .store(x.factor + i);
  }

  /// O of a panel.
  void mix(const Panel& panel, bool hides, const Slice<T>& to) const {
    write_product(panel, scratch_.s, values_, scratch_.factor, hides, to, scratch_.product);
  }

  /// P of a panel, in place of e: zero for a score of -inf, whatever the factor.
  void write_weights(const Panel& panel, const Slice<T>& to) const {
    for (Index j = 0; j < keys_.rows; ++j)
      for (Index i = 0; i < panel_rows<A>(panel); i += Pack<A>::width) {
        A* at = scratch_.s + j * panel_width<A> + i;
        const Pack<A> e = Pack<A>::load(at), p = e * Pack<A>::load(scratch_.factor + i);
        select(e == Pack<A>(0), Pack<A>(0), p).store(at);
      }
    write_tokens(Operand<A>(scratch_.s, panel.count, keys_.rows, panel_width<A>, false), to,
                 panel.first, scratch_.product.staging);
  }

  A log_sum_exp(Index i) const { return log_sum_exp_of(scratch_.maximum[i], scratch_.sum[i]); }

 private:
  template <bool hides>
  bool exponentiate_scores(const Panel& panel) const {
    const SmallScratch<A>& x = scratch_;
    std::fill_n(x.maximum, panel_rows<A>(panel), std::numeric_limits<A>::lowest());
    score_panel_direct(panel.packs, x.q, keys_, x.s, FindMaximum<A>{x.maximum});
    bool some = false;
    with_packs(panel.packs, [&](auto packs) {
      some = exponentiate<packs, hides>(x.s, keys_.rows, x.maximum, x.sum);
    });
    return some;
  }

  Slice<const T> queries_;
  Operand<A> keys_;
  Operand<A> values_;
  const SmallScratch<A>& scratch_;
};

template <class T, class Normalizer, class Executor, class O>
ATTN_NOINLINE void run_small(const Inputs<T>& in, Accumulator<T> scale,
                             const Normalizer& normalizer, const Executor& executor,
                             Workspace& workspace, const O& out) {
  using A = Accumulator<T>;
  const Index heads = in.q.heads(), tasks = in.q.batches() * heads;
  Arena measure;
  [[maybe_unused]] const SmallScratch<A> sized(measure, in, out);
  workspace.prepare(executor.workers(tasks), measure.used());
  const Panels<A> panels(in.n_q());
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    const SmallScratch<A> scratch(arena, in, out);
    const Index b = quotient(task, heads), h = task - b * heads;
    const SmallHead<T> head(in, b, h, scratch);
    for (Index p = 0; p < panels.count(); ++p) {
      const Panel panel = panels[p];
      const bool hides = head.weigh(panel, scale);
      if (out.log_sum_exp.data)
        for (Index i = 0; i < panel.count; ++i)
          out.log_sum_exp(b, h, panel.first + i, 0) = head.log_sum_exp(i);
      if (out.output.data || has_weights<O>) head.find_factors(panel, normalizer, h);
      if (out.output.data) head.mix(panel, hides, Slice<T>(out.output, b, h));
      if constexpr (has_weights<O>) head.write_weights(panel, Slice<T>(out.weights, b, h));
    }
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
