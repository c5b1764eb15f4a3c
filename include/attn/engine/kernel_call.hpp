// SPDX-License-Identifier: Apache-2.0
// A call of kernel attention: forward and backward as walks along aligned tokens.
//
// With V' = (V, 1) and (N, D) = causal or full sums of (phi(q_i) . phi(k_j)) v'_j, O = N / D.
// Backward, with dN' = (dO / D, -(dO . O) / D) row by row, is three sums of the same kind:
//
//     dphi(q)_i = sum_j (dN'_i . v'_j) phi(k)_j       over the keys j that i sees
//     dphi(k)_j = sum_i (v'_j . dN'_i) phi(q)_i       over the queries i that see j, so backwards
//     dv'_j     = sum_i (phi(k)_j . phi(q)_i) dN'_i
//
// The tokens of a walk are those of aligned_tokens.hpp. Flops a token and query head under Causal:
// 4 d d_v + 64 (d + d_v) forward, three times that backward.
// Source: Katharopoulos et al. 2020, eq. 9 to 15.
#pragma once

#include <algorithm>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/aligned_tokens.hpp>
#include <attn/engine/linear_chunk.hpp>
#include <attn/engine/packing.hpp>
#include <attn/engine/panel.hpp>
#include <attn/engine/running_product.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/feature_map.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// What a call of kernel attention reads and writes.
template <class T, class A>
struct KernelViews {
  Inputs<T> in;
  TensorView<T> output;        ///< {batch, head, n_q, d_v}
  TensorView<A> normalizer{};  ///< D, {batch, head, n_q, 1}; of nothing: not asked for
};
template <class T, class A>
struct KernelBackwardViews {
  Inputs<T> in;
  TensorView<const T> output;
  TensorView<const A> normalizer;
  TensorView<const T> d_output;
  TensorView<T> d_query;
  TensorView<T> d_key;
  TensorView<T> d_value;
};

/// Tokens of a view as rows, the last one first where the walk goes backwards.
template <class A, class T>
void load_rows(const Slice<const T>& from, Index first, Index count, bool backwards, A* staging,
               const Rows<A>& to) {
  read_tokens(from, first, count, staging, to);
  if (backwards) map_rows(to, count, from.features).colwise().reverseInPlace();
}

/// What the walks of one batch and key-value head share.
template <class T, class Map>
class KernelWalk {
 public:
  using A = Accumulator<T>;

  KernelWalk(const Inputs<T>& in, const Map& map, A* staging, Index batch, Index key_head)
      : in_(in), map_(map), staging_(staging), batch_(batch), key_head_(key_head) {}

  Index group() const { return in_.q.heads() / in_.k.heads(); }
  Index query_head(Index h) const { return key_head_ * group() + h; }
  Index d() const { return in_.q.features(); }
  Index d_v() const { return in_.v.features(); }
  A* staging() const { return staging_; }
  template <class U>
  Slice<U> of_query(const TensorView<U>& view, Index h) const {
    return {view, batch_, query_head(h)};
  }
  template <class U>
  Slice<U> of_key(const TensorView<U>& view) const {
    return {view, batch_, key_head_};
  }

  void load_queries(Index h, Index first, Index count, bool backwards, const Rows<A>& to) const {
    load_rows<A>(of_query(in_.q, h), first, count, backwards, staging_, to);
    apply_to_rows(to, count);
  }
  void load_keys(Index first, Index count, bool backwards, const Rows<A>& to) const {
    load_rows<A>(of_key(in_.k), first, count, backwards, staging_, to);
    apply_to_rows(to, count);
  }
  /// V' = (V, 1).
  void load_values(Index first, Index count, bool backwards, const Rows<A>& to) const {
    load_rows<A>(of_key(in_.v), first, count, backwards, staging_, to);
    for (Index r = 0; r < count; ++r) to.row(r)[d_v()] = A(1);
  }
  /// d = d phi'(x) for rows that stand in a view, which are loaded into `x`.
  void apply_slopes(const Slice<const T>& from, Index first, Index count, const Rows<A>& x,
                    const Rows<A>& d_rows) const {
    load_rows<A>(from, first, count, false, staging_, x);
    for (Index r = 0; r < count; ++r) apply_slope(map_, x.row(r), d_rows.row(r), d());
  }
  void write(const Rows<A>& rows, Index count, Index columns, const Slice<T>& to,
             Index first) const {
    write_tokens(Operand<A>(rows.data, count, columns, rows.stride, true), to, first, staging_);
  }

 private:
  void apply_to_rows(const Rows<A>& rows, Index count) const {
    if (rows.stride == d()) return apply_map(map_, rows.data, count * d());
    for (Index r = 0; r < count; ++r) apply_map(map_, rows.row(r), d());
  }

  const Inputs<T>& in_;
  const Map& map_;
  A* staging_;
  Index batch_;
  Index key_head_;
};

