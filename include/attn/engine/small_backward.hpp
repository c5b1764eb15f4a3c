// SPDX-License-Identifier: Apache-2.0
// The backward pass of small heads, where that of tiles is mostly preparation: queries and keys are
// a few panels, and Q, K, V and dO are used where they lie.
//
//     S = scale Q K^T    P = exp(S - L)    dP = dO V^T    D = rows of O dO    dS = P (dP - D)
//     dQ = scale dS K    dK = scale dS^T Q    dV = P^T dO
//
// Nothing is added up over tiles: gradients go to where they belong from registers. Only for the
// softmax of scaled products without modifiers, masked or not. 10 n_q n_k d flops, hidden or not.
#pragma once

#include <algorithm>
#include <cstddef>

#include <attn/config.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/small_product.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Up to so many panels, to which it was measured to win; tiles leave out what a mask hides.
inline constexpr Index small_panels = 4, small_masked_panels = 1;

/// Whether queries and keys are few panels; run_backward asks for the rest.
template <class Program, class T>
bool is_small_backward(const Inputs<T>& in) {
  constexpr Index panels = Program::has_masks ? small_masked_panels : small_panels;
  return std::max(in.n_q(), in.n_k()) <= panels * panel_width<Accumulator<T>>;
}

/// Scratch of one worker. Matrices of queries and keys have the lanes of a panel in a row.
template <class A>
struct SmallBackwardScratch {
  A* q;          ///< of a panel: [feature][query]
  A* d_output;   ///< of a panel: [column][query]
  A* scores;     ///< S of a panel: [key][query]
  A* weights;    ///< P likewise
  A* d_scores;   ///< dP, then dS likewise
  A* weights_t;  ///< P of all queries: [panel of keys][query][key]
  A* d_scores_t;
  A* log_sum_exp;  ///< of a panel
  A* mean;         ///< D of a panel
  A* ones;
  A* inputs[5];  ///< Q, K, V, dO and O where they can't be used in place
  ProductScratch<A> product;
  Index panel_size;  ///< of the transposed matrices

  template <class T>
  SmallBackwardScratch(Arena& arena, const Inputs<T>& in, const BackwardViews<T, A>& views) {
    constexpr Index width = panel_width<A>;
    const Index n_q = in.n_q(), n_k = in.n_k(), key_panels = Panels<A>(n_k).count();
    const Index d = in.q.features(), d_v = in.v.features();
    const Index pairs = (padded<A>(n_k) + key_group) * width;
    panel_size = (padded<A>(n_q) + key_group) * width;
    q = arena.take<A>(width * d);
    d_output = arena.take<A>(width * d_v);
    scores = arena.take<A>(pairs);
    weights = arena.take<A>(pairs);
    d_scores = arena.take<A>(pairs);
    weights_t = arena.take<A>(key_panels * panel_size);
    d_scores_t = arena.take<A>(key_panels * panel_size);
    log_sum_exp = arena.take<A>(width);
    mean = arena.take<A>(width);
    ones = arena.take<A>(width);
    const TensorView<const T> read[] = {in.q, in.k, in.v, views.d_output, views.output};
    for (Index k = 0; k < 5; ++k)
      inputs[k] =
          arena.take<A>(reads_in_place<A>(read[k]) ? 0 : read[k].tokens() * read[k].features());
    const Index widest = width * std::max(d, d_v);
    product = {arena.take<A>(widest), arena.take<A>(widest)};
  }
};

/// One head.
template <class T, class Program>
class SmallHeadBackward {
 public:
  using A = Accumulator<T>;
  using P = Pack<A>;

  SmallHeadBackward(const Inputs<T>& in, const Program& program, const BackwardViews<T, A>& views,
                    Index b, Index h, const SmallBackwardScratch<A>& scratch)
      : program_(program),
        batch_(b),
        head_(h),
        query_panels_(in.n_q()),
        key_panels_(in.n_k()),
        q_(load(in.q, b, h, scratch.inputs[0])),
        k_(load(in.k, b, h, scratch.inputs[1])),
        v_(load(in.v, b, h, scratch.inputs[2])),
        d_output_(load(views.d_output, b, h, scratch.inputs[3])),
        output_(load(views.output, b, h, scratch.inputs[4])),
        log_sum_exp_(views.log_sum_exp, b, h),
        d_query_(views.d_query, b, h),
        d_key_(views.d_key, b, h),
        d_value_(views.d_value, b, h),
        scratch_(scratch) {}

