// SPDX-License-Identifier: Apache-2.0
// BlockMask: sizes that do not fit, and masks that depend on the sizes of the call.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <string>

#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/problem.hpp"

namespace {

using attn::BlockMask;
using attn::Index;
using attn::ShapeError;
using attn::ValueError;
using support::expect_error;
using support::Problem;

const Problem<double> p({.n_q = 6, .n_k = 8, .d = 4, .heads = 2, .key_heads = 2});
const attn::Heads heads{2};

template <class Mask, class... Parts>
Eigen::MatrixXd attend(Index n_q, Index n_k, const Mask& mask, const Parts&... parts) {
  return attn::attention(p.Q.topRows(n_q), p.K.topRows(n_k), p.V.topRows(n_k), heads, mask,
                         parts...);
}

TEST(BlockMask, RefusesALargerCall) {
  const BlockMask blocks(attn::Causal{}, 5, 7);
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 5 x 7 and the call needs 6 x 7, n_q x n_k; build it "
      "for the largest call",
      [&] { attend(6, 7, blocks); });
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 5 x 7 and the call needs 5 x 8, n_q x n_k; build it "
      "for the largest call",
      [&] { attend(5, 8, blocks & attn::KeyPadding{3}); });
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 5 x 7 and the call needs 5 x 8, n_q x n_k; build it "
      "for the largest call",
      [&] { attend(2, 6, blocks, attn::PositionOffset{.query = 3, .key = 2}); });
  EXPECT_TRUE(attend(5, 7, blocks).allFinite());
  EXPECT_TRUE(attend(2, 6, blocks, attn::PositionOffset{.query = 3, .key = 1}).allFinite());
}

TEST(BlockMask, RefusesOtherHeadsAndBatches) {
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 3 heads and the call has 2; they must be equal, or "
      "1 "
      "to serve all",
      [] { attend(6, 8, BlockMask(attn::Causal{}, {.n_q = 6, .n_k = 8, .heads = 3})); });
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 4 batches and the call has 1; they must be equal, "
      "or "
      "1 to serve all",
      [] { attend(6, 8, BlockMask(attn::Causal{}, {.n_q = 6, .n_k = 8, .batches = 4})); });
}

TEST(BlockMask, RefusesSizesThatAreNone) {
  const auto build = [](attn::BlockMaskSizes sizes) {
    return [=] { BlockMask(attn::Causal{}, sizes); };
  };
  expect_error<ValueError>("attn::BlockMask: n_q is -1 and must be 0 or more",
                           build({.n_q = -1, .n_k = 8}));
  expect_error<ValueError>("attn::BlockMask: n_k is -2 and must be 0 or more",
                           build({.n_q = 6, .n_k = -2}));
  expect_error<ValueError>("attn::BlockMask: batches is 0 and must be 1 or more",
                           build({.n_q = 6, .n_k = 8, .batches = 0}));
  expect_error<ValueError>("attn::BlockMask: heads is 0 and must be 1 or more",
                           build({.n_q = 6, .n_k = 8, .heads = 0}));
  expect_error<ValueError>("attn::BlockMask: block is 0 and must be 1 or more",
                           build({.n_q = 6, .n_k = 8, .block = 0}));
  expect_error<ValueError>("attn::BlockMask: key_block is -4 and must be 1 or more",
                           build({.n_q = 6, .n_k = 8, .key_block = -4}));
  expect_error<ValueError>("attn::BlockMask: block is 0 and must be 1 or more", [] {
    BlockMask<>::from_blocks(attn::MatrixX<bool>::Constant(2, 2, true), 0);
  });
}

TEST(BlockMask, RefusesAMaskThatDoesNotFitTheSizes) {
  expect_error<ShapeError>(
      "attn::BlockMask: Documents has 2 query_ids and must have 6; one for each of n_q", [] {
        BlockMask(attn::Documents{{1, 1}, {1, 1}}, 6, 2);
      });
  expect_error<ShapeError>(
      "attn::BlockMask: KeyPadding has 2 lengths and there are 1 batches; it needs one length, or "
      "one a batch",
      [] {
        BlockMask(attn::KeyPadding{{1, 2}}, 6, 2);
      });
}

