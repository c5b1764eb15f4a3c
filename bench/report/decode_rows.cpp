// SPDX-License-Identifier: Apache-2.0
// Decode: one query against a long cache, bound by how fast keys and values come from memory.
//
// Every call reads other keys and values, in turn from a pool that is larger than the last-level
// cache; the probe of the read bandwidth takes its turns from the same pool, as many bytes a turn.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "forward_call.hpp"
#include "machine.hpp"
#include "rows.hpp"

namespace bench::report {
namespace {

constexpr Index keys = 16384, features = 128;

/// Numbers in memory, handed out in turn.
template <class T>
class Pool {
 public:
  Pool(Index bytes, Index smallest)
      : size_(std::max(bytes / Index(sizeof(T)), 2 * smallest)),
        numbers_(new T[std::size_t(size_)]) {
    // A repeated block whose length is prime: no two pieces are equal, and it is soon written.
    constexpr Index block_size = 1000003;
    const auto block = random_matrix<T>(block_size, 1, 31);
    for (Index i = 0; i < size_; ++i) numbers_[std::size_t(i)] = block(i % block_size);
  }
  const T* next(Index count) {
    if (at_ + count > size_) at_ = 0;
    const T* piece = numbers_.get() + at_;
    at_ += count;
    return piece;
  }
  const T* first() {
    at_ = 0;
    return numbers_.get();
  }

 private:
  Index size_, at_ = 0;
  std::unique_ptr<T[]> numbers_;
};

/// One query of `heads` heads against `n` keys of `kv_heads` heads, each head's keys in one piece.
template <class T>
struct Decode {
  Index n, heads, kv_heads;
  std::shared_ptr<Pool<T>> pool;
  MatrixX<T> q = random_matrix<T>(features, heads, 32), o{features, heads};
  attn::Workspace workspace{};

  Index numbers() const { return kv_heads * n * features; }  ///< of K, and as many of V
  double bytes() const { return 2.0 * double(numbers()) * sizeof(T); }

  void run(const T* k) {
    attn::attention_into(attn::bhtd(o.data(), 1, heads, 1, features),
                         attn::bhtd<const T>(q.data(), 1, heads, 1, features),
                         attn::bhtd(k, 1, kv_heads, n, features),
                         attn::bhtd(k + numbers(), 1, kv_heads, n, features), workspace);
  }

