// SPDX-License-Identifier: Apache-2.0
// The backward pass of one block of queries against a range of keys: five products a tile.
//
//     S = Q K^T    dP' = dO V^T    (P' and dS)    dV += P'^T dO    dQ += dS K    dK += dS^T Q
//
// A panel of 48 queries and a tile of 96 keys of 64 float features: 10 x 48 x 96 x 64 = 2.9 million
// flops. Next: backward.hpp, which runs the blocks and knows what the products mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <attn/config.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/kernel.hpp>
#include <attn/engine/packet_math.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// How backward lays out matrices that have keys or queries by rows, their columns in whole packs,
/// and splits the keys.
template <class T, class Program, class ScoreTile>
struct BackwardSizes {
  using A = typename Program::Accumulator;
  Index query;   ///< of dQ' and Q'
  Index key;     ///< of dK'
  Index value;   ///< of dV and dO
  Index ranges;  ///< of keys, by their number alone
  Index range_keys;
  Index task_ranges;  ///< that one task takes, one after the other

  explicit BackwardSizes(const Call<T, Program, ScoreTile>& call)
      : query(padded<A>(call.query_width())),
        key(padded<A>(call.key_width())),
        value(padded<A>(call.in.v.features())) {
    constexpr Index enough_tasks = 8, least_tiles = 8;
    const Index heads = call.in.k.batches() * call.in.k.heads(), keys = call.tiles.keys;
    const Index tiles = (call.in.n_k() + keys - 1) / keys;
    ranges = std::clamp<Index>(tiles / least_tiles, 1, can_split ? enough_tasks : 1);
    range_keys = (tiles + ranges - 1) / ranges * keys;
    ranges = std::max<Index>((call.in.n_k() + range_keys - 1) / std::max<Index>(range_keys, 1), 1);
    const Index head_tasks = std::clamp<Index>(enough_tasks / std::max<Index>(heads, 1), 1, ranges);
    task_ranges = (ranges + head_tasks - 1) / head_tasks;
  }
  Index head_tasks() const { return (ranges + task_ranges - 1) / task_ranges; }

  /// Whether the rows' means are known without a walk over all keys.
  static constexpr bool can_split =
      Program::NormalizerPart::statistic == RowStatistic::sum_of_exp && Program::probs_are_linear;
};

template <class A, class Normalizer>
struct BackwardScratch {
  WalkScratch<A> walk;
  OnlineRows<A> online;
  RowNumbers<A> rows;
  A* maximum;                ///< as in the forward pass
  PaddedTile<A> all_scores;  ///< as in the forward pass
  A* v;                      ///< packed values of a tile: [key / group][column][group]
  A* k_columns;              ///< packed keys of a tile: [feature / group][key][group]
  A* d_output;               ///< dO of a block: [panel][column][query]
  A* d_output_rows;          ///< the same: [query][column]
  A* q_rows;                 ///< Q' of a block: [query][feature]
  A* d_query;                ///< dQ' of a block: [panel][feature][query]
  PaddedTile<A> d_weights;   ///< of a panel and a tile: dP', then dS
  A* d_raw;                  ///< gradients of a panel or tile, with score transformations undone
  A* d_columns;              ///< dK' of a tile by columns
  A* mean;                   ///< D
  A* mean_weight;            ///< what D is divided by
  A* d_keys;                 ///< dK' of a range, summed over queries and heads: [key][feature]
  A* d_values;               ///< dV: [key][column]

