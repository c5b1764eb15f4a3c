// SPDX-License-Identifier: Apache-2.0
// What the caches say of wrong arguments, and that nothing has happened then.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <limits>
#include <vector>

#include "support/cached.hpp"

namespace {

using attn::Index;
using attn::KeyValueCacheOptions;
using attn::PagedKeyValueCacheOptions;
using attn::ShapeError;
using attn::ValueError;
using Eigen::MatrixXf;
using support::message_of;
using Cache = attn::KeyValueCache<float>;
using Paged = attn::PagedKeyValueCache<float>;

std::string bad(const KeyValueCacheOptions& options) {
  return message_of<ValueError>([&] { const Cache cache(options); });
}
std::string bad(const PagedKeyValueCacheOptions& options) {
  return message_of<ValueError>([&] { const Paged cache(options); });
}

TEST(CacheErrors, Options) {
  EXPECT_EQ(bad(KeyValueCacheOptions{.num_kv_heads = 0, .head_dim = 4}),
            "attn::KeyValueCache: batch is 1, num_kv_heads 0, head_dim 4 and value_dim 4; all must "
            "be 1 or more");
  EXPECT_EQ(bad({.head_dim = 4, .capacity = -1}),
            "attn::KeyValueCache: capacity is -1, window 0 and rollback 0; all must be 0 or more");
  EXPECT_EQ(bad({.head_dim = 4, .capacity = 8, .window = 4}),
            "attn::KeyValueCache: capacity is 8 and window 4; a window evicts by itself, so only "
            "one of them can be given");
  EXPECT_EQ(
      bad({.head_dim = 4, .rollback = 3}),
      "attn::KeyValueCache: rollback is 3 and there is no window; without one every token can "
      "be taken back");
  EXPECT_EQ(bad({.head_dim = 4, .capacity = std::numeric_limits<Index>::max()}),
            "attn::KeyValueCache: 1152921504606846976 tokens of 1 heads are more than any memory "
            "holds; the capacity is a number of tokens");
  EXPECT_EQ(
      bad({.num_blocks = 4, .block_size = 6, .head_dim = 4}),
      "attn::PagedKeyValueCache: num_blocks is 4 and block_size 6; there must be blocks, of a "
      "multiple of 4 tokens");
  EXPECT_EQ(bad({.num_blocks = 0, .head_dim = 4}),
            "attn::PagedKeyValueCache: num_blocks is 0 and block_size 64; there must be blocks, of "
            "a multiple of 4 tokens");
  EXPECT_EQ(bad({.num_blocks = Index(1) << 50, .block_size = 1024, .head_dim = 4}),
            "attn::PagedKeyValueCache: 1125899906842624 blocks of 1024 tokens are more than any "
            "memory holds");
  EXPECT_EQ(bad({.num_blocks = 16, .block_size = Index(1) << 60, .head_dim = 4}),
            "attn::PagedKeyValueCache: 16 blocks of 1152921504606846976 tokens are more than any "
            "memory holds");
}

TEST(CacheErrors, Append) {
  Cache cache({.num_kv_heads = 2, .head_dim = 4, .value_dim = 3});
  const auto append = [&](Index k_rows, Index k_cols, Index v_rows, Index v_cols) {
    return message_of<ShapeError>(
        [&] { cache.append(MatrixXf(k_rows, k_cols), MatrixXf(v_rows, v_cols)); });
  };
  EXPECT_EQ(append(1, 7, 1, 6),
            "attn::KeyValueCache: K has 7 columns and the cache holds 2 heads of 4 features; it "
            "needs 8 columns, a row a token");
  EXPECT_EQ(append(1, 8, 1, 8),
            "attn::KeyValueCache: V has 8 columns and the cache holds 2 heads of 3 features; it "
            "needs 6 columns, a row a token");
  EXPECT_EQ(append(2, 8, 3, 6),
            "attn::KeyValueCache: V is 3 x 6 and must be 2 x 6; each key needs one value");
  const MatrixXf k(2, 8);
  EXPECT_EQ(message_of<ShapeError>([&] { cache.append(attn::view(k), MatrixXf(2, 6)); }),
            "attn::KeyValueCache: K has 1 batches and 1 heads and must have 1 and 2; the cache's "
            "options say so");
  EXPECT_EQ(cache.size(), 0);
  cache.append(MatrixXf(1, 8), MatrixXf(1, 6));
  EXPECT_EQ(message_of<ValueError>([&] { cache.append(cache.keys(), MatrixXf(1, 6)); }),
            "attn::KeyValueCache: K lies in the cache's own memory, which an append may move; copy "
            "it first");
  EXPECT_EQ(cache.size(), 1);
  Cache batched({.batch = 3, .head_dim = 4});
  EXPECT_EQ(message_of<ShapeError>([&] { batched.append(MatrixXf(1, 4), MatrixXf(1, 4)); }),
            "attn::KeyValueCache: K is a matrix and the cache holds 3 batches; give a TensorView "
            "{batch, head, token, feature}");
}

TEST(CacheErrors, Truncate) {
  Cache cache({.head_dim = 1, .window = 3});
  for (int t = 0; t < 6; ++t) cache.append(MatrixXf(1, 1), MatrixXf(1, 1));
  EXPECT_EQ(message_of<ValueError>([&] { cache.truncate(7); }),
            "attn::KeyValueCache::truncate: 7 tokens are to be left of 6; tokens can only be taken "
            "back");
  EXPECT_EQ(
      message_of<ValueError>([&] { cache.truncate(-1); }),
      "attn::KeyValueCache::truncate: -1 tokens are to be left of 6; tokens can only be taken "
      "back");
  EXPECT_EQ(message_of<ValueError>([&] { cache.truncate(4); }),
            "attn::KeyValueCache::truncate: 4 tokens are to be left of 6, and the token after them "
            "sees 3, of which those before 3 have been evicted; a larger rollback keeps them");
  cache.truncate(5);
  EXPECT_EQ(cache.size(), 5);
}

TEST(CacheErrors, Attend) {
  Cache cache({.num_kv_heads = 2, .head_dim = 4, .window = 3});
  for (int t = 0; t < 6; ++t)
    cache.append(MatrixXf(MatrixXf::Zero(1, 8)), MatrixXf(MatrixXf::Zero(1, 8)));
  MatrixXf o = MatrixXf::Constant(1, 8, 7);
  const auto call = [&](const MatrixXf& q, const auto&... parts) {
    return message_of<std::invalid_argument>([&] { attn::attend(q, cache, parts...); });
  };
  const MatrixXf q = MatrixXf::Zero(1, 8);
  EXPECT_EQ(call(MatrixXf::Zero(7, 8)),
            "attn::attend: Q has 7 rows and the cache holds 6 tokens; the queries are the newest "
            "tokens, whose keys and values are appended first");
  EXPECT_EQ(call(MatrixXf::Zero(2, 8)),
            "attn::attend: the first of 2 queries sees back to position 2 and the keys before 3 "
            "have been evicted; ask for the tokens of the last append");
  EXPECT_EQ(
      call(MatrixXf::Zero(1, 10)),
      "attn::attend: Q has 10 columns and the cache's keys have 4 features; give Heads{n}, or "
      "whole heads side by side");
  EXPECT_EQ(call(MatrixXf::Zero(1, 12)),
            "attn::attend: 2 key-value heads do not divide 3 query heads; each key-value head "
            "serves the same number of query heads");
  EXPECT_EQ(call(q, attn::Heads{.query = 2, .key_value = 1}),
            "attn::attend: Heads has 1 key-value heads and the cache 2; leave them out, the cache "
            "knows them");
  EXPECT_EQ(
      call(MatrixXf::Zero(1, 9), attn::Heads{2}),
      "attn::attend: Q has 9 columns, which cannot be split into 2 heads; the head count must "
      "divide the columns");
  EXPECT_EQ(call(MatrixXf::Zero(1, 10), attn::Heads{2}),
            "attn::attend: K has 4 columns and Q has 5; both need the same feature size d");
  EXPECT_EQ(
      call(q, attn::Causal::bottom_right()),
      "attn::attend: Causal::bottom_right is given with positions (PositionOffset, or those of a "
      "cache); they say where the queries stand, so the part takes its .offset or nothing");
  EXPECT_EQ(message_of<ShapeError>([&] { attn::attend_into(o, MatrixXf::Zero(1, 16), cache); }),
            "attn::attend_into: O is 1 x 8 and must be 1 x 16; a result is never resized");
  EXPECT_EQ(o, MatrixXf::Constant(1, 8, 7));
}

TEST(CacheErrors, PagedSequencesThatDoNotExist) {
  Paged cache({.num_blocks = 4, .block_size = 4, .head_dim = 1});
  const Index a = cache.create();
  cache.free(a);
  const char* rest =
      ": there is no sequence 0; create and fork give their numbers, and free ends them";
  const auto expect = [&](const std::string& name, auto&& f) {
    EXPECT_EQ(message_of<ValueError>(f), "attn::PagedKeyValueCache, " + name + rest);
  };
  const MatrixXf row = MatrixXf::Zero(1, 1);
  expect("free", [&] { cache.free(a); });
  expect("fork", [&] { cache.fork(a); });
  expect("size", [&] { return cache.size(a); });
  expect("blocks", [&] { return cache.blocks(a); });
  expect("truncate", [&] { cache.truncate(a, 0); });
  expect("append", [&] { cache.append(a, row, row); });
  expect("attend", [&] { attn::attend(row, cache, a); });
}

TEST(CacheErrors, PagedPoolIsExhaustedAndNothingChanges) {
  Paged cache({.num_blocks = 3, .block_size = 4, .head_dim = 1});
  const MatrixXf rows = MatrixXf::Ones(16, 1);
  const Index a = cache.create();
  cache.append(a, rows.topRows(6), rows.topRows(6));
  const Index b = cache.fork(a);
  const std::vector<Index> blocks(cache.blocks(b).begin(), cache.blocks(b).end());
  EXPECT_EQ(message_of<ValueError>([&] { cache.append(b, rows.topRows(3), rows.topRows(3)); }),
            "attn::PagedKeyValueCache: 3 tokens need 2 more blocks and 1 of 3 are free; free or "
            "truncate sequences, or make num_blocks larger");
  EXPECT_EQ(cache.size(b), 6);
  EXPECT_EQ(cache.free_blocks(), 1);
  EXPECT_EQ(blocks, std::vector<Index>(cache.blocks(b).begin(), cache.blocks(b).end()));
  cache.append(b, rows.topRows(2), rows.topRows(2));
  EXPECT_EQ(cache.free_blocks(), 0);
  EXPECT_EQ(message_of<ValueError>([&] { cache.truncate(b, 9); }),
            "attn::PagedKeyValueCache::truncate: 9 tokens are to be left of 8; tokens can only be "
            "taken back");
}

/// Every sequence is looked at before the first output is written.
TEST(CacheErrors, PagedBatchesAreCheckedAsAWhole) {
  Paged cache({.num_blocks = 4, .block_size = 4, .head_dim = 1});
  const MatrixXf rows = MatrixXf::Ones(3, 1);
  const Index a = cache.create(), b = cache.create();
  cache.append(a, rows, rows);
  const MatrixXf q = MatrixXf::Ones(2, 1);
  MatrixXf o = MatrixXf::Constant(2, 1, 7);
  const auto call = [&](const std::vector<Index>& sequences) {
    return message_of<ShapeError>([&] {
      attn::attend_into(attn::bhtd(o.data(), 2, 1, 1, 1),
                        attn::bhtd<const float>(q.data(), 2, 1, 1, 1), cache, sequences);
    });
  };
  EXPECT_EQ(call({a, b}),
            "attn::attend_into: Q has 1 rows and the cache holds 0 tokens; the queries are the "
            "newest tokens, whose keys and values are appended first");
  EXPECT_EQ(o, MatrixXf::Constant(2, 1, 7));
  EXPECT_EQ(call({a}),
            "attn::attend_into: Q has 2 batches and there are 1 sequences; each batch of queries "
            "belongs to one");
  cache.append(b, rows, rows);
  EXPECT_EQ(message_of<ShapeError>([&] {
              attn::attend_into(attn::bhtd(o.data(), 1, 1, 1, 1),
                                attn::bhtd<const float>(q.data(), 2, 1, 1, 1), cache,
                                std::vector{a, b});
            }),
            "attn::attend_into: O has 1 batches and 1 heads and must have 2 and 1; a result is "
            "never resized");
  EXPECT_EQ(message_of<ValueError>([&] {
              attn::attend_into(attn::bhtd(o.data(), 2, 1, 1, 1),
                                attn::bhtd<const float>(o.data(), 2, 1, 1, 1), cache,
                                std::vector{a, b});
            }),
            "attn::attend_into: O overlaps Q in memory; results need memory of their own");
  EXPECT_EQ(o, MatrixXf::Constant(2, 1, 7));
}

}  // namespace
