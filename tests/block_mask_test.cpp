// SPDX-License-Identifier: Apache-2.0
// BlockMask: the same attention as with the mask that it wraps, asked less.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::BlockMask;
using attn::BlockMaskSizes;
using attn::Extent;
using attn::Index;
using attn::Position;
using attn::Tile;
using attn::Verdict;
using support::Case;
using support::Problem;
using BoolMatrix = attn::MatrixX<bool>;

constexpr Index block = 4;
const std::vector<Index> sizes{0, 1, block - 1, block, block + 1, 2 * block + 3};

BoolMatrix random_bools(Index rows, Index cols, double share, std::uint64_t seed) {
  return support::random(rows, cols, seed).array() < 2 * share - 1;
}

/// f(mask) for masks of every kind that fit n_q x n_k.
template <class F>
void for_each_mask(Index n_q, Index n_k, F&& f) {
  std::vector<int> query_ids, key_ids;
  for (Index i = 0; i < n_q; ++i) query_ids.push_back(int(i / 5 % 3));
  for (Index j = 0; j < n_k; ++j) key_ids.push_back(int(j / 4 % 4));
  const auto window = attn::mask_mod([](Position at) {
    const Index back = at.query - at.key;
    return 0 <= back && back < 3;
  });
  const auto by_head = attn::mask_mod([](Position at) { return (at.key + at.head) % 6 < 4; });
  f("causal", attn::Causal{});
  f("bottom right", attn::Causal::bottom_right());
  f("window", attn::SlidingWindow{2, 1});
  f("prefix", attn::PrefixLm{3});
  f("padding", attn::KeyPadding{n_k / 2});
  f("documents", attn::Documents{query_ids, key_ids});
  f("dense", attn::DenseMask{random_bools(n_q, n_k, 0.8, 3)});
  f("sparse", attn::DenseMask{random_bools(n_q, n_k, 0.1, 4)});
  f("window of the user's", window);
  f("heads of the user's", by_head);
  f("and", window & attn::KeyPadding{std::max<Index>(n_k - 1, 0)});
  f("or", attn::PrefixLm{2} | window);
  f("not", !(attn::Causal{} & by_head));
  f("blocks of blocks", BlockMask(window | by_head, {.n_q = n_q, .n_k = n_k, .block = 3}));
}

/// What the pairs of a tile say, by the rule of the mask itself.
template <class Mask>
Verdict truth(const Mask& mask, const Tile& t) {
  Index permitted = 0;
  for (Index i = t.first_query; i <= t.last_query; ++i)
    for (Index j = t.first_key; j <= t.last_key; ++j)
      permitted += mask.permits(Position{t.batch, t.head, i, j}, t.extent) ? 1 : 0;
  const Index pairs = (t.last_query - t.first_query + 1) * (t.last_key - t.first_key + 1);
  return permitted == 0 ? Verdict::empty : permitted == pairs ? Verdict::full : Verdict::mixed;
}

TEST(BlockMask, AttendsAsTheMaskDoes) {
  for (const Index n_q : sizes)
    for (const Index n_k : sizes) {
      const Case c{.n_q = n_q, .n_k = n_k, .heads = 4, .key_heads = 2};
      const Problem p(c);
      const attn::Heads heads{.query = 4, .key_value = 2};
      for_each_mask(n_q, n_k, [&](const char* name, const auto& mask) {
        SCOPED_TRACE(testing::Message() << name << ", " << c);
        const BlockMask blocks(
            mask, {.n_q = n_q, .n_k = n_k, .heads = 4, .block = block, .key_block = 3});
        const auto expected = attn::reference::attend(p.Q, p.K, p.V, heads, mask).output;
        EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, heads, blocks), expected, 1e-13));
        EXPECT_TRUE(support::same_bits(attn::reference::attend(p.Q, p.K, p.V, heads, blocks).output,
                                       expected));
      });
    }
}

