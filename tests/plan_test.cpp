// SPDX-License-Identifier: Apache-2.0
// Plans: the paths that sizes take, tiles against the mask asked pair by pair, and the sentences on
// what keeps a call from a faster path.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <sstream>
#include <string>

#include "support/batch.hpp"
#include "support/problem.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using attn::Plan;
using attn::Position;
using Eigen::MatrixXf;
using support::Case;
using support::Problem;

template <class... Parts>
Plan plan_of(const Case& c, const Parts&... parts) {
  const Problem<float> p(c);
  return attn::plan(p.Q, p.K, p.V, parts...);
}

/// Whether some reason of a plan holds these words.
testing::AssertionResult says(const Plan& plan, const std::string& words) {
  for (const std::string& reason : plan.reasons)
    if (reason.find(words) != reason.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << plan << "does not say: " << words;
}

/// Reasons that are not those of the instructions that this test is compiled for.
Index reasons_of(const Plan& plan) {
  return std::count_if(plan.reasons.begin(), plan.reasons.end(), [](const std::string& reason) {
    return reason.find("compiled for SSE") == reason.npos && reason.find("Eigen's") == reason.npos;
  });
}

TEST(Plan, NamesThePathThatSizesTake) {
  EXPECT_EQ(plan_of({.n_q = 1, .n_k = 1, .d = 4, .d_v = 4}).path, Plan::Path::loops);
  EXPECT_EQ(plan_of({.n_q = 8, .n_k = 64, .d = 8}).path, Plan::Path::small);
  EXPECT_EQ(plan_of({.n_q = 1, .n_k = 300, .d = 16}).path, Plan::Path::decoding);
  EXPECT_EQ(plan_of({.n_q = 16, .n_k = 512, .d = 8}).path, Plan::Path::decoding);
  EXPECT_EQ(plan_of({.n_q = 17, .n_k = 512, .d = 8}).path, Plan::Path::one_walk);
  EXPECT_EQ(plan_of({.n_q = 100, .n_k = 100, .d = 8}).path, Plan::Path::one_walk);
  EXPECT_EQ(plan_of({.n_q = 100, .n_k = 100, .d = 8}, attn::Entmax15{}).path,
            Plan::Path::two_walks);
  EXPECT_EQ(reasons_of(plan_of({.n_q = 100, .n_k = 100, .d = 8}, attn::Causal{})), 0);
}

TEST(Plan, KnowsSizesOfTypes) {
  const Eigen::Matrix<float, 2, 4> few = Eigen::Matrix<float, 2, 4>::Ones();
  const Plan plan = attn::plan(few, few, few);
  EXPECT_EQ(plan.path, Plan::Path::fixed);
  EXPECT_EQ(plan.tasks, 1);
  std::ostringstream out;
  out << plan;
  EXPECT_NE(out.str().find("products of the sizes in the types\n  kernel"), std::string::npos);
  EXPECT_NE(attn::plan(few, few, few, attn::Causal{}).path, Plan::Path::fixed);
}

TEST(Plan, KnowsTheSizesOfTheCall) {
  const attn::Heads heads{.query = 4, .key_value = 2};
  const Plan plan =
      plan_of({.n_q = 30, .n_k = 200, .d = 8, .d_v = 16, .heads = 4, .key_heads = 2}, heads);
  EXPECT_EQ(plan.heads, 4);
  EXPECT_EQ(plan.key_heads, 2);
  EXPECT_EQ(plan.batches, 1);
  EXPECT_EQ(plan.n_q, 30);
  EXPECT_EQ(plan.n_k, 200);
  EXPECT_EQ(plan.d, 8);
  EXPECT_EQ(plan.d_v, 16);
  EXPECT_EQ(plan.lanes, attn::engine::Pack<float>::width);
  EXPECT_EQ(plan.kernel_rows, attn::engine::panel_width<float>);
  EXPECT_EQ(plan.tasks, 4);
  EXPECT_EQ(plan.threads, 1);
  EXPECT_GT(plan.scratch_bytes, 30u * (8 + 16) * sizeof(float));
  EXPECT_LT(plan.scratch_bytes, 500u * 1024);
  EXPECT_EQ(plan.parts, (std::vector<std::string>{"ScaledDotProduct", "Softmax"}));
}

TEST(Plan, GivesSmallHeadsATaskEach) {
  const Plan plan = plan_of({.n_q = 8, .n_k = 64, .d = 8, .heads = 3, .key_heads = 3},
                            attn::Heads{3}, attn::Threads{2});
  EXPECT_EQ(plan.path, Plan::Path::small);
  EXPECT_EQ(plan.tasks, 3);
  EXPECT_EQ(plan.threads, 2);
  EXPECT_EQ(plan.tile_keys, 64);
  EXPECT_EQ(plan.full_tiles % 3, 0);
  EXPECT_GT(plan.full_tiles, 0);
  EXPECT_GT(plan.scratch_bytes, 8u * 8 * sizeof(float));
}

/// Counts the tiles of one head by asking the mask about every pair.
template <class Mask>
void expect_tiles(const Plan& plan, const Mask& mask) {
  const attn::Extent extent{plan.n_q, plan.n_k};
  Index empty = 0, full = 0, mixed = 0;
  for (Index first = 0; first < plan.n_q; first += plan.block_queries) {
    const attn::engine::Panels<float> panels(std::min(plan.block_queries, plan.n_q - first));
    for (Index p = 0; p < panels.count(); ++p)
      for (Index key = 0; key < plan.n_k; key += plan.tile_keys) {
        Index seen = 0, all = 0;
        for (Index i = 0; i < panels[p].count; ++i)
          for (Index j = key; j < std::min(key + plan.tile_keys, plan.n_k); ++j, ++all)
            seen += mask.permits(Position{0, 0, first + panels[p].first + i, j}, extent);
        ++(seen == 0 ? empty : seen == all ? full : mixed);
      }
  }
  EXPECT_EQ(plan.empty_tiles, empty) << plan;
  EXPECT_EQ(plan.full_tiles, full) << plan;
  EXPECT_EQ(plan.mixed_tiles, mixed) << plan;
}

TEST(Plan, CountsTheTilesOfAMask) {
  const Case c{.n_q = 900, .n_k = 1000, .d = 64, .d_v = 64};
  const attn::Causal causal;
  const attn::SlidingWindow window{200, 30};
  const auto both = attn::PrefixLm{100} & attn::KeyPadding{950};
  expect_tiles(plan_of(c, causal), causal);
  expect_tiles(plan_of(c, window), window);
  expect_tiles(plan_of(c, both), both);
  expect_tiles(plan_of(c), attn::KeyPadding{1000});
}

TEST(Plan, CountsTheTilesOfAllHeads) {
  const Plan one = plan_of({.n_q = 300, .n_k = 300}, attn::Causal{});
  const Plan three =
      plan_of({.n_q = 300, .n_k = 300, .heads = 3, .key_heads = 3}, attn::Heads{3}, attn::Causal{});
  EXPECT_EQ(three.empty_tiles, 3 * one.empty_tiles);
  EXPECT_EQ(three.full_tiles, 3 * one.full_tiles);
  EXPECT_EQ(three.mixed_tiles, 3 * one.mixed_tiles);
}

TEST(Plan, CountsTheTilesOfDecoding) {
  // Keys 700 .. 999 are seen: tiles of 128 keys, of which 5 to 7 hold some.
  const Plan plan = plan_of({.n_q = 2, .n_k = 3000, .d = 8, .heads = 4, .key_heads = 2},
                            attn::Heads{.query = 4, .key_value = 2},
                            attn::KeyPadding{1000} & !attn::KeyPadding{700});
  EXPECT_EQ(plan.path, Plan::Path::decoding);
  EXPECT_EQ(plan.tile_queries, 4);  // of two heads
  EXPECT_EQ(plan.tile_keys, 128);
  EXPECT_EQ(plan.tasks, 6);  // two key heads, 1024 keys each
  EXPECT_EQ(plan.full_tiles, 2 * 1);
  EXPECT_EQ(plan.mixed_tiles, 2 * 2);
  EXPECT_EQ(plan.empty_tiles, 2 * (24 - 3));
}

TEST(Plan, SharesTheWorkOfThreads) {
  const Case c{.n_q = 3000, .n_k = 100, .d = 8};
  EXPECT_EQ(plan_of(c, attn::Threads{2}).threads, 2);
  EXPECT_FALSE(says(plan_of(c, attn::Threads{2}), "without work"));
  EXPECT_GT(plan_of(c, attn::Threads{100}).tasks, plan_of(c).tasks);  // blocks are smaller
  const Plan small = plan_of({.n_q = 8, .n_k = 100, .d = 8}, attn::Threads{8});
  EXPECT_EQ(small.threads, 1);
  EXPECT_TRUE(says(small, "threads without work: 7 of 8, as tasks are 1"));
}

TEST(Plan, SaysWhatKeepsSmallCallsFromTheirPath) {
  const Case tiny{.n_q = 1, .n_k = 2, .d = 4, .d_v = 4}, small{.n_q = 8, .n_k = 64, .d = 8},
      few{.n_q = 2, .n_k = 300, .d = 4};
  EXPECT_TRUE(says(plan_of(tiny, attn::Causal{}),
                   "sizes so small would take plain loops, but there are masks or modifiers"));
  EXPECT_TRUE(says(plan_of(tiny, attn::Sigmoid{}), "plain loops, but Sigmoid is no softmax"));
  EXPECT_TRUE(says(plan_of(small, attn::Causal{}),
                   "sizes so small would take all keys at once, but there are masks"));
  EXPECT_TRUE(says(plan_of(few, attn::Sparsemax{}), "decoding, but Sparsemax is no softmax"));
  EXPECT_TRUE(says(plan_of(few, attn::CosineSimilarity{}),
                   "decoding, but CosineSimilarity transforms the keys first"));
  EXPECT_TRUE(says(plan_of(few, attn::prob_mod([](auto p, auto) { return p * p; })),
                   "decoding, but prob_mod needs the sums of whole rows"));
  const auto rule = attn::score_function([](const auto& q, const auto& k) { return q.dot(k); });
  EXPECT_TRUE(says(plan_of(few, rule), "decoding, but score_function is no product of Q and K"));
}

TEST(Plan, SaysWhatIsComputedNumberByNumber) {
  const Case c{.n_q = 70, .n_k = 180};
  const Plan by_number =
      plan_of(c, attn::score_mod([](auto s, Position) { return s; }),
              attn::prob_mod([](auto p, Position) { return p; }), attn::Dropout{0.1, 1});
  EXPECT_TRUE(says(by_number, "score_mod takes a Position, not auto"));
  EXPECT_TRUE(says(by_number, "prob_mod takes a Position, not auto"));
  EXPECT_TRUE(says(by_number, "prob_mod needs the finished weights"));
  EXPECT_TRUE(says(by_number, "Dropout draws a number for every weight"));
  EXPECT_EQ(by_number.scalar_parts, (std::vector<std::string>{"score_mod", "prob_mod", "Dropout"}));
  const Plan by_packets = plan_of(c, attn::score_mod([](auto s, auto) { return s; }));
  EXPECT_EQ(reasons_of(by_packets), 0) << by_packets;
  EXPECT_TRUE(by_packets.scalar_parts.empty());
}

TEST(Plan, SaysWhichMasksAreAskedScoreByScore) {
  const Case c{.n_q = 200, .n_k = 200};
  const auto even = attn::mask_mod([](Position at) { return at.key % 2 == 0; });
  const Plan asked = plan_of(c, attn::Causal{} & even);
  EXPECT_TRUE(says(asked, "mask_mod is asked for every score: BlockMask keeps the verdicts"));
  EXPECT_EQ(asked.scalar_parts, (std::vector<std::string>{"Causal & mask_mod"}));
  EXPECT_EQ(asked.full_tiles, 0);
  EXPECT_EQ(reasons_of(plan_of(c, attn::BlockMask(even, 200, 200))), 0);
  std::vector<int> ids(200, 1);
  EXPECT_EQ(reasons_of(plan_of(c, attn::Documents{ids, ids})), 0);
  ids[70] = 2;
  EXPECT_TRUE(says(plan_of(c, attn::Documents{ids, ids}), "Documents has no rule for packets"));
  const Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> M =
      (support::random<float>(200, 200, 3).array() > 0).matrix();
  EXPECT_TRUE(says(plan_of(c, attn::DenseMask{M}), "DenseMask is read for every verdict"));
}

TEST(Plan, SaysHowABiasIsRead) {
  const Case c{.n_q = 70, .n_k = 180};
  const MatrixXf B = support::random<float>(70, 180, 1);
  EXPECT_EQ(reasons_of(plan_of(c, attn::DenseBias{B})), 0);
  const attn::TensorView<const float> rows(B.data(), {1, 1, 70, 180}, {0, 0, 180, 1});
  EXPECT_TRUE(says(plan_of(c, attn::DenseBias{rows}), "DenseBias has its queries apart in memory"));
  const MatrixXf table = support::random<float>(32, 1, 2);
  EXPECT_TRUE(says(plan_of(c, attn::RelativePositionBias{table}), "looks the bucket of every"));
}

TEST(Plan, SaysWhatIsCopiedFirst) {
  const Problem<float> p({.n_q = 70, .n_k = 180});
  EXPECT_TRUE(says(attn::plan(p.Q, -p.K, p.V), "K is an expression: it is computed into memory"));
  const support::Array<float> K(support::Layout::strided, {1, 1, 180, 5}, 1);
  const Plan strided = attn::plan(attn::view(p.Q), K.view(), attn::view(p.V));
  EXPECT_TRUE(says(strided, "K has neither tokens nor features side by side"));
  const Problem<Eigen::half> h({.n_q = 70, .n_k = 180});
  EXPECT_TRUE(says(attn::plan(h.Q, h.K, h.V), "stored in 16 bits: they are converted"));
}

TEST(Plan, AddsPackedSequencesUp) {
  const Plan one = plan_of({.n_q = 100, .n_k = 100}, attn::Causal{});
  const Plan packed = plan_of({.n_q = 201, .n_k = 201}, attn::Causal{},
                              attn::CumulativeLengths{{0, 100, 200, 201}});
  EXPECT_EQ(packed.path, Plan::Path::one_walk);
  EXPECT_EQ(packed.mixed_tiles, 2 * one.mixed_tiles);
  EXPECT_EQ(packed.full_tiles, 2 * one.full_tiles + 1);
  EXPECT_TRUE(says(packed, "sequences of different lengths take different paths"));
}

TEST(Plan, RefusesWhatTheCallRefuses) {
  const Problem<float> p({.n_q = 4, .n_k = 6});
  EXPECT_THROW(attn::plan(p.Q, p.K.leftCols(3), p.V), attn::ShapeError);
  EXPECT_THROW(attn::plan(p.Q, p.K, p.V, attn::Threads{-1}), attn::ValueError);
}

TEST(Plan, PrintsItself) {
  std::ostringstream out;
  Plan plan = plan_of({.n_q = 96, .n_k = 128, .d = 8, .d_v = 4}, attn::Causal{},
                      attn::score_mod([](float s, Position) { return s; }));
  plan.lanes = 8;
  plan.instructions = "AVX2 and FMA";
  plan.kernel_rows = 24, plan.kernel_cols = 4;
  plan.tile_queries = 24, plan.block_queries = 96;
  plan.tasks = 1, plan.empty_tiles = 0, plan.full_tiles = 1, plan.mixed_tiles = 3;
  plan.scratch_bytes = 20000;
  plan.reasons.resize(1);
  out << plan;
  EXPECT_EQ(
      out.str(),
      "attention of 96 queries over 128 keys, d 8, d_v 4, heads 1 on 1, batches 1\n"
      "  path     tiles, one walk over the keys\n"
      "  tiles    24 queries x 48 keys, 96 queries a block: 0 empty, 1 full, 3 mixed\n"
      "  kernel   24 x 4 products in registers, 8 numbers a packet (AVX2 and FMA)\n"
      "  work     1 task, 1 thread, 20 KiB of scratch\n"
      "  parts    ScaledDotProduct, score_mod, Causal, Softmax\n"
      "  scalar   score_mod\n"
      "  slower because\n"
      "    - score_mod takes a Position, not auto: it runs once a score, not once a packet\n");
}

}  // namespace
