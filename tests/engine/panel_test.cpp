// SPDX-License-Identifier: Apache-2.0
// Tile sizes for every width of features.
#include <gtest/gtest.h>

#include <attn/engine/forward.hpp>
#include <limits>

namespace {

using attn::Index;

TEST(TileSizes, AreWholePacksThatFitTheCache) {
  for (Index d = 0; d < 5000; d = d * 3 + 1) {
    const attn::engine::TileSizes tiles = attn::engine::tile_sizes<float>(d, 64);
    EXPECT_GE(tiles.keys, 1);
    EXPECT_GT(tiles.queries, 0);
    EXPECT_EQ(tiles.queries % attn::engine::Pack<float>::width, 0);
  }
  EXPECT_LT(attn::engine::tile_sizes<double>(4096, 64).queries,
            attn::engine::tile_sizes<double>(64, 64).queries);
}

TEST(TileSizes, GrowWithTheSecondLevelCache) {
  std::ptrdiff_t l1 = 0, l2 = 0, l3 = 0;
  Eigen::internal::manage_caching_sizes(Eigen::GetAction, &l1, &l2, &l3);
  const Index features = 16384 / attn::engine::panel_width<float>;  // 64 KiB a panel
  const auto queries_with = [&](std::ptrdiff_t bytes) {
    Eigen::setCpuCacheSizes(l1, bytes, l3);
    return attn::engine::tile_sizes<float>(features, features).queries;
  };
  const Index none = queries_with(0), one = queries_with(1 << 20), two = queries_with(2 << 20);
  const Index endless = queries_with(std::numeric_limits<std::ptrdiff_t>::max());
  Eigen::setCpuCacheSizes(l1, l2, l3);
  EXPECT_GT(none, 0);
  EXPECT_EQ(none, one);
  EXPECT_GT(two, one);
  EXPECT_EQ(two, endless);
}

TEST(TileSizes, OfACallAreNoLargerThanItNeeds) {
  const auto small = attn::engine::call_tiles<float, attn::Softmax>(8, 8, 1, 3);
  EXPECT_EQ(small.queries, attn::engine::Pack<float>::width);
  EXPECT_EQ(small.keys, 3);
  const auto none = attn::engine::call_tiles<float, attn::Softmax>(0, 0, 0, 0);
  EXPECT_GE(none.queries, 1);
  EXPECT_GE(none.keys, 1);
}

TEST(TileSizes, OfASparseNormaliserKeepItsScoresWithinABlock) {
  const Index n_k = 1 << 20;
  const auto tiles = attn::engine::call_tiles<float, attn::Sparsemax>(64, 64, 4096, n_k);
  EXPECT_EQ(tiles.queries, attn::engine::Pack<float>::width);
}

}  // namespace