TEST(BlockMask, AlignedToTheBottomRightNeedsTheSizesItIsBuiltFor) {
  const BlockMask blocks(attn::Causal::bottom_right(), {.n_q = 6, .n_k = 8, .block = 3});
  EXPECT_TRUE(support::near(attend(6, 8, blocks), attend(6, 8, attn::Causal::bottom_right()), 0));
  expect_error<ShapeError>(
      "attn::attention: BlockMask is built for 6 x 8 and the call needs 5 x 8, n_q x n_k; a mask "
      "aligned to the bottom right (or of a type of your own that does not say depends_on_extent() "
      "is false) must be built for these very sizes",
      [&] { attend(5, 8, blocks); });
}

TEST(BlockMask, MovesTheBottomRightByThePaddingWithin) {
  const auto corner = attn::Causal::bottom_right();
  const attn::KeyPadding padding{5};
  const auto expected = attend(6, 8, corner & padding);
  EXPECT_FALSE(support::near(attend(6, 8, corner), expected, 0.01));
  const attn::BlockMaskSizes sizes{.n_q = 6, .n_k = 8, .block = 2};
  EXPECT_TRUE(support::near(attend(6, 8, BlockMask(corner & padding, sizes)), expected, 1e-15));
  EXPECT_TRUE(support::near(attend(6, 8, BlockMask(padding, sizes), corner), expected, 1e-15));
  EXPECT_TRUE(support::near(attend(6, 8, corner & BlockMask(padding, sizes)), expected, 1e-15));
  // With the padding outside, the blocks do not hold, and the mask itself is asked.
  const BlockMask outside(corner, sizes);
  EXPECT_TRUE(support::near(attend(6, 8, outside, padding), expected, 1e-15));
  EXPECT_EQ(outside.verdict({0, 0, 0, 3, 4, 7, attn::Extent{6, 5}}), attn::Verdict::empty);
  EXPECT_EQ(outside.verdict({0, 0, 0, 3, 4, 7, attn::Extent{6, 8}}), attn::Verdict::mixed);
}

/// A mask of a user's own type that reads the sizes of the call.
struct LastQueryOnly {
  using role = attn::role::mask;
  bool permits(const attn::Position& at, attn::Extent extent) const {
    return at.query + 1 == extent.n_q;
  }
  attn::Verdict verdict(const attn::Tile&) const { return attn::Verdict::mixed; }
};

/// One that does not, and says so.
struct EvenKeys {
  using role = attn::role::mask;
  bool permits(const attn::Position& at, attn::Extent) const { return at.key % 2 == 0; }
  attn::Verdict verdict(const attn::Tile&) const { return attn::Verdict::mixed; }
  bool depends_on_extent() const { return false; }
};

TEST(BlockMask, TakesMasksOfTheUsersOwnTypes) {
  const BlockMask last(LastQueryOnly{}, {.n_q = 6, .n_k = 8, .block = 2});
  EXPECT_TRUE(support::near(attend(6, 8, last), attend(6, 8, LastQueryOnly{}), 1e-15));
  EXPECT_EQ(last.empty_blocks(), 8);
  EXPECT_THROW(attend(5, 8, last), ShapeError);
  EXPECT_THROW(attend(5, 8, BlockMask(!last, 6, 8)), ShapeError);
  const BlockMask even(EvenKeys{}, {.n_q = 6, .n_k = 8, .block = 1});
  EXPECT_EQ(even.mixed_blocks(), 0);
  EXPECT_TRUE(support::near(attend(5, 8, even), attend(5, 8, EvenKeys{}), 1e-15));
  EXPECT_TRUE(support::near(attend(5, 8, BlockMask(!even, 6, 8)), attend(5, 8, !even), 1e-15));
}

TEST(BlockMask, CopiesShareTheBlocksAndOutliveTheFirst) {
  Index calls = 0;
  const auto copied = [&] {
    const BlockMask blocks(attn::mask_mod([&](attn::Position at) {
                             ++calls;
                             return at.key < 4;
                           }),
                           {.n_q = 6, .n_k = 8, .block = 2});
    return blocks;
  }();
  EXPECT_EQ(calls, 48);
  const attn::Attention mechanism{copied & attn::KeyPadding{3}, heads};
  EXPECT_TRUE(support::near(mechanism(p.Q, p.K, p.V), attend(6, 8, attn::KeyPadding{3}), 1e-15));
  EXPECT_EQ(calls, 48);
}

}  // namespace