  template <class C, class Sizes>
  BackwardScratch(Arena& arena, const C& call, const Sizes& sizes)
      : walk(arena, call),
        online(arena, call.tiles.queries),
        rows(arena, call.tiles.queries),
        maximum(arena.take<A>(panel_width<A>)),
        all_scores(arena, call.tiles.queries,
                   Normalizer::statistic == RowStatistic::threshold ? call.in.n_k() : 0),
        v(arena.take<A>(grouped(call.tiles.keys) * call.in.v.features())),
        k_columns(arena.take<A>(grouped(call.key_width()) * call.tiles.keys)),
        d_output(arena.take<A>(call.tiles.queries * call.in.v.features())),
        d_output_rows(arena.take<A>(call.tiles.queries * sizes.value)),
        q_rows(arena.take<A>(call.tiles.queries * sizes.query)),
        d_query(arena.take<A>(call.tiles.queries * grouped(call.query_width()))),
        d_weights(arena, panel_width<A>, grouped(call.tiles.keys)),
        d_raw(arena.take<A>(call.staging_size())),
        d_columns(arena.take<A>(call.tiles.keys * call.key_width())),
        mean(arena.take<A>(padded<A>(call.tiles.queries))),
        mean_weight(arena.take<A>(padded<A>(call.tiles.queries))),
        d_keys(arena.take<A>(sizes.range_keys * sizes.key)),
        d_values(arena.take<A>(sizes.range_keys * sizes.value)) {}
};

/// The backward pass of one block of queries and a range of keys; adds to d_keys and d_values of
/// the scratch, and leaves dQ' of the block in d_query.
template <class Walk, class Scratch, class T, class Gradients>
class BlockBackward {
 public:
  using Program = std::remove_cvref_t<decltype(std::declval<const Walk&>().call().program)>;
  using ScoreTile = std::remove_cvref_t<decltype(std::declval<const Walk&>().call().score)>;
  using A = typename Program::Accumulator;
  using P = Pack<A>;
  using Normalizer = typename Program::NormalizerPart;
  using Sizes = BackwardSizes<T, Program, ScoreTile>;
  static constexpr bool is_exponential = Normalizer::statistic == RowStatistic::sum_of_exp;

  BlockBackward(const Walk& walk, const Scratch& scratch, const Sizes& sizes,
                const BackwardViews<T, A>& views, Gradients& gradients)
      : walk_(walk), scratch_(scratch), sizes_(sizes), views_(views), gradients_(gradients) {}

  void run() {
    load_rows();
    for (Index p = 0; p < walk_.panels().count(); ++p) load_panel(walk_.panels()[p]);
    find_means();
    std::fill_n(scratch_.d_query, padded<A>(walk_.block().count) * grouped(query_width()), A(0));
    walk_.for_each_tile(
        [&](Index first, Index count) {
          pack_values(first, count);
          const Operand<A> keys = walk_.keys(first, count);
          keys_are_finite_ = keys.all_finite();
          if (ScoreTile::is_product && !walk_.is_direct())
            pack(keys.transposed(), key_group, scratch_.k_columns);
        },
        [&](const KeyTile& tile) {
          load_tile(tile);
          differentiate(tile);
          add_to_inputs(tile);
        });
  }

  /// From the whole dQ' of the block to dQ.
  void finish_queries() {
    const Index d = walk_.call().in.q.features();
    const Slice<T> to(views_.d_query, walk_.block().batch, walk_.block().head);
    for (Index p = 0; p < walk_.panels().count(); ++p) {
      const Panel panel = walk_.panels()[p];
      const TileMap<A> dq(scratch_.d_raw, panel.count, d, Eigen::OuterStride<>(panel.count));
      walk_.call().score.project_query_backward(
          walk_.raw_queries(panel), d_query(panel).const_map(panel.count, query_width()), dq,
          gradients_.template at<0>());
      if (to.data)
        write_tokens(Operand<A>(dq.data(), panel.count, d, panel.count, false), to,
                     walk_.block().first + panel.first, walk_.scratch().staging);
    }
    add_sink_gradient();
  }

 private:
  const Program& program() const { return walk_.call().program; }
  Index query_width() const { return walk_.call().query_width(); }
  Index d_v() const { return walk_.call().in.v.features(); }
  A log_sum_exp(Index i) const {
    const QueryBlock& b = walk_.block();
    return views_.log_sum_exp(b.batch, b.head, b.first + i, 0);
  }
  PaddedTile<A> d_query(const Panel& panel) const {
    return {scratch_.d_query + panel.first * grouped(query_width()), panel_rows<A>(panel)};
  }
  PaddedTile<A> d_output(const Panel& panel) const {
    return {scratch_.d_output + panel.first * d_v(), panel_rows<A>(panel)};
  }