template <class Mask>
void expect_the_same_gradients(const Mask& mask) {
  const Case c{.n_q = 300, .n_k = 517, .d = 8, .d_v = 8};
  const Problem p(c);
  const BlockMask blocks(mask, c.n_q, c.n_k);
  const auto with = attn::attention_forward(p.Q, p.K, p.V, blocks);
  const auto without = attn::attention_forward(p.Q, p.K, p.V, mask);
  EXPECT_TRUE(support::near(with.output, without.output, 1e-13));
  EXPECT_TRUE(support::near(with.log_sum_exp, without.log_sum_exp, 1e-12));
  const auto of_blocks = attn::attention_backward(p.Q, p.K, p.V, with, p.dO, blocks);
  const auto of_mask = attn::attention_backward(p.Q, p.K, p.V, without, p.dO, mask);
  EXPECT_TRUE(support::near(of_blocks.query, of_mask.query, 1e-12));
  EXPECT_TRUE(support::near(of_blocks.key, of_mask.key, 1e-12));
  EXPECT_TRUE(support::near(of_blocks.value, of_mask.value, 1e-12));
}

TEST(BlockMask, GivesTheGradientsThatTheMaskDoesOverManyTiles) {
  const auto dilated = attn::mask_mod([](Position at) {
    const Index back = at.query - at.key;
    return -90 <= back && back <= 90 && back % 3 == 0;
  });
  expect_the_same_gradients(dilated & attn::KeyPadding{400});
  expect_the_same_gradients(attn::DenseMask{random_bools(300, 517, 0.01, 9)});
}

TEST(BlockMask, ServesBatchesAndChunks) {
  const Index batches = 2, heads = 2, n_q = 11, n_k = 9, d = 4;
  const auto numbers = [&](Index n, std::uint64_t seed) {
    return support::random_vector(batches * heads * n * d, seed);
  };
  const Eigen::VectorXd q = numbers(n_q, 1), k = numbers(n_k, 2), v = numbers(n_k, 3);
  const auto Q = attn::bhtd(q.data(), batches, heads, n_q, d);
  const auto K = attn::bhtd(k.data(), batches, heads, n_k, d);
  const auto V = attn::bhtd(v.data(), batches, heads, n_k, d);
  const auto run = [&](const auto& from, const auto&... parts) {
    Eigen::VectorXd o(batches * heads * from.tokens() * d);
    const auto O = attn::bhtd(o.data(), batches, heads, from.tokens(), d);
    attn::attention_into(O, from, K, V, parts...);
    return o;
  };
  const auto mask = attn::KeyPadding{{3, 7}} & attn::mask_mod([](Position at) {
                      return (at.query + at.key + at.head + 2 * at.batch) % 5 < 3;
                    });
  const BlockMask blocks(
      mask, {.n_q = n_q, .n_k = n_k, .batches = batches, .heads = heads, .block = block});
  EXPECT_TRUE(support::near(run(Q, blocks), run(Q, mask), 1e-14));
  auto chunk = Q;  // the last six queries
  chunk.data += 5 * d;
  chunk.shape[2] = 6;
  const attn::PositionOffset offset{.query = 5};
  EXPECT_TRUE(support::near(run(chunk, blocks, offset), run(chunk, mask, offset), 1e-14));
  auto first = Q;  // a smaller call
  first.shape[2] = 3;
  EXPECT_TRUE(support::near(run(first, blocks), run(first, mask), 1e-14));
}

TEST(BlockMask, OfOneBatchAndHeadServesAll) {
  const auto by_head = attn::mask_mod([](Position at) { return at.head == 0 && at.batch == 0; });
  const BlockMask shared(by_head, {.n_q = 6, .n_k = 6, .block = 2});
  EXPECT_TRUE(shared.permits(Position{3, 2, 5, 5}, Extent{6, 6}));
  EXPECT_EQ(shared.verdict({3, 2, 0, 5, 0, 5, Extent{6, 6}}), Verdict::full);
  const BlockMask each(by_head, {.n_q = 6, .n_k = 6, .batches = 2, .heads = 3, .block = 2});
  EXPECT_EQ(each.verdict({0, 0, 0, 5, 0, 5, Extent{6, 6}}), Verdict::full);
  EXPECT_EQ(each.verdict({0, 2, 0, 5, 0, 5, Extent{6, 6}}), Verdict::empty);
  EXPECT_EQ(each.verdict({1, 0, 0, 5, 0, 5, Extent{6, 6}}), Verdict::empty);
  EXPECT_EQ(each.full_blocks(), 9);
  EXPECT_EQ(each.empty_blocks(), 45);
}