/// O = N / D of a stretch; D = 0 makes a row of zeros. D goes to `normalizer` where it is wanted.
template <class A>
void normalize_rows(const Rows<A>& rows, Index count, Index d_v, A* normalizer, Index step) {
  for (Index r = 0; r < count; ++r) {
    A* row = rows.row(r);
    const A sum = row[d_v];
    if (sum == A(0))
      std::fill_n(row, d_v, A(0));
    else
      for (Index f = 0; f < d_v; ++f) row[f] /= sum;
    if (normalizer) normalizer[r * step] = sum;
  }
}

/// Forward of one batch and key-value head: all its query heads in one walk.
template <class T, class Map>
void kernel_forward(const KernelWalk<T, Map>& walk, const Alignment& tokens,
                    RunningProduct<Accumulator<T>>& sums,
                    const KernelViews<T, Accumulator<T>>& views) {
  using A = Accumulator<T>;
  const auto finish = [&](Index h, Index first, Index count, const Rows<A>& rows) {
    const Slice<A> normalizer = walk.of_query(views.normalizer, h);
    A* numbers =
        views.normalizer.data ? normalizer.data + first * normalizer.token_stride : nullptr;
    normalize_rows(rows, count, walk.d_v(), numbers, normalizer.token_stride);
    walk.write(rows, count, walk.d_v(), walk.of_query(views.output, h), first);
  };
  sums.start(walk.group(), walk.d(), walk.d_v() + 1);
  for (Index first = 0; first < tokens.first_seeing(); first += walk_tokens)
    for (Index h = 0; h < walk.group(); ++h) {
      const Index count = std::min(walk_tokens, tokens.first_seeing() - first);
      map_rows(sums.out(h), count, walk.d_v() + 1).setZero();
      finish(h, first, count, sums.out(h));
    }
  tokens.for_each(false, [&](const TokenStretch& s) {
    if (s.kind != TokenKind::read) {
      walk.load_keys(s.first + tokens.offset(), s.count, false, sums.writers());
      walk.load_values(s.first + tokens.offset(), s.count, false, sums.values());
    }
    for (Index h = 0; s.kind != TokenKind::write && h < walk.group(); ++h)
      walk.load_queries(h, s.first, s.count, false, sums.readers(h));
    sums.step(s.count, s.kind);
    for (Index h = 0; s.kind != TokenKind::write && h < walk.group(); ++h)
      finish(h, s.first, s.count, sums.out(h));
  });
}

/// Backward of one batch and key-value head.
template <class T, class Map>
class KernelBackwardTask {
 public:
  using A = Accumulator<T>;

  KernelBackwardTask(const KernelWalk<T, Map>& walk, const Alignment& tokens,
                     const KernelBackwardViews<T, A>& views, RunningProduct<A>& sums,
                     const Rows<A>& outputs, const Rows<A>& d_keys, const Rows<A>& d_values)
      : walk_(walk),
        tokens_(tokens),
        views_(views),
        sums_(sums),
        outputs_(outputs),
        d_keys_(d_keys),
        d_values_(d_values) {}

  void run() const {
    const Index n_k = views_.in.n_k(), d = walk_.d(), d_v = walk_.d_v();
    map_rows(d_keys_, n_k, d).setZero();
    map_rows(d_values_, n_k, d_v).setZero();
    for (Index h = 0; h < walk_.group(); ++h) {
      walk_queries(h);
      walk_keys<true>(h, d_values_);
      walk_keys<false>(h, d_keys_);
    }
    for (Index first = 0; first < n_k; first += walk_tokens) {
      const Index count = std::min(walk_tokens, n_k - first);
      const Rows<A> d_key{d_keys_.row(first), d_keys_.stride};
      walk_.apply_slopes(walk_.of_key(views_.in.k), first, count, outputs_, d_key);
      walk_.write(d_key, count, d, walk_.of_key(views_.d_key), first);
      walk_.write({d_values_.row(first), d_values_.stride}, count, d_v,
                  walk_.of_key(views_.d_value), first);
    }
  }

 private:
  /// dN' = (dO / D, -(dO . O) / D); zeros where D is.
  void load_gradients(Index h, Index first, Index count, bool backwards, const Rows<A>& to) const {
    const Index d_v = walk_.d_v();
    load_rows<A>(walk_.of_query(views_.output, h), first, count, backwards, walk_.staging(),
                 outputs_);
    load_rows<A>(walk_.of_query(views_.d_output, h), first, count, backwards, walk_.staging(), to);
    const Slice<const A> normalizer = walk_.of_query(views_.normalizer, h);
    for (Index r = 0; r < count; ++r) {
      const Index i = first + (backwards ? count - 1 - r : r);
      const A sum = normalizer.data[i * normalizer.token_stride];
      Eigen::Map<VectorX<A>> gradient(to.row(r), d_v);
      const Eigen::Map<const VectorX<A>> output(outputs_.row(r), d_v);
      if (sum == A(0))
        gradient.setZero();
      else
        gradient /= sum;
      to.row(r)[d_v] = sum == A(0) ? A(0) : -gradient.dot(output);
    }
  }

