// SPDX-License-Identifier: Apache-2.0
// The verdict of every rectangle of a grid of blocks, against a count of its blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/engine/verdict_grid.hpp>
#include <random>
#include <vector>

namespace {

using attn::Index;
using attn::Verdict;
using attn::engine::BlockRectangle;
using attn::engine::VerdictGrid;

constexpr Index batches = 2, heads = 3, rows = 5, cols = 4;

TEST(VerdictGrid, CountsTheBlocksOfEveryRectangle) {
  std::mt19937 random(5);
  std::vector<Verdict> blocks;
  VerdictGrid grid(batches, heads, rows, cols);
  grid.fill([&](Index b, Index h, Index r, Index c) {
    EXPECT_EQ(((b * heads + h) * rows + r) * cols + c, Index(blocks.size()));
    // Large areas of one kind, another for each head, and a few others among them.
    blocks.push_back(random() % 8 == 0 ? Verdict(random() % 3) : Verdict((h + r / 3) % 3));
    return blocks.back();
  });
  const auto check = [&](Index b, Index h, const BlockRectangle& at) {
    Index count[3] = {0, 0, 0};
    for (Index r = at.first_row; r <= at.last_row; ++r)
      for (Index c = at.first_col; c <= at.last_col; ++c)
        ++count[int(blocks[std::size_t(((b * heads + h) * rows + r) * cols + c)])];
    const Index all = count[0] + count[1] + count[2];
    const Verdict truth = count[int(Verdict::empty)] == all  ? Verdict::empty
                          : count[int(Verdict::full)] == all ? Verdict::full
                                                             : Verdict::mixed;
    EXPECT_EQ(grid.verdict(b, h, at), truth);
  };
  for (Index plane = 0; plane < batches * heads; ++plane)
    for (Index r0 = 0; r0 < rows; ++r0)
      for (Index r1 = r0; r1 < rows; ++r1)
        for (Index c0 = 0; c0 < cols; ++c0)
          for (Index c1 = c0; c1 < cols; ++c1)
            check(plane / heads, plane % heads, {r0, r1, c0, c1});
  EXPECT_EQ(grid.blocks(), Index(blocks.size()));
  EXPECT_EQ(grid.empty_blocks(), std::count(blocks.begin(), blocks.end(), Verdict::empty));
  EXPECT_EQ(grid.full_blocks(), std::count(blocks.begin(), blocks.end(), Verdict::full));
}

TEST(VerdictGrid, WithoutBlocksHoldsNone) {
  VerdictGrid grid(2, 1, 0, 7);
  grid.fill([](Index, Index, Index, Index) { return Verdict::full; });
  EXPECT_EQ(grid.blocks(), 0);
  EXPECT_EQ(grid.full_blocks(), 0);
}

}  // namespace