  /// Writes dQ, dK and dV; returns the gradient of the scale.
  A run(A scale) {
    constexpr Index width = panel_width<A>;
    std::fill_n(scratch_.ones, width, A(1));
    // Lanes behind the last key reach nothing, but denormal numbers in them would be slow.
    const Index behind = (padded<A>(k_.rows) - k_.rows) * width;
    std::fill_n(scratch_.weights + k_.rows * width, behind, A(0));
    std::fill_n(scratch_.d_scores + k_.rows * width, behind, A(0));
    A d_scale(0);
    for (Index p = 0; p < query_panels_.count(); ++p) {
      const Panel panel = query_panels_[p];
      d_scale += differentiate(panel, scale);
      write(panel, scratch_.d_scores, k_, d_query_);
      transpose(panel, scratch_.weights, scratch_.weights_t);
      transpose(panel, scratch_.d_scores, scratch_.d_scores_t);
    }
    for (Index p = 0; p < key_panels_.count(); ++p) {
      write(key_panels_[p], scratch_.d_scores_t + p * scratch_.panel_size, q_, d_key_);
      write(key_panels_[p], scratch_.weights_t + p * scratch_.panel_size, d_output_, d_value_);
    }
    return d_scale;
  }

 private:
  static Operand<A> load(const TensorView<const T>& view, Index b, Index h, A* buffer) {
    return load_operand<A>(Slice<const T>(view, b, h), 0, view.tokens(), buffer);
  }

  /// P and dS of a panel of queries against all keys; returns its part of the scale's gradient.
  A differentiate(const Panel& panel, A scale) {
    const Index rows = panel_rows<A>(panel);
    std::fill_n(scratch_.log_sum_exp, rows, A(0));
    for (Index i = 0; i < panel.count; ++i)
      scratch_.log_sum_exp[i] = log_sum_exp_.data[(panel.first + i) * log_sum_exp_.token_stride];
    pack_panel(q_.middle_rows(panel.first, panel.count), rows, scratch_.q, scale);
    pack_panel(d_output_.middle_rows(panel.first, panel.count), rows, scratch_.d_output);
    score_panel_direct(panel.packs, scratch_.q, k_, scratch_.scores, AsTheyAre());
    score_panel_direct(panel.packs, scratch_.d_output, v_, scratch_.d_scores, AsTheyAre());
    find_means(panel);
    const Tile positions = program_.tile(batch_, head_, panel.first, panel.count, 0, k_.rows);
    bool is_finite = program_.verdict(positions) == Verdict::full && find_weights<false>(panel);
    if (is_finite) return find_d_scores<false>(panel, scale);
    find_hidden(panel, positions);
    is_finite = find_weights<true>(panel);
    hides_ = hides_ || !is_finite;
    return find_d_scores<true>(panel, scale);
  }

  /// D, the product of an output row with its gradient: right for a part of the keys, too.
  void find_means(const Panel& panel) const {
    const Index rows = panel_rows<A>(panel);
    A* const output = scratch_.product.output;
    pack_panel(output_.middle_rows(panel.first, panel.count), rows, output);
    for (Index i = 0; i < rows; i += P::width) {
      P mean(0);
      for (Index c = 0; c < output_.cols; ++c)
        mean = multiply_add(P::load(output + c * rows + i),
                            P::load(scratch_.d_output + c * rows + i), mean);
      mean.store(scratch_.mean + i);
    }
  }

  /// f(where, first query, key) for the packs of a panel.
  template <class F>
  ATTN_INLINE void for_each_pack(const Panel& panel, F&& f) const {
    for (Index i = 0; i < panel.count; i += P::width)
      for (Index j = 0; j < k_.rows; ++j) f(j * panel_width<A> + i, i, j);
  }

  /// What stands in place of the weights for now: 1 where a mask says no, else 0.
  void find_hidden(const Panel& panel, const Tile& positions) const {
    for_each_pack(panel, [&](Index at, Index i, Index j) {
      program_.mask(P(0), program_.place(positions, i, j), positions.extent, A(1))
          .store(scratch_.weights + at);
    });
  }