TEST(BlockMask, VerdictsAreNeverWrongAndExactForWholeBlocks) {
  std::mt19937 random(7);
  const auto draw = [&](Index n) { return Index(random() % std::uint64_t(n)); };
  for (const Index n_q : sizes)
    for (const Index n_k : sizes) {
      if (n_q == 0 || n_k == 0) continue;
      const Extent extent{n_q, n_k};
      for_each_mask(n_q, n_k, [&](const char* name, const auto& mask) {
        const BlockMask blocks(mask, {.n_q = n_q, .n_k = n_k, .heads = 2, .block = block});
        for (int round = 0; round < 60; ++round) {
          Tile t{0, draw(2), draw(n_q), draw(n_q), draw(n_k), draw(n_k), extent};
          if (t.first_query > t.last_query) std::swap(t.first_query, t.last_query);
          if (t.first_key > t.last_key) std::swap(t.first_key, t.last_key);
          const Verdict said = blocks.verdict(t);
          EXPECT_TRUE(said == Verdict::mixed || said == truth(mask, t)) << name;
          t.first_query -= t.first_query % block;
          t.first_key -= t.first_key % block;
          t.last_query = std::min(n_q - 1, t.last_query / block * block + block - 1);
          t.last_key = std::min(n_k - 1, t.last_key / block * block + block - 1);
          EXPECT_EQ(blocks.verdict(t), truth(mask, t)) << name;
        }
      });
    }
}

TEST(BlockMask, AsksTheMaskWithinAMixedBlock) {
  const BlockMask blocks(attn::Causal{}, {.n_q = 8, .n_k = 8, .block = 8});
  EXPECT_EQ(blocks.verdict({0, 0, 0, 2, 4, 7, Extent{8, 8}}), Verdict::empty);
  EXPECT_EQ(blocks.verdict({0, 0, 4, 7, 0, 3, Extent{8, 8}}), Verdict::full);
}

template <class A>
void expect_packs_follow_the_rule() {
  const Index n = 40;
  const Extent extent{n, n};
  for_each_mask(n, n, [&](const char* name, const auto& mask) {
    const BlockMask blocks(mask, {.n_q = n, .n_k = n, .block = 5});
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < n; ++i) {
        using Pack = attn::engine::Pack<A>;
        const Index lanes = std::min<Index>(Pack::width, n - i);
        const attn::engine::PackPosition<A> at{0, 0, Pack::first_and_up(A(i)), j, i, lanes};
        A seen[Pack::width];
        attn::engine::select(blocks.permits(at, extent), Pack(1), Pack(0)).store(seen);
        for (Index l = 0; l < lanes; ++l)
          EXPECT_EQ(seen[l] == A(1), mask.permits(Position{0, 0, i + l, j}, extent)) << name;
      }
  });
}

TEST(BlockMask, AnswersForPacksAsForPairs) {
  expect_packs_follow_the_rule<float>();
  expect_packs_follow_the_rule<double>();
}

TEST(BlockMask, AsksAUsersMaskOnlyInMixedBlocks) {
  // The blocks of the diagonal are mixed, those below full, those above empty. Packs of queries
  // reach over their edges.
  const Index n = 42, size = 6;
  Index calls = 0, elsewhere = 0;
  bool built = false;
  const auto causal = attn::mask_mod([&](Position at) {
    ++calls;
    if (built && at.query / size != at.key / size) ++elsewhere;
    return at.key <= at.query;
  });
  const BlockMask blocks(causal, {.n_q = n, .n_k = n, .block = size});
  built = true;
  EXPECT_TRUE(calls <= n * n) << calls;
  EXPECT_EQ(blocks.empty_blocks(), 21);
  EXPECT_EQ(blocks.full_blocks(), 21);
  EXPECT_EQ(blocks.mixed_blocks(), 7);
  EXPECT_EQ(blocks.sparsity(), 21.0 / 49.0);
  const Problem<float> p({.n_q = n, .n_k = n});
  for (int call = 0; call < 2; ++call) {
    calls = 0;
    const auto O = attn::attention(p.Q, p.K, p.V, blocks);
    EXPECT_TRUE(support::near(O, attn::attention(p.Q, p.K, p.V, attn::Causal{}), 1e-6));
    EXPECT_TRUE(calls > 0 && calls <= 7 * size * size) << calls;
    EXPECT_EQ(elsewhere, 0);
  }
}

