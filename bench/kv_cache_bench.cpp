// SPDX-License-Identifier: Apache-2.0
// Caches: one query a head against a KeyValueCache of each storage type and against a
// PagedKeyValueCache, as a share of the time that attention_into takes over plain float arrays.
//
// As in decode_bench.cpp, caches take turns, so that keys and values come from main memory each
// time: together they take ATTN_BENCH_DECODE_MIB (1024 where it is not set).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <attn/attn.hpp>

#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

constexpr Index features = 128;

struct Size {
  Index heads, key_heads, keys;

  std::string name() const {
    return "/heads:" + std::to_string(heads) + ":" + std::to_string(key_heads) +
           "/n_k:" + std::to_string(keys) + "/d:" + std::to_string(features);
  }
  /// How many caches of float fill the memory that is asked for.
  Index count() const {
    const char* wanted = std::getenv("ATTN_BENCH_DECODE_MIB");
    const Index bytes = (wanted ? std::atol(wanted) : 1024) * Index(1 << 20);
    return std::max<Index>(1, bytes / (2 * key_heads * keys * features * Index(sizeof(float))));
  }
};

/// Tokens in pieces of `step`, the same for every cache of a size.
template <class F>
void for_each_piece(const Size& size, Index step, F&& f) {
  const MatrixX<float> random = random_matrix<float>(step, size.key_heads * features, 1);
  for (Index first = 0; first < size.keys; first += step)
    f(MatrixX<float>(random * std::cos(0.001F * static_cast<float>(first))));
}

/// Caches that take turns, and the query.
template <class Cache>
struct Turns {
  std::vector<Cache> caches;
  MatrixX<float> q, o;
  attn::Workspace workspace;
  std::size_t at = 0;

  explicit Turns(Index heads) : q(random_matrix<float>(features, heads, 2)), o(features, heads) {}
  Cache& next() { return caches[at++ % caches.size()]; }
  auto query() const { return attn::bhtd<const float>(q.data(), 1, q.cols(), 1, features); }
  auto output() { return attn::bhtd<float>(o.data(), 1, q.cols(), 1, features); }
};

template <class Storage>
std::shared_ptr<Turns<attn::KeyValueCache<float, Storage>>> contiguous(const Size& size) {
  auto turns = std::make_shared<Turns<attn::KeyValueCache<float, Storage>>>(size.heads);
  for (Index c = 0; c < size.count(); ++c) {
    turns->caches.emplace_back(attn::KeyValueCacheOptions{
        .num_kv_heads = size.key_heads, .head_dim = features, .capacity = size.keys});
    for_each_piece(size, 64, [&](const MatrixX<float>& x) { turns->caches.back().append(x, x); });
  }
  return turns;
}

/// A pool that holds two sequences, which took their blocks in turn, so that those of one do not
/// lie behind one another; or one sequence after the other.
template <class Storage>
std::shared_ptr<Turns<attn::PagedKeyValueCache<float, Storage>>> paged(const Size& size,
                                                                       Index block, bool in_turn) {
  auto turns = std::make_shared<Turns<attn::PagedKeyValueCache<float, Storage>>>(size.heads);
  for (Index c = 0; c < (size.count() + 1) / 2; ++c) {
    auto& cache = turns->caches.emplace_back(
        attn::PagedKeyValueCacheOptions{.num_blocks = 2 * (size.keys / block),
                                        .block_size = block,
                                        .num_kv_heads = size.key_heads,
                                        .head_dim = features});
    const Index a = cache.create(), b = cache.create();
    for_each_piece(size, block, [&](const MatrixX<float>& x) {
      cache.append(a, x, x);
      if (in_turn) cache.append(b, x, x);
    });
    if (!in_turn)
      for_each_piece(size, block, [&](const MatrixX<float>& x) { cache.append(b, x, x); });
  }
  return turns;
}

/// One call over plain arrays of float: those of a cache, read through attention_into.
std::function<void()> direct(const Size& size) {
  auto turns = contiguous<float>(size);
  return [turns] {
    const auto& cache = turns->next();
    attn::attention_into(turns->output(), turns->query(), cache.keys(), cache.values(),
                         turns->workspace);
  };
}

template <class Storage>
std::function<void()> from_cache(const Size& size) {
  auto turns = contiguous<Storage>(size);
  return [turns] {
    attn::attend_into(turns->output(), turns->query(), turns->next(), turns->workspace);
  };
}

template <class Storage>
std::function<void()> from_pages(const Size& size, Index block, bool in_turn) {
  auto turns = paged<Storage>(size, block, in_turn);
  return [turns, turn = 0]() mutable {
    const Index sequence[] = {turn++ / static_cast<Index>(turns->caches.size()) % 2};
    attn::attend_into(turns->output(), turns->query(), turns->next(), sequence, turns->workspace);
  };
}

void add(const std::string& name, const Size& size,
         std::function<std::function<void()>(const Size&)> make) {
  benchmark::RegisterBenchmark(("kv_cache/" + name + size.name()).c_str(),
                               [=](benchmark::State& state) {
                                 const auto run = make(size), plain = direct(size);
                                 const double ratio = time_ratio(run, plain, 1.0);
                                 for (auto step : state) run();
                                 state.counters["of_f32_arrays"] = ratio;
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

const bool added = [] {
  for (const Size& size : {Size{1, 1, 16384}, Size{8, 2, 4096}}) {
    add("f32", size, from_cache<float>);
    add("bf16", size, from_cache<Eigen::bfloat16>);
    add("f16", size, from_cache<Eigen::half>);
    add("int8", size, from_cache<std::int8_t>);
    for (const Index block : {16, 64}) {
      const std::string blocks = "blocks:" + std::to_string(block);
      add("paged/f32/" + blocks, size,
          [=](const Size& s) { return from_pages<float>(s, block, false); });
      add("paged/f32/scattered/" + blocks, size,
          [=](const Size& s) { return from_pages<float>(s, block, true); });
    }
    add("paged/int8/scattered/blocks:64", size,
        [](const Size& s) { return from_pages<std::int8_t>(s, 64, true); });
  }
  add("f32", {1, 1, 64}, from_cache<float>);
  return true;
}();

}  // namespace
}  // namespace bench
