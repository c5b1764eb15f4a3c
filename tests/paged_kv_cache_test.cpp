// SPDX-License-Identifier: Apache-2.0
// PagedKeyValueCache: sequences are what was appended to them, whatever they share, and no block
// is lost.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "support/cached.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::PagedKeyValueCache;
using Eigen::MatrixXf;
using support::near;
using support::Sequence;
using support::usual;

template <class S>
void expect_piece_by_piece(Index block_size) {
  const Sequence<float> s(usual);
  const auto whole = s.whole<S>(attn::Causal{});
  PagedKeyValueCache<float, S> cache({.num_blocks = 2 * (70 / block_size + 1),
                                      .block_size = block_size,
                                      .num_kv_heads = usual.key_heads,
                                      .head_dim = usual.d,
                                      .value_dim = usual.d_v});
  const Index a = cache.create(), other = cache.create();
  support::for_each_piece([&](Index first, Index count) {
    const auto k = s.K.middleRows(first, count), v = s.V.middleRows(first, count);
    cache.append(a, k, v);
    cache.append(other, 3 * k, -v);  // takes blocks in between
    const MatrixXf O = attn::attend(s.Q.middleRows(first, count), cache, a, attn::Causal{});
    EXPECT_TRUE(near(O, whole.middleRows(first, count), support::rounding<float>()))
        << "blocks of " << block_size << ", tokens from " << first << " on";
  });
}

TEST(PagedKeyValueCache, PieceByPieceIsOneCausalPass) {
  for (const Index block_size : {4, 12, 64, 128}) {
    expect_piece_by_piece<float>(block_size);
    expect_piece_by_piece<std::int8_t>(block_size);
  }
  expect_piece_by_piece<Eigen::bfloat16>(16);
}

/// Over more keys than one chunk, decoded and tiled, in blocks that lie apart.
TEST(PagedKeyValueCache, LongSequencesEqualTheContiguousCache) {
  const Index n = 2500;
  const MatrixXf K = support::random<float>(n, 40, 1), V = support::random<float>(n, 24, 2);
  const MatrixXf Q = support::random<float>(30, 80, 3);
  PagedKeyValueCache<float> paged(
      {.num_blocks = 200, .block_size = 32, .num_kv_heads = 2, .head_dim = 20, .value_dim = 12});
  attn::KeyValueCache<float> contiguous({.num_kv_heads = 2, .head_dim = 20, .value_dim = 12});
  contiguous.append(K, V);
  const Index a = paged.create(), b = paged.create();
  for (Index first = 0; first < n; first += 50) {
    paged.append(a, K.middleRows(first, 50), V.middleRows(first, 50));
    paged.append(b, V.middleRows(first, 50).replicate(1, 2).leftCols(40), V.middleRows(first, 50));
  }
  for (const Index n_q : {1, 5, 30})
    EXPECT_TRUE(near(attn::attend(Q.topRows(n_q), paged, a, attn::Causal{}),
                     attn::attend(Q.topRows(n_q), contiguous, attn::Causal{}), 2e-6));
}

TEST(PagedKeyValueCache, ForksShareUntilTheyDiffer) {
  PagedKeyValueCache<float> cache({.num_blocks = 8, .block_size = 4, .head_dim = 2});
  const MatrixXf x = support::random<float>(12, 2, 1);
  const Index a = cache.create();
  cache.append(a, x.topRows(6), x.topRows(6));
  const Index b = cache.fork(a);
  EXPECT_EQ(cache.used_blocks(), 2);
  EXPECT_EQ(cache.holders(cache.blocks(a)[1]), 2);
  cache.append(b, x.row(6), x.row(6));
  EXPECT_EQ(cache.used_blocks(), 3);
  EXPECT_EQ(cache.blocks(a)[0], cache.blocks(b)[0]);
  EXPECT_NE(cache.blocks(a)[1], cache.blocks(b)[1]);
  cache.append(a, x.row(7), x.row(7));
  EXPECT_EQ(cache.used_blocks(), 3);  // a has its last block to itself by now
  const auto expected = [&](Index last) {
    MatrixXf k(7, 2);
    k << x.topRows(6), x.row(last);
    return attn::attention(x.row(0), k, k);
  };
  EXPECT_TRUE(near(attn::attend(x.row(0), cache, a), expected(7), 1e-6));
  EXPECT_TRUE(near(attn::attend(x.row(0), cache, b), expected(6), 1e-6));
  cache.free(a);
  EXPECT_EQ(cache.used_blocks(), 2);
  cache.free(b);
  EXPECT_EQ(cache.used_blocks(), 0);
  EXPECT_EQ(cache.sequences(), 0);
}

/// Sequences of several lengths in one call, for any number of threads.
TEST(PagedKeyValueCache, BatchesOfManyLengthsEqualSingleCalls) {
  constexpr Index d = 10, heads = 4, n_q = 2;
  PagedKeyValueCache<float, Eigen::half> cache(
      {.num_blocks = 500, .block_size = 8, .num_kv_heads = 2, .head_dim = d});
  std::vector<Index> sequences;
  for (const Index length : {2, 700, 9, 33, 1400}) {
    sequences.push_back(cache.create());
    const MatrixXf x = support::random<float>(length, 2 * d, std::uint64_t(length));
    cache.append(sequences.back(), x, x);
  }
  const Index count = static_cast<Index>(sequences.size());
  const MatrixXf q = support::random<float>(heads * d, n_q * count, 1);  // a column a token
  const auto queries = attn::bthd(q.data(), count, n_q, heads, d);
  MatrixXf alone(heads * d, n_q * count);
  for (Index b = 0; b < count; ++b)
    alone.middleCols(n_q * b, n_q) =
        attn::attend(q.middleCols(n_q * b, n_q).transpose(), cache,
                     sequences[static_cast<std::size_t>(b)], attn::Causal{})
            .transpose();
  attn::Workspace workspace;
  for (const int threads : {1, 2, 64}) {
    MatrixXf o = MatrixXf::Zero(heads * d, n_q * count);
    attn::attend_into(attn::bthd(o.data(), count, n_q, heads, d), queries, cache, sequences,
                      attn::Causal{}, attn::Threads{threads}, workspace);
    EXPECT_TRUE(support::same_bits(o, alone)) << threads << " threads";
  }
}