  A* d_output_rows(const Panel& panel) const {
    return scratch_.d_output_rows + panel.first * sizes_.value;
  }

  void load_rows() {
    if constexpr (is_exponential) {
      std::fill_n(scratch_.rows.shift, padded<A>(walk_.block().count), A(0));
      std::fill_n(scratch_.rows.second, padded<A>(walk_.block().count), A(1));
      for (Index i = 0; i < walk_.block().count; ++i) {
        const A l = log_sum_exp(i);
        sees_nothing_ = sees_nothing_ || l == minus_infinity<A>;
        scratch_.rows.shift[i] = program().normalizer.log_denominator(l, walk_.block().head);
      }
    } else {
      gather_rows(walk_, scratch_);
    }
  }

  void load_panel(const Panel& panel) {
    const QueryBlock& b = walk_.block();
    const Operand<A> d =
        load_operand<A>(Slice<const T>(views_.d_output, b.batch, b.head), b.first + panel.first,
                        panel.count, walk_.scratch().staging);
    block_is_finite_ = block_is_finite_ && d.all_finite();
    pack(d, panel_rows<A>(panel), d_output(panel).data);
    pack(d.transposed(), sizes_.value, d_output_rows(panel));
    const PaddedTile<A> q = walk_.queries(panel);
    const Operand<A> queries(q.const_map(panel.count, query_width()));
    block_is_finite_ = block_is_finite_ && queries.all_finite();
    if constexpr (ScoreTile::is_product)
      pack(queries.transposed(), sizes_.query, scratch_.q_rows + panel.first * sizes_.query);
  }

  /// D: for softmax the product of an output row with its gradient; else a walk of its own.
  void find_means() {
    std::fill_n(scratch_.mean, padded<A>(walk_.block().count), A(0));
    if constexpr (is_exponential && Program::probs_are_linear) {
      const QueryBlock& b = walk_.block();
      const Slice<const T> output(views_.output, b.batch, b.head);
      for (Index p = 0; p < walk_.panels().count(); ++p) {
        const Panel panel = walk_.panels()[p];
        const Operand<A> o =
            load_operand<A>(output, b.first + panel.first, panel.count, walk_.scratch().staging);
        // dO in the storage order of O: Eigen multiplies two of different order number by number
        const Operand<A> d =
            o.row_major ? Operand<A>(d_output_rows(panel), panel.count, d_v(), sizes_.value, true)
                        : Operand<A>(d_output(panel).const_map(panel.count, d_v()));
        Eigen::Map<VectorX<A>> mean(scratch_.mean + panel.first, panel.count);
        o.visit([&](const auto& rows) {
          using Rows = std::remove_cvref_t<decltype(rows)>;
          mean = rows.cwiseProduct(Rows(d.data, d.rows, d.cols, Eigen::OuterStride<>(d.stride)))
                     .rowwise()
                     .sum();
        });
      }
    } else if constexpr (Normalizer::statistic != RowStatistic::none) {
      sum_means();
    }
  }

  void sum_means() {
    std::fill_n(scratch_.mean_weight, padded<A>(walk_.block().count), A(0));
    Gradients unused = program().zero_prob_gradients();
    walk_.for_each_tile(
        [&](Index first, Index count) { pack_values(first, count); },
        [&](const KeyTile& tile) {
          load_tile(tile);
          for_each_pack<true>(tile, 0, tile.panel.count, [&](const Place& at, P s, P dp, P hidden) {
            const P score = program().modify_score(s, at.position, tile.positions.extent);
            const Weight w = weight<true>(score, dp, at, tile, hidden, unused);
            add(scratch_.mean + at.row, select(w.hidden, P(0), w.jacobian * w.d_weight));
            add(scratch_.mean_weight + at.row, w.jacobian);
          });
        });
    if constexpr (!is_exponential)
      for (Index i = 0; i < padded<A>(walk_.block().count); ++i)
        if (scratch_.mean_weight[i] != A(0)) scratch_.mean[i] /= scratch_.mean_weight[i];
  }

  static void add(A* to, const P& pack) { (P::load(to) + pack).store(to); }

