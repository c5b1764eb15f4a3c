// SPDX-License-Identifier: Apache-2.0
// Runs of equal ids, and which ids stand in a range.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/engine/document_ids.hpp>
#include <random>
#include <vector>

namespace {

using attn::Index;
using attn::engine::DocumentIds;

TEST(DocumentIds, ComeFromAnythingThatHoldsIntegers) {
  EXPECT_EQ(DocumentIds().size(), 0);
  EXPECT_EQ(DocumentIds(std::vector<int>{}).size(), 0);
  EXPECT_EQ(DocumentIds({1, 1, 2}).size(), 3);
  EXPECT_EQ(DocumentIds(std::vector<short>{4, -5})(1), -5);
  EXPECT_EQ(DocumentIds(Eigen::VectorXi{{7, 8, 9}})(2), 9);
  const DocumentIds first({1, 1, 2});
  const DocumentIds copy(first);  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(copy.runs(0, 2).size(), 2U);
}

TEST(DocumentIds, ReachAsFarAsTheyAreEqual) {
  const DocumentIds ids({3, 3, 1, 3, 3, 3});
  ASSERT_EQ(ids.runs(0, 5).size(), 3U);
  ASSERT_EQ(ids.runs(1, 2).size(), 2U);
  ASSERT_EQ(ids.runs(4, 4).size(), 1U);
  const auto last = ids.runs(4, 5).front();
  EXPECT_EQ(last.id, 3);
  EXPECT_EQ(last.first, 3);
  EXPECT_EQ(last.last, 5);
}

TEST(DocumentIds, AreFoundWhereTheyStand) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<Index> ids(30);
    Index id = 0;
    for (Index& k : ids) k = id = random() % 3 == 0 ? Index(random() % 7) - 3 : id;
    const DocumentIds found(ids);
    for (Index wanted = -4; wanted < 5; ++wanted)
      for (Index first = 0; first < 30; ++first)
        for (Index last = first; last < 30; ++last) {
          const auto stop = ids.begin() + last + 1;
          EXPECT_EQ(found.holds(wanted, first, last),
                    std::find(ids.begin() + first, stop, wanted) != stop);
        }
  }
}

}  // namespace