/// Thousands of random operations beside the simplest thing that could do the same.
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (pick(8)) {
      case 0:
        if (truth_.size() < 12) truth_[cache_.create()] = {};
        return;
      case 1:
        if (!truth_.empty() && truth_.size() < 12) fork(any());
        return;
      case 2:
        if (truth_.size() > 3) free(any());
        return;
      case 3:
        if (!truth_.empty()) truncate(any());
        return;
      default:
        if (!truth_.empty()) append(any());
    }
  }

  /// Each block is held by as many tables as it counts, and every block is free or held.
  void expect_sound() const {
    std::vector<Index> tables(blocks, 0);
    for (const auto& [sequence, tokens] : truth_) {
      const Index size = static_cast<Index>(tokens.size());
      ASSERT_EQ(cache_.size(sequence), size);
      ASSERT_EQ(Index(cache_.blocks(sequence).size()), (size + block_size - 1) / block_size);
      for (const Index block : cache_.blocks(sequence)) ++tables[static_cast<std::size_t>(block)];
    }
    Index used = 0;
    for (Index block = 0; block < blocks; ++block) {
      ASSERT_EQ(cache_.holders(block), tables[static_cast<std::size_t>(block)]);
      used += tables[static_cast<std::size_t>(block)] > 0;
    }
    ASSERT_EQ(cache_.used_blocks(), used);
    ASSERT_EQ(cache_.free_blocks() + used, blocks);
    ASSERT_EQ(cache_.sequences(), Index(truth_.size()));
  }

  /// Every sequence holds its own tokens: keys of one coordinate single values out one by one.
  void expect_contents() const {
    for (const auto& [sequence, tokens] : truth_) {
      const Index n = static_cast<Index>(tokens.size());
      if (n == 0) continue;
      const auto seen = cache_.visible("test", sequence, 1);
      const auto keys = attn::engine::tokens_of(seen.keys, 0, 1);
      const auto values = attn::engine::tokens_of(seen.values, 0, 0);
      for (Index t = 0; t < n; ++t) {
        ASSERT_EQ(keys.at(t)[0], tokens[static_cast<std::size_t>(t)]);
        ASSERT_EQ(values.at(t)[0], -tokens[static_cast<std::size_t>(t)]);
      }
    }
  }

  Index exhausted() const { return exhausted_; }
  void free_all() {
    while (!truth_.empty()) free(truth_.begin()->first);
  }

 private:
  static constexpr Index blocks = 24, block_size = 4;

  Index pick(Index count) { return static_cast<Index>(random_() % std::uint64_t(count)); }
  Index any() {
    auto at = truth_.begin();
    std::advance(at, pick(Index(truth_.size())));
    return at->first;
  }
  void fork(Index parent) {
    const std::vector<float> tokens = truth_[parent];
    truth_[cache_.fork(parent)] = tokens;
  }
  void free(Index sequence) {
    cache_.free(sequence);
    truth_.erase(sequence);
  }
  void truncate(Index sequence) {
    auto& tokens = truth_[sequence];
    tokens.resize(static_cast<std::size_t>(pick(Index(tokens.size()) + 1)));
    cache_.truncate(sequence, Index(tokens.size()));
  }
  void append(Index sequence) {
    auto& tokens = truth_[sequence];
    MatrixXf x(pick(11), 2);
    for (Index t = 0; t < x.rows(); ++t) x.row(t).setConstant(next_ + float(t));
    try {
      cache_.append(sequence, x, -x);
    } catch (const attn::ValueError&) {
      ++exhausted_;
      return;
    }
    next_ += float(x.rows());
    for (Index t = 0; t < x.rows(); ++t) tokens.push_back(x(t, 0));
  }

  std::mt19937_64 random_;
  PagedKeyValueCache<float> cache_{
      {.num_blocks = blocks, .block_size = block_size, .num_kv_heads = 2, .head_dim = 1}};
  std::map<Index, std::vector<float>> truth_;
  float next_ = 1;
  Index exhausted_ = 0;
};

TEST(PagedKeyValueCache, RandomOperationsLoseNoBlock) {
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    Model model(seed);
    for (int k = 0; k < 5000; ++k) {
      model.step();
      ASSERT_NO_FATAL_FAILURE(model.expect_sound()) << "operation " << k << ", seed " << seed;
      if (k % 10 == 0) {
        ASSERT_NO_FATAL_FAILURE(model.expect_contents()) << "operation " << k << ", seed " << seed;
      }
    }
    EXPECT_GT(model.exhausted(), 50) << "the pool was never full: the test shows too little";
    model.free_all();
    ASSERT_NO_FATAL_FAILURE(model.expect_sound());
  }
}

}  // namespace