  void pack_values(Index first, Index count) const {
    if (!walk_.is_direct()) pack(walk_.values(first, count), key_group, scratch_.v);
  }

  /// S and dP' of a tile.
  void load_tile(const KeyTile& tile) const {
    const A* d = d_output(tile.panel).data;
    walk_.raw_scores(tile, AsTheyAre());
    if (walk_.is_direct())
      score_panel_direct(tile.panel.packs, d, walk_.values(tile.first, tile.count),
                         scratch_.d_weights.data, AsTheyAre());
    else
      score_panel(tile.panel.packs, d, scratch_.v, d_v(), tile.count, scratch_.d_weights.data,
                  AsTheyAre());
  }

  /// Where a pack of a tile stands.
  struct Place {
    PackPosition<A> position;
    Index row;  ///< of the block
    A* score;
    A* d_weight;
  };

  /// f(place, score, dP', hidden) for the packs of queries first .. end - 1 of a panel. Hidden
  /// scores come as 0, so that nothing a masked key holds reaches a derivative; `hidden` is 1.
  template <bool hides, class F>
  void for_each_pack(const KeyTile& tile, Index first, Index end, F&& f) const {
    const Extent e = tile.positions.extent;
    for (Index i = first; i < end; i += P::width)
      for (Index j = 0; j < tile.count; ++j) {
        const Place at{program().place(tile.positions, i, j), tile.panel.first + i,
                       walk_.scratch().s.column(j) + i, scratch_.d_weights.column(j) + i};
        P s = P::load(at.score), hidden(0);
        if constexpr (hides) {
          hidden = select(P::first_and_up(A(0)) < P(at.position.lanes), P(0), P(1));
          if (tile.verdict == Verdict::mixed) hidden = program().mask(hidden, at.position, e, A(1));
          s = select(hidden == P(0), s, P(0));
        }
        f(at, s, P::load(at.d_weight), hidden);
      }
  }

  struct Weight {
    P modified;  ///< P', after the probability modifiers
    P d_weight;  ///< dP
    P jacobian;  ///< J
    PackMask<A> hidden;
  };

  template <bool hides>
  Weight weight(const P& score, const P& d_modified, const Place& at, const KeyTile& tile,
                const P& hidden_by_mask, Gradients& gradients) const {
    const Extent e = tile.positions.extent;
    const P shift = P::load(scratch_.rows.shift + at.row);
    if constexpr (!hides && is_exponential) {
      const P p = exp_of_difference<false>(score, shift);
      return {program().modify_probability(p, at.position, e),
              program().through_probs(p, d_modified, at.position, e, gradients), p,
              PackMask<A>::all(false)};
    } else {
      const P s = select(hidden_by_mask == P(0), score, P(minus_infinity<A>));
      const PackMask<A> hidden = s == P(minus_infinity<A>);
      const P p =
          program().normalizer.probability(s, shift, P::load(scratch_.rows.second + at.row));
      const P dp =
          program().through_probs(p, select(hidden, P(0), d_modified), at.position, e, gradients);
      return {program().modify_probability(p, at.position, e), dp, program().normalizer.jacobian(p),
              hidden};
    }
  }

  /// Puts P' in place of the scores and dS in place of dP'. Only packs in which something may be
  /// hidden, be it the padding behind the last query, pay for it.
  void differentiate(const KeyTile& tile) {
    const Index whole = tile.panel.count / P::width * P::width;
    const bool hides = !is_exponential || sees_nothing_ || !is_finite() || walk_.may_hide(tile);
    if (!hides) differentiate_packs<false>(tile, 0, whole);
    differentiate_packs<true>(tile, hides ? 0 : whole, tile.panel.count);
  }

  template <bool hides>
  void differentiate_packs(const KeyTile& tile, Index first, Index end) {
    for_each_pack<hides>(tile, first, end, [&](const Place& at, P raw, P dp, P hidden) {
      const P ds = program().through_mods(
          raw, at.position, tile.positions.extent, gradients_, [&](const P& score) {
            const Weight w = weight<hides>(score, dp, at, tile, hidden, gradients_);
            P d_score = w.jacobian * (w.d_weight - P::load(scratch_.mean + at.row));
            if constexpr (hides) d_score = select(w.hidden, P(0), d_score);
            (hides ? select(w.hidden, P(0), w.modified) : w.modified).store(at.score);
            if constexpr (requires { gradients_.template at<1>().bias; })
              gradients_.template at<1>().bias += sum(d_score);
            return d_score;
          });
      ds.store(at.d_weight);
    });
  }