  void walk_queries(Index h) const {
    const Index d = walk_.d();
    const Slice<T> d_query = walk_.of_query(views_.d_query, h);
    sums_.start(1, walk_.d_v() + 1, d);
    for (Index first = 0; first < tokens_.first_seeing(); first += walk_tokens) {
      const Index count = std::min(walk_tokens, tokens_.first_seeing() - first);
      map_rows(sums_.out(0), count, d).setZero();
      walk_.write(sums_.out(0), count, d, d_query, first);
    }
    tokens_.for_each(false, [&](const TokenStretch& s) {
      if (s.kind != TokenKind::read) {
        walk_.load_values(s.first + tokens_.offset(), s.count, false, sums_.writers());
        walk_.load_keys(s.first + tokens_.offset(), s.count, false, sums_.values());
      }
      if (s.kind != TokenKind::write) load_gradients(h, s.first, s.count, false, sums_.readers(0));
      sums_.step(s.count, s.kind);
      if (s.kind == TokenKind::write) return;
      walk_.apply_slopes(walk_.of_query(views_.in.q, h), s.first, s.count, outputs_, sums_.out(0));
      walk_.write(sums_.out(0), s.count, d, d_query, s.first);
    });
  }

  /// Adds dV' (readers are phi(K)) or dphi(K) (readers are V') of one query head.
  template <bool of_values>
  void walk_keys(Index h, const Rows<A>& to) const {
    const Index d = walk_.d(), d_v = walk_.d_v(), kept = of_values ? d_v : d;
    sums_.start(1, of_values ? d : d_v + 1, of_values ? d_v + 1 : d);
    tokens_.for_each(true, [&](const TokenStretch& s) {
      const Index key = s.first + tokens_.offset();
      if (s.kind != TokenKind::write) {
        if (of_values)
          walk_.load_keys(key, s.count, true, sums_.readers(0));
        else
          walk_.load_values(key, s.count, true, sums_.readers(0));
      }
      if (s.kind != TokenKind::read) {
        walk_.load_queries(h, s.first, s.count, true, of_values ? sums_.writers() : sums_.values());
        load_gradients(h, s.first, s.count, true, of_values ? sums_.values() : sums_.writers());
      }
      sums_.step(s.count, s.kind);
      if (s.kind == TokenKind::write) return;
      map_rows(Rows<A>{to.row(key), to.stride}, s.count, kept) +=
          map_rows(sums_.out(0), s.count, kept).colwise().reverse();
    });
  }

  const KernelWalk<T, Map>& walk_;
  const Alignment& tokens_;
  const KernelBackwardViews<T, A>& views_;
  RunningProduct<A>& sums_;
  Rows<A> outputs_;   ///< of a stretch: O, or what slopes are taken at
  Rows<A> d_keys_;    ///< n_k x d, summed over the query heads
  Rows<A> d_values_;  ///< n_k x d_v
};

/// Memory of one worker: staging, and what walks and gradients need.
template <class A>
struct KernelScratch {
  A* staging;
  RunningProduct<A> sums;
  Rows<A> outputs{};
  Rows<A> d_keys{};
  Rows<A> d_values{};

  template <class T>
  KernelScratch(Arena& arena, const Inputs<T>& in, Index group, bool is_backward)
      : staging(arena.take<A>(walk_tokens * std::max(in.q.features(), in.v.features()))),
        sums(arena, group, std::max(in.q.features(), in.v.features() + 1)) {
    if (!is_backward) return;
    const Index d = in.q.features(), d_v = in.v.features(), wide = std::max(d, d_v);
    outputs = {arena.take<A>(walk_tokens * wide), wide};
    d_keys = {arena.take<A>(in.n_k() * d), d};
    d_values = {arena.take<A>(in.n_k() * d_v), d_v};
  }
};

/// f(walk, scratch) for every batch and key-value head.
template <class T, class Map, class Executor, class F>
void for_each_kernel_head(const Inputs<T>& in, const Map& map, bool is_backward,
                          const Executor& executor, Workspace& workspace, F&& f) {
  using A = Accumulator<T>;
  const Index tasks = in.q.batches() * in.k.heads();
  if (tasks == 0) return;
  const Index group = is_backward ? 1 : in.q.heads() / in.k.heads();
  Arena size;
  KernelScratch<A>(size, in, group, is_backward);
  const Index workers = executor.workers(tasks);
  workspace.prepare(workers, size.used());
  executor.run(tasks, [&](Index task, Index worker) {
    Arena arena(workspace.worker(worker));
    KernelScratch<A> scratch(arena, in, group, is_backward);
    f(KernelWalk<T, Map>(in, map, scratch.staging, task / in.k.heads(), task % in.k.heads()),
      scratch);
  });
}

}  // namespace engine
ATTN_END_NAMESPACE
