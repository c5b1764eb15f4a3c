// SPDX-License-Identifier: Apache-2.0
// Decoding: one query against many keys. What counts is the share of the read bandwidth, measured
// in the same run by a plain sum over arrays of the same size and kind.
//
// The caches of keys and values take turns, so that they come from main memory each time: together
// they take ATTN_BENCH_DECODE_MIB (1024 where it is not set), which must exceed the last-level
// cache. Set to 8, it measures that cache instead.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>

#include <attn/attn.hpp>
#include <attn/engine/decode.hpp>

#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

constexpr Index features = 128;

/// As many caches of keys and values as fill the memory that is asked for.
template <class S>
class Caches {
 public:
  Caches(Index heads, Index keys) : heads_(heads), keys_(keys) {
    const char* wanted = std::getenv("ATTN_BENCH_DECODE_MIB");
    const Index bytes = (wanted ? std::atol(wanted) : 1024) * Index(1 << 20);
    count_ = std::max<Index>(1, bytes / (size() * static_cast<Index>(sizeof(S))));
    numbers_ = std::make_unique<S[]>(static_cast<std::size_t>(size() * count_));
    const MatrixX<S> random = random_matrix<S>(4093, 1, 2);
    for (Index k = 0; k < size() * count_; ++k)
      numbers_[static_cast<std::size_t>(k)] = random(k * 7 % 4093);
  }
  Index size() const { return 2 * heads_ * keys_ * features; }
  const S* next() {
    at_ = (at_ + 1) % count_;
    return numbers_.get() + at_ * size();
  }
  std::pair<attn::TensorView<const S>, attn::TensorView<const S>> views(const S* first) const {
    return {attn::bhtd<const S>(first, 1, heads_, keys_, features),
            attn::bhtd<const S>(first + size() / 2, 1, heads_, keys_, features)};
  }

 private:
  Index heads_, keys_, count_ = 0, at_ = 0;
  std::unique_ptr<S[]> numbers_;
};

/// One query a head against a cache.
template <class S>
struct Decode {
  Caches<S> caches;
  MatrixX<float> q, o;
  attn::Workspace workspace;

  Decode(Index heads, Index key_heads, Index keys)
      : caches(key_heads, keys),
        q(random_matrix<float>(features, heads, 1)),
        o(MatrixX<float>::Zero(features, heads)) {}

  void run(const S* cache) {
    const auto [k, v] = caches.views(cache);
    const auto query = attn::bhtd<const float>(q.data(), 1, q.cols(), 1, features);
    const attn::engine::Inputs<float> in{
        query, {nullptr, k.shape, k.strides}, {nullptr, v.shape, v.strides}};
    attn::engine::with_program<float>(1, k.tokens(), [&](const auto& program) {
      attn::engine::with_decode_call(in, program, workspace, [&](const auto& call) {
        attn::engine::Outputs<float, float> out;
        out.output = attn::bhtd<float>(o.data(), 1, q.cols(), 1, features);
        attn::engine::run_decode(call, k, v, attn::engine::CallingThread{}, workspace, out);
      });
    });
  }

  /// The error of the first head as a multiple of what is allowed.
  double error() {
    const S* cache = caches.next();
    run(cache);
    const auto [k, v] = caches.views(cache);
    using Rows = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Map<const Rows> K(k.data, k.tokens(), features), V(v.data, v.tokens(), features);
    const auto expected = attn::reference::attend(q.col(0).transpose(), K.template cast<float>(),
                                                  V.template cast<float>());
    const Eigen::VectorXd difference =
        o.col(0).template cast<double>() - expected.output.row(0).transpose();
    return difference.template lpNorm<Eigen::Infinity>() / 1e-5;
  }
};

/// Sums all numbers of a cache in the accumulator type, four packs at a time.
template <class S>
float sum_of(const S* from, Index count) {
  using P = attn::engine::Pack<float>;
  P sums[4] = {P(0), P(0), P(0), P(0)};
  for (Index k = 0; k + 4 * P::width <= count; k += 4 * P::width)
    for (Index t = 0; t < 4; ++t) sums[t] += attn::engine::load_as<float>(from + k + t * P::width);
  return attn::engine::sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class S>
void add_decode(const std::string& type, Index heads, Index key_heads, Index keys) {
  const std::string name = "decode/" + type + "/heads:" + std::to_string(heads) + ":" +
                           std::to_string(key_heads) + "/n_k:" + std::to_string(keys) +
                           "/d:" + std::to_string(features);
  benchmark::RegisterBenchmark(
      name.c_str(),
      [=](benchmark::State& state) {
        Decode<S> decode(heads, key_heads, keys);
        if (!(decode.error() <= 1)) {
          state.SkipWithError("the result is not that of the reference");
          return;
        }
        const auto run = [&] { decode.run(decode.caches.next()); };
        const auto read = [&] {
          float total = sum_of(decode.caches.next(), decode.caches.size());
          benchmark::DoNotOptimize(total);
        };
        const double of_bandwidth = time_ratio(read, run, 1.0);
        for (auto step : state) run();
        const double bytes = static_cast<double>(decode.caches.size()) * sizeof(S);
        state.SetBytesProcessed(static_cast<std::int64_t>(bytes) * state.iterations());
        state.counters["of_bandwidth"] = of_bandwidth;
      })
      ->UseRealTime()
      ->Unit(benchmark::kMicrosecond);
}

const bool added = [] {
  add_decode<float>("f32", 1, 1, 16384);
  add_decode<Eigen::half>("f16", 1, 1, 16384);
  add_decode<Eigen::bfloat16>("bf16", 1, 1, 16384);
  add_decode<float>("f32", 8, 8, 4096);
  add_decode<float>("f32", 8, 2, 4096);
  return true;
}();

}  // namespace
}  // namespace bench