  void add_to_inputs(const KeyTile& tile) {
    const Panel& panel = tile.panel;
    const Index from_range = tile.first - walk_.key_range().first;
    A* dv = scratch_.d_values + from_range * sizes_.value;
    const A* d_rows = d_output_rows(panel);
    const bool careful = !is_finite() && (is_exponential || sees_nothing_ || walk_.may_hide(tile));
    if (careful)
      add_transposed_product_of_visible<A>(dv, sizes_.value,
                                           walk_.scratch().s.const_map(panel.count, tile.count),
                                           d_rows, sizes_.value, d_v());
    else
      add_panel_transposed(d_rows, sizes_.value, walk_.scratch().s.data, panel.count, tile.count,
                           dv, sizes_.value);
    if constexpr (ScoreTile::is_product)
      add_to_factors(tile, scratch_.d_keys + from_range * sizes_.key, careful);
    else
      walk_.call().score.scores_backward(
          scratch_.d_weights, panel.count, walk_.queries(panel), walk_.keys(tile.first, tile.count),
          d_query(panel),
          TileMap<A>(scratch_.d_keys + from_range, tile.count, walk_.call().key_width(),
                     Eigen::OuterStride<>(sizes_.range_keys)),
          gradients_.template at<0>());
  }

  /// dQ' += dS K' and dK' += dS^T Q'.
  void add_to_factors(const KeyTile& tile, A* dk, bool careful) const {
    const Panel& panel = tile.panel;
    const A* q_rows = scratch_.q_rows + panel.first * sizes_.query;
    if (!careful) {
      constexpr const A* no_factors = nullptr;
      if (walk_.is_direct())
        add_panel_direct<false>(panel.packs, scratch_.d_weights.data,
                                walk_.keys(tile.first, tile.count), d_query(panel).data,
                                no_factors);
      else
        add_panel<false>(panel.packs, scratch_.d_weights.data, scratch_.k_columns, tile.count,
                         query_width(), d_query(panel).data, no_factors);
      add_panel_transposed(q_rows, sizes_.query, scratch_.d_weights.data, panel.count, tile.count,
                           dk, sizes_.key);
      return;
    }
    const auto ds = scratch_.d_weights.const_map(panel.count, tile.count);
    add_product_of_visible<A>(d_query(panel).map(panel.count, query_width()), ds, ds,
                              walk_.keys(tile.first, tile.count));
    add_transposed_product_of_visible<A>(dk, sizes_.key, ds, q_rows, sizes_.query, query_width());
  }

  /// Whether zeros of P' and dS keep out what they should: not where they meet NaN or inf.
  bool is_finite() const { return keys_are_finite_ && block_is_finite_; }

  /// d logit_h = -exp(logit_h - Z_i) D_i, summed over the queries that see a key.
  void add_sink_gradient() {
    if constexpr (std::is_same_v<Normalizer, SoftmaxWithSink>) {
      const Index head = walk_.block().head;
      const HeadValues& logits = program().normalizer.logits;
      auto& gradient = gradients_.template at<1>().logits;
      for (Index i = 0; i < walk_.block().count; ++i)
        if (log_sum_exp(i) != minus_infinity<A>)
          gradient(logits.shared() ? 0 : head) -=
              std::exp(static_cast<A>(logits(head)) - scratch_.rows.shift[i]) * scratch_.mean[i];
    }
  }

  const Walk& walk_;
  const Scratch& scratch_;
  const Sizes& sizes_;
  const BackwardViews<T, A>& views_;
  Gradients& gradients_;
  bool sees_nothing_ = false;  ///< some row has no visible key
  bool keys_are_finite_ = true;
  bool block_is_finite_ = true;  ///< queries and dO
};

}  // namespace engine
ATTN_END_NAMESPACE