  /// P. Returns whether all scores and dP are finite, be they hidden or not: if one is not, scores
  /// of -inf must be hidden as well.
  template <bool hides>
  bool find_weights(const Panel& panel) const {
    P wrong(0);
    for_each_pack(panel, [&](Index at, Index i, Index) {
      P s = P::load(scratch_.scores + at);
      const P dp = P::load(scratch_.d_scores + at);
      wrong += (s - s) + (dp - dp);  // 0, or NaN
      if constexpr (hides)
        s = select(P::load(scratch_.weights + at) == P(0), s, P(minus_infinity<A>));
      exp_of_difference<hides>(s, P::load(scratch_.log_sum_exp + i)).store(scratch_.weights + at);
    });
    return sum(wrong) == A(0);
  }

  /// dS times the scale, in place of dP; returns the part of the scale's gradient.
  template <bool hides>
  A find_d_scores(const Panel& panel, A scale) const {
    P products(0);
    for_each_pack(panel, [&](Index at, Index i, Index) {
      const P p = P::load(scratch_.weights + at);
      P ds = p * (P::load(scratch_.d_scores + at) - P::load(scratch_.mean + i));
      P product = ds * P::load(scratch_.scores + at);
      if constexpr (hides) {
        ds = select(p == P(0), P(0), ds);
        product = select(p == P(0), P(0), product);
        product = select(P::first_and_up(A(i)) < P(A(panel.count)), product, P(0));
      }
      products += product;
      (ds * P(scale)).store(scratch_.d_scores + at);
    });
    return sum(products) / scale;
  }

  /// In whole packs both ways.
  void transpose(const Panel& panel, const A* pairs, A* to) const {
    constexpr Index width = panel_width<A>;
    for (Index p = 0; p < key_panels_.count(); ++p) {
      const Panel keys = key_panels_[p];
      copy_transposed<A>({pairs + keys.first * width, width},
                         {to + p * scratch_.panel_size + panel.first * width, width},
                         panel_rows<A>(keys), panel_rows<A>(panel), A(1));
    }
  }

  void write(const Panel& panel, const A* p, const Operand<A>& b, const Slice<T>& to) const {
    if (to.data) write_product(panel, p, b, scratch_.ones, hides_, to, scratch_.product);
  }

  const Program& program_;
  Index batch_;
  Index head_;
  Panels<A> query_panels_;
  Panels<A> key_panels_;
  Operand<A> q_;
  Operand<A> k_;
  Operand<A> v_;
  Operand<A> d_output_;
  Operand<A> output_;
  Slice<const A> log_sum_exp_;
  Slice<T> d_query_;
  Slice<T> d_key_;
  Slice<T> d_value_;
  const SmallBackwardScratch<A>& scratch_;
  bool hides_ = false;  ///< something is not finite, so zeros of P and dS must keep it out
};

/// Adds the gradient of the scale to `gradients` head by head, whatever the executor.
template <class T, class Program, class Executor, class Gradients>
ATTN_NOINLINE void run_small_backward(const Inputs<T>& in, const Program& program,
                                      Accumulator<T> scale, const Executor& executor,
                                      Workspace& workspace,
                                      const BackwardViews<T, Accumulator<T>>& views,
                                      Gradients& gradients) {
  using A = Accumulator<T>;
  const Index heads = in.q.heads(), tasks = in.q.batches() * heads;
  Arena measure;
  [[maybe_unused]] const SmallBackwardScratch<A> sized(measure, in, views);
  workspace.prepare(executor.workers(tasks), measure.used());
  A only(0);
  A* const d_scales =
      tasks == 1
          ? &only
          : reinterpret_cast<A*>(workspace.sums(static_cast<std::size_t>(tasks) * sizeof(A)));
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    const SmallBackwardScratch<A> scratch(arena, in, views);
    const Index b = quotient(task, heads), h = task - b * heads;
    d_scales[task] = SmallHeadBackward(in, program, views, b, h, scratch).run(scale);
  });
  if constexpr (requires { gradients.scale; })
    for (Index task = 0; task < tasks; ++task) gradients.scale += d_scales[task];
}

}  // namespace engine
ATTN_END_NAMESPACE