TEST(BlockMask, NeverAsksAgainWhereNoBlockIsMixed) {
  Index calls = 0;
  const auto halves = attn::mask_mod([&](Position at) {
    ++calls;
    return (at.query < 32) == (at.key < 32);
  });
  const BlockMask blocks(halves, {.n_q = 70, .n_k = 70, .block = 16});
  EXPECT_EQ(blocks.mixed_blocks(), 0);
  EXPECT_EQ(calls, 70 * 70);
  const Problem<double> p({.n_q = 70, .n_k = 70});
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, blocks);
  attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, blocks);
  EXPECT_EQ(calls, 70 * 70);
}

TEST(BlockMask, LooksAtBuiltInMasksByTheirVerdicts) {
  // 2^14 blocks a side: asked pair by pair this would take minutes.
  const Index n = Index(1) << 20;
  const BlockMask blocks(attn::Causal{} & attn::SlidingWindow{4096, 0},
                         {.n_q = n, .n_k = n, .block = 1024});
  EXPECT_EQ(blocks.full_blocks(), 1021 + 1022 + 1023);
  EXPECT_EQ(blocks.mixed_blocks(), 1024 + 1020);
  const Extent extent{n, n};
  EXPECT_EQ(blocks.verdict({0, 0, n - 1024, n - 1, 0, n - 1024 * 6, extent}), Verdict::empty);
  EXPECT_EQ(blocks.verdict({0, 0, n - 1024, n - 1, n - 4096, n - 1025, extent}), Verdict::full);
}

TEST(BlockMask, TakesBlocksThatAreKnown) {
  BoolMatrix layout(2, 3);
  layout << true, false, true, false, true, false;
  const auto blocks = BlockMask<>::from_blocks(layout, 2);
  EXPECT_EQ(blocks.full_blocks(), 3);
  EXPECT_EQ(blocks.mixed_blocks(), 0);
  BoolMatrix M(4, 6);
  M << true, true, false, false, true, true, true, true, false, false, true, true,  //
      false, false, true, true, false, false, false, false, true, true, false, false;
  const Problem p(Case{.n_q = 4, .n_k = 6});
  const auto both = blocks & attn::Causal{.offset = 2};
  EXPECT_TRUE(support::same_bits(
      attn::reference::attend(p.Q, p.K, p.V, both).output,
      attn::reference::attend(p.Q, p.K, p.V, attn::DenseMask{M}, attn::Causal{.offset = 2})
          .output));
  EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, both),
                            attn::reference::attend(p.Q, p.K, p.V, both).output, 1e-14));
  const auto wide = BlockMask<>::from_blocks(layout, 2, 5);
  EXPECT_TRUE(wide.permits(Position{0, 0, 1, 4}, Extent{4, 15}));
  EXPECT_FALSE(wide.permits(Position{0, 0, 1, 5}, Extent{4, 15}));
  EXPECT_TRUE(wide.permits(Position{0, 0, 2, 5}, Extent{4, 15}));
  EXPECT_EQ(BlockMask<>::from_blocks(BoolMatrix(layout.topRows(0))).sparsity(), 0.0);
}

TEST(BlockMask, TakesKnownBlocksOfEveryHead) {
  const bool sees[] = {true, false, false, true};  // two heads, one row, two columns
  const auto blocks = BlockMask<>::from_blocks(attn::bhtd(sees, 1, 2, 1, 2), 3);
  const Extent extent{3, 6};
  EXPECT_EQ(blocks.verdict({0, 0, 0, 2, 0, 2, extent}), Verdict::full);
  EXPECT_EQ(blocks.verdict({0, 0, 0, 2, 3, 5, extent}), Verdict::empty);
  EXPECT_EQ(blocks.verdict({0, 1, 0, 2, 0, 2, extent}), Verdict::empty);
  EXPECT_EQ(blocks.verdict({0, 1, 0, 2, 3, 5, extent}), Verdict::full);
}

}  // namespace