  /// Against the reference on the same numbers. Values are about 1 and their means below it, so the
  /// rounding of O in a narrow type is at most that type's epsilon.
  double error() {
    using Rows =
        Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
    const T* k = pool->first();
    run(k);
    double worst = 0;
    for (Index h = 0; h < heads; ++h) {
      const Index at = h / (heads / kv_heads) * n * features;
      const MatrixX<T> Q = q.col(h).transpose();
      const MatrixX<T> K = Rows(k + at, n, features), V = Rows(k + numbers() + at, n, features);
      const Eigen::MatrixXd wide = o.col(h).transpose().template cast<double>();
      const auto expected = attn::reference::attend(Q, K, V);
      worst = std::max(worst, (wide - expected.output).template lpNorm<Eigen::Infinity>());
    }
    const double summation = double(n) * double(Eigen::NumTraits<float>::epsilon());
    return worst / (summation + double(Eigen::NumTraits<T>::epsilon()));
  }
};

template <class T>
Checked decode_call(std::shared_ptr<Pool<T>> pool, Index n, Index heads, Index kv_heads) {
  auto decode = std::make_shared<Decode<T>>(Decode<T>{n, heads, kv_heads, std::move(pool)});
  return {[=] { decode->run(decode->pool->next(2 * decode->numbers())); },
          [=] { return decode->error(); }};
}

template <class T>
std::shared_ptr<Pool<T>> pool_for(Index n, Index kv_heads, Row& row, const Settings& settings) {
  const Rotation r = rotation(settings.quick);
  row.note = r.note;
  return std::make_shared<Pool<T>>(r.bytes, 2 * kv_heads * n * features);
}

Index keys_of(const Settings& settings) { return settings.quick ? 300 : keys; }

/// Sums numbers in as many places at a time as there are streams, eight packets of each.
template <int streams>
void read(const float* numbers, Index count) {
  using Packet = Eigen::internal::packet_traits<float>::type;
  constexpr Index width = Eigen::internal::packet_traits<float>::size, chains = 8 / streams;
  const Index length = count / streams;
  Packet sums[streams * chains];
  for (Packet& sum : sums) sum = Eigen::internal::pset1<Packet>(0.f);
  for (Index i = 0; i + chains * width <= length; i += chains * width)
    for (Index s = 0; s < streams; ++s)
      for (Index c = 0; c < chains; ++c)
        sums[s * chains + c] = Eigen::internal::padd(
            sums[s * chains + c],
            Eigen::internal::ploadu<Packet>(numbers + s * length + i + c * width));
  for (Index c = 1; c < streams * chains; ++c) sums[0] = Eigen::internal::padd(sums[0], sums[c]);
  volatile float used = Eigen::internal::predux(sums[0]);
  static_cast<void>(used);
}

std::string rate_words(double rate, double of) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2f of %.2f GB/s; ", rate, of);
  return text;
}

/// The bandwidth is that of one sequential stream; what four at a time reach goes to the JSON.
void measure_bandwidth(Row& row, const Settings& settings) {
  const Index n = keys_of(settings), count = 2 * n * features;
  const auto pool = pool_for<float>(n, 1, row, settings);
  const Checked call = decode_call<float>(pool, n, 1, 1);
  if (!correct(call, row, settings)) return;
  const auto reading = [=](auto reader) -> Call {
    return [=] { reader(pool->next(count), count); };
  };
  const Race result =
      race({call.run, reading(read<1>), reading(read<4>)}, probes<float>(settings), settings);
  keep(result, row, [](const Turns& t) { return t.seconds[1] / t.seconds[0]; });
  const auto rate = [&](std::size_t k) {
    return double(count) * sizeof(float) / result.seconds(k) / 1e9;
  };
  row.numbers["gigabytes_per_second"] = rate(0);
  row.numbers["read_gigabytes_per_second"] = rate(1);
  row.numbers["read_4_streams_gigabytes_per_second"] = rate(2);
  row.note = rate_words(rate(0), rate(1)) + row.note;
}

/// Times two decodes against each other.
void compare(const Checked& call, const Checked& base, Row& row, const Settings& settings) {
  if (!correct(call, row, settings) || !correct(base, row, settings)) return;
  keep_ratio(race({call.run, base.run}, probes<float>(settings), settings), row);
}

void measure_grouped(Row& row, const Settings& settings) {
  const Index n = keys_of(settings);
  const auto pool = pool_for<float>(n, 8, row, settings);
  compare(decode_call<float>(pool, n, 8, 2), decode_call<float>(pool, n, 8, 8), row, settings);
}

template <class T>
void measure_narrow(Row& row, const Settings& settings) {
  const Index n = keys_of(settings);
  compare(decode_call<T>(pool_for<T>(n, 1, row, settings), n, 1, 1),
          decode_call<float>(pool_for<float>(n, 1, row, settings), n, 1, 1), row, settings);
}

}  // namespace

std::vector<Plan> decode_rows() {
  const std::string size = "16384 keys, d = 128";
  const auto narrow = [&](const char* type) {
    return Row{"decode", "1 query, " + size + ", " + type, "of the time in float", Unit::ratio,
               at_most(0.55, 0.51)};
  };
  return {{Row{"decode", "1 query, " + size, "of the read bandwidth", Unit::share,
               at_least(0.88, 0.95)},
           measure_bandwidth},
          {Row{"decode", "8 heads on 2, " + size, "of the time of 8 on 8", Unit::ratio,
               at_most(0.32, 0.27)},
           measure_grouped},
          {narrow("bfloat16"), measure_narrow<Eigen::bfloat16>},
          {narrow("half"), measure_narrow<Eigen::half>}};
}

}  // namespace bench::report
