// SPDX-License-Identifier: Apache-2.0
// attn::onnx::attention against the operator's definition: every rule, one by one.
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "support/nonfinite.hpp"
#include "support/onnx_attention.hpp"

namespace {

using support::Array4;
using support::expect_defined;
using support::Index;
using support::make_node;
using support::neg;
using support::OnnxCall;
using support::OnnxNode;
using support::OnnxResult;
using support::OnnxSizes;

using support::nan;

/// 0 and NEG, or false and true, in a pattern without symmetry.
Array4 pattern(std::array<Index, 4> shape, double no, double yes, std::uint64_t seed = 5) {
  Array4 mask = support::random4(shape, seed);
  for (double& m : mask.numbers) m = m < -0.2 ? no : yes;
  return mask;
}

TEST(OnnxAttention, TakesHeadsApart) { expect_defined(make_node({})); }

TEST(OnnxAttention, TakesHeadsSideBySide) {
  OnnxNode node = make_node({.B = 2, .Hq = 6, .Hk = 3, .Sq = 4, .Sk = 5, .D = 4, .Dv = 7});
  node.rank = 3;
  expect_defined(node);
}

TEST(OnnxAttention, SharesKeyHeadsInARow) {
  OnnxNode node = make_node({.Hq = 6, .Hk = 2});
  expect_defined(node);
  node = make_node({.Hq = 3, .Hk = 1});
  expect_defined(node);
}

TEST(OnnxAttention, ScalesByTheFeaturesOfQueriesAndKeys) {
  expect_defined(make_node({.D = 16, .Dv = 1}));
}

TEST(OnnxAttention, TakesAScale) {
  OnnxNode node = make_node({});
  node.scale = 0.37f;
  expect_defined(node);
  node.scale = 0.f;
  expect_defined(node);
}

TEST(OnnxAttention, StandsLargeScores) {
  OnnxNode node = make_node({});
  node.scale = 1000.f;
  expect_defined(node, 1e-10);
}

TEST(OnnxAttention, IsCausalFromTheUpperLeft) {
  for (const Index keys : {3, 5, 9}) {
    OnnxNode node = make_node({.Sq = 5, .Sk = keys});
    node.causal = true;
    expect_defined(node);
  }
}

TEST(OnnxAttention, PutsCachedKeysFirst) {
  OnnxNode node = make_node({.Sq = 3, .Sk = 3, .P = 6});
  expect_defined(node);
  node.causal = true;
  expect_defined(node);
}

TEST(OnnxAttention, KeepsTheOffsetOfThePastWhereTheNewKeysDiffer) {
  for (const Index keys : {1, 2, 6}) {
    OnnxNode node = make_node({.Sq = 4, .Sk = keys, .P = 5});
    node.causal = true;
    node.rank = keys == 2 ? 3 : 4;
    expect_defined(node);
    node.left = 2;
    expect_defined(node);
  }
}

TEST(OnnxAttention, ReadsNoKeyBehindTheLengthOfItsBatch) {
  OnnxNode node = make_node({.B = 3, .Sq = 4, .Sk = 9});
  node.lengths = {9, 4, 6};
  expect_defined(node);
  node.causal = true;
  expect_defined(node);
}

TEST(OnnxAttention, GivesZerosWhereTheOffsetIsNegative) {
  OnnxNode node = make_node({.B = 3, .Sq = 6, .Sk = 7});
  node.lengths = {2, 0, 7};
  node.causal = true;
  expect_defined(node);
  const OnnxResult result = support::onnx_attention(node);
  EXPECT_EQ(result.Y(0, 0, 3, 0), 0);  // p = 2 - 6 + 3 = -1
  EXPECT_NE(result.Y(0, 0, 4, 0), 0);
  node.left = 0;
  expect_defined(node);
  node.causal = false;
  node.right = 1;
  expect_defined(node);
}

TEST(OnnxAttention, TakesWindowsWithAndWithoutTheCausalRule) {
  for (const bool causal : {false, true})
    for (const Index left : {-1, 0, 2})
      for (const Index right : {-1, 0, 3}) {
        OnnxNode node = make_node({.B = 1, .Hq = 2, .Hk = 1, .Sq = 6, .Sk = 8});
        node.causal = causal;
        node.left = left;
        node.right = right;
        expect_defined(node);
        node = make_node({.B = 1, .Hq = 2, .Hk = 1, .Sq = 3, .Sk = 2, .P = 7});
        node.causal = causal;
        node.left = left;
        node.right = right;
        expect_defined(node);
      }
}

TEST(OnnxAttention, AlignsMasksFromTheRight) {
  const OnnxSizes n{.B = 2, .Hq = 2, .Hk = 1, .Sq = 3, .Sk = 4};
  const std::vector<std::pair<Index, std::array<Index, 4>>> shapes = {
      {1, {1, 1, 1, 4}}, {2, {1, 1, 3, 4}}, {2, {1, 1, 1, 4}}, {3, {1, 2, 3, 4}},
      {3, {1, 1, 3, 4}}, {4, {2, 2, 3, 4}}, {4, {2, 1, 1, 4}}, {4, {1, 2, 1, 4}}};
  for (const auto& [rank, shape] : shapes)
    for (const Index opset : {23, 25}) {
      OnnxNode node = make_node(n);
      node.opset = opset;
      node.mask_rank = rank;
      node.mask = support::random4(shape, 8);
      expect_defined(node);
      node.mask = pattern(shape, 0, 1);
      node.mask_is_bool = true;
      expect_defined(node);
    }
}

TEST(OnnxAttention, TakesTheFirstAxisOfARankThreeMaskForHeads) {
  OnnxNode node = make_node({.B = 2, .Hq = 2, .Hk = 2, .Sq = 3, .Sk = 4});
  node.mask_rank = 3;
  node.mask = support::random4({1, 2, 3, 4}, 8);
  expect_defined(node);
}

TEST(OnnxAttention, FillsAShortMaskUp) {
  for (const Index opset : {23, 24, 25})
    for (const Index width : {0, 2, 5}) {
      OnnxNode node = make_node({.Sq = 3, .Sk = 6});
      node.opset = opset;
      node.mask = support::random4({1, 1, 3, width}, 8);
      expect_defined(node);
      node.mask = pattern({2, 1, 1, width}, 0, 1);
      node.mask_is_bool = true;
      expect_defined(node);
    }
}

TEST(OnnxAttention, FillsAMaskOfOneKeyUpFromOpset24On) {
  for (const Index opset : {23, 24, 25}) {
    OnnxNode node = make_node({.Sq = 3, .Sk = 6});
    node.opset = opset;
    node.mask = support::random4({1, 1, 3, 1}, 8);
    expect_defined(node);
    const double weight = support::onnx_attention(node).scores[3](0, 0, 0, 0);
    EXPECT_EQ(weight == 1, opset >= 24) << "only the first key is left";
  }
}

TEST(OnnxAttention, TakesAShortMaskBesideLengths) {
  OnnxNode node = make_node({.B = 2, .Sq = 4, .Sk = 9});
  node.opset = 24;
  node.lengths = {5, 3};
  node.mask = support::random4({2, 1, 4, 6}, 8);
  expect_defined(node);
  node.causal = true;
  expect_defined(node);
}

TEST(OnnxAttention, IntersectsAllThatHides) {
  OnnxNode node = make_node({.B = 2, .Hq = 4, .Hk = 2, .Sq = 5, .Sk = 11});
  node.lengths = {9, 6};
  node.causal = true;
  node.left = 3;
  node.softcap = 1.5f;
  node.mask = pattern({2, 4, 5, 11}, neg, 0.25);
  expect_defined(node);
  node.mask = pattern({2, 4, 5, 11}, 0, 1);
  node.mask_is_bool = true;
  expect_defined(node);
}

TEST(OnnxAttention, AddsAFloatMaskUnscaledBehindTheSoftCap) {
  OnnxNode node = make_node({});
  node.scale = 0.01f;
  node.softcap = 0.5f;
  node.mask = support::random4({2, 4, 5, 7}, 8);
  for (double& m : node.mask.numbers) m *= 10;
  expect_defined(node);
}

TEST(OnnxAttention, GivesZerosForRowsThatAMaskHides) {
  for (const bool is_bool : {false, true}) {
    OnnxNode node = make_node({.Sq = 4, .Sk = 4});
    node.mask = Array4({1, 1, 4, 4}, is_bool ? 1 : 0);
    for (Index j = 0; j < 4; ++j) node.mask(0, 0, 2, j) = is_bool ? 0 : neg;
    node.mask_is_bool = is_bool;
    expect_defined(node);
    node.causal = true;
    expect_defined(node);
  }
}

TEST(OnnxAttention, ReadsNothingThatIsHidden) {
  OnnxNode clean = make_node({.B = 2, .Sq = 4, .Sk = 8});
  clean.lengths = {5, 3};
  clean.mask = Array4({2, 1, 1, 8}, 0);
  clean.mask(0, 0, 0, 1) = neg;
  OnnxNode dirty = clean;
  for (Index h = 0; h < 2; ++h)
    for (Index f = 0; f < 3; ++f)
      for (const auto& [b, j] : {std::pair<Index, Index>(0, 1), {0, 5}, {0, 7}, {1, 3}, {1, 7}})
        dirty.K(b, h, j, f) = nan, dirty.V(b, h, j, f) = nan;
  for (const bool causal : {false, true})
    for (const Index mode : {2, 3}) {
      clean.causal = dirty.causal = causal;
      const OnnxResult expected = support::onnx_attention(clean);
      OnnxCall<double> call(dirty);
      call.ask_scores(dirty, mode);
      call.run();
      EXPECT_TRUE(support::agrees(call.Y.array(expected.Y.shape), expected.Y, 1e-13));
      const Array4& scores = expected.scores[std::size_t(mode)];
      EXPECT_TRUE(support::agrees(call.scores.array(scores.shape), scores, 1e-13)) << mode;
    }
}

TEST(OnnxAttention, LetsVisibleNaNThrough) {
  OnnxNode node = make_node({.B = 1, .Hq = 1, .Hk = 1, .Sq = 3, .Sk = 4, .Dv = 2});
  node.mask = Array4({1, 1, 3, 4}, 0);
  node.mask(0, 0, 1, 2) = nan;
  OnnxCall<double> call(node);
  call.run();
  const Array4 y = call.Y.array({1, 1, 3, 2});
  EXPECT_FALSE(std::isnan(y(0, 0, 0, 0)));
  EXPECT_TRUE(std::isnan(y(0, 0, 1, 0)) && std::isnan(y(0, 0, 1, 1)));
  EXPECT_FALSE(std::isnan(y(0, 0, 2, 0)));
}

TEST(OnnxAttention, ShowsInfiniteProducts) {
  OnnxNode node = make_node({.B = 1, .Hq = 1, .Hk = 1, .Sq = 5, .Sk = 4, .D = 1});
  node.K(0, 0, 2, 0) = std::numeric_limits<double>::infinity();
  for (const Index mode : {0, 1, 2}) {
    OnnxCall<double> call(node);
    call.ask_scores(node, mode);
    call.run();
    const Array4 scores = call.scores.array({1, 1, 5, 4});
    const double expected = node.K(0, 0, 2, 0) * node.Q(0, 0, 0, 0);
    EXPECT_EQ(scores(0, 0, 0, 2), expected);
  }
}

TEST(OnnxAttention, GivesZerosWithoutKeys) {
  expect_defined(make_node({.Sq = 3, .Sk = 0}));
  OnnxNode node = make_node({.Sq = 3, .Sk = 0});
  node.mask = Array4({1, 1, 1, 1}, 0);
  node.causal = true;
  expect_defined(node);
  node.lengths = {0, 0};
  expect_defined(node);
}

TEST(OnnxAttention, TakesEmptyAxes) {
  expect_defined(make_node({.Sq = 0}));
  expect_defined(make_node({.B = 0}));
  expect_defined(make_node({.Sk = 0, .P = 4}));
  OnnxNode node = make_node({});
  node.past_key = Array4({2, 2, 0, 6});  // a cache that is empty yet
  node.past_value = Array4({2, 2, 0, 3});
  node.causal = true;
  expect_defined(node);
}

TEST(OnnxAttention, TakesSizesBeyondATile) {
  OnnxNode node = make_node({.B = 1, .Hq = 2, .Hk = 1, .Sq = 131, .Sk = 70, .D = 8, .P = 100});
  node.causal = true;
  node.left = 90;
  node.mask = pattern({1, 2, 131, 170}, neg, 0.5);
  expect_defined(node);
  node.mask = Array4({1, 1, 1, 120}, 1);
  node.mask_is_bool = true;
  expect_defined(node);
  node.past_key = node.past_value = Array4();
  node.mask = Array4();
  node.left = -1;
  node.lengths = {33};
  expect_defined(node);
}

TEST(OnnxAttention, TakesFloat) {
  OnnxNode node = make_node({.Sq = 6, .Sk = 9, .P = 8});
  node.causal = true;
  node.softcap = 2.f;
  node.mask = support::random4({2, 1, 6, 17}, 8);
  expect_defined<float>(node, 2e-6);
}

TEST(OnnxAttention, TakesEveryPrecisionForTheSoftmax) {
  const OnnxNode node = make_node({});
  const OnnxResult expected = support::onnx_attention(node);
  for (const Index type : {1, 10, 11, 16}) {
    OnnxCall<double> call(node);
    call.attributes.softmax_precision = type;
    call.run();
    EXPECT_TRUE(support::agrees(call.Y.array(expected.Y.shape), expected.Y, 1e-13)) << type;
  }
}

TEST(OnnxAttention, TakesLaterOpsetsForVersion25) {
  OnnxNode node = make_node({});
  node.opset = 27;
  node.left = 1;
  expect_defined(node);
}

TEST(OnnxAttention, GivesTheSameBitsOnTwoThreadsAndWithAWorkspace) {
  OnnxNode node = make_node({.Sq = 40, .Sk = 50});
  node.mask = pattern({1, 1, 40, 50}, neg, 0);
  attn::Workspace workspace;
  for (const Index mode : {2, 3}) {
    OnnxCall<double> one(node), two(node);
    one.ask_scores(node, mode), two.ask_scores(node, mode);
    one.run();
    two.run(attn::Threads{2}, workspace);
    EXPECT_EQ(one.Y.numbers, two.Y.numbers);
    EXPECT_EQ(one.scores.numbers, two.scores.numbers);
  }
}

TEST(OnnxPresents, AreThePastAndThenTheNewTokens) {
  for (const Index rank : {3, 4}) {
    OnnxNode node = make_node({.Sq = 2, .Sk = 3, .P = 4});
    node.rank = rank;
    const OnnxResult expected = support::onnx_attention(node);
    OnnxCall<double> call(node);
    call.ask_presents(node);
    call.run();
    EXPECT_TRUE(support::agrees(call.Y.array(expected.Y.shape), expected.Y, 1e-13));
    const Array4 key = call.present_key.array({2, 2, 7, 6});
    const Array4 value = call.present_value.array({2, 2, 7, 3});
    for (Index b = 0; b < 2; ++b)
      for (Index c = 0; c < 2; ++c)
        for (Index j = 0; j < 7; ++j) {
          EXPECT_EQ(key(b, c, j, 5), support::key_number(node, b, c, j, 5));
          EXPECT_EQ(value(b, c, j, 2), support::value_number(node, b, c, j, 2));
        }
  }
}

TEST(OnnxPresents, AreKeysAndValuesWithoutAPast) {
  OnnxNode node = make_node({});
  node.rank = 3;
  OnnxCall<double> call(node);
  call.ask_presents(node);
  call.run();
  EXPECT_EQ(call.present_key.numbers, node.K.numbers);
  EXPECT_EQ(call.present_value.numbers, node.V.numbers);
}

TEST(OnnxPresents, MayBeOneAloneBeforeOpset25) {
  OnnxNode node = make_node({.P = 2});
  node.opset = 24;
  OnnxCall<double> both(node), key(node), value(node);
  both.ask_presents(node), key.ask_presents(node), value.ask_presents(node);
  key.out.present_value = {};
  value.out.present_key = {};
  both.run(), key.run(), value.run();
  EXPECT_EQ(key.present_key.numbers, both.present_key.numbers);
  EXPECT_EQ(value.present_value.numbers, both.present_value.numbers);
  EXPECT_EQ(key.Y.numbers, both.Y.numbers);
  EXPECT_EQ(value.Y.numbers, both.Y.numbers);
}

TEST(OnnxPresents, MayStandBesideLengthsBeforeOpset25) {
  OnnxNode node = make_node({});
  node.opset = 24;
  node.lengths = {3, 5};
  OnnxCall<double> call(node);
  call.ask_presents(node);
  call.run();
  EXPECT_EQ(call.present_key.numbers, node.K.numbers);
}

// A buffer of 8 tokens a head, of which 5 are cached; the new ones have been written behind them.
TEST(OnnxPresents, GrowInPlace) {
  OnnxNode node = make_node({.Sq = 2, .Sk = 2, .P = 5});
  const OnnxResult expected = support::onnx_attention(node);
  const auto grow = [](const Array4& past, const Array4& fresh) {
    Array4 all({2, 2, 8, past.shape[3]});
    for (Index b = 0; b < 2; ++b)
      for (Index c = 0; c < 2; ++c)
        for (Index j = 0; j < 7; ++j)
          for (Index f = 0; f < past.shape[3]; ++f)
            all(b, c, j, f) = j < 5 ? past(b, c, j, f) : fresh(b, c, j - 5, f);
    return all;
  };
  Array4 keys = grow(node.past_key, node.K), values = grow(node.past_value, node.V);
  const Array4 keys_before = keys, values_before = values;
  const auto part = [](Array4& a, Index first, Index count) {
    auto view = attn::bhtd(a.numbers.data(), 2, 2, 8, a.shape[3]);
    view.data += first * view.strides[2];
    view.shape[2] = count;
    return view;
  };
  OnnxCall<double> call(node);
  call.in.past_key = part(keys, 0, 5), call.in.past_value = part(values, 0, 5);
  call.in.V = part(values, 5, 2);  // K comes from elsewhere
  call.out.present_key = part(keys, 0, 7), call.out.present_value = part(values, 0, 7);
  for (Index f = 0; f < 6; ++f) keys(1, 1, 5, f) = 99;
  call.run();
  EXPECT_EQ(keys.numbers, keys_before.numbers);
  EXPECT_EQ(values.numbers, values_before.numbers);
  EXPECT_TRUE(support::agrees(call.Y.array(expected.Y.shape), expected.Y, 1e-13));
}

TEST(OnnxAttention, TakesStridedViews) {
  const OnnxNode node = make_node({.B = 2, .Hq = 2, .Hk = 2, .Sq = 3, .Sk = 4});
  const OnnxResult expected = support::onnx_attention(node);
  OnnxNode packed = node;
  packed.rank = 3;
  OnnxCall<double> call(packed);
  call.in.Q = attn::bthd(call.Q.numbers.data(), 2, 3, 2, 6);
  call.in.K = attn::bthd(call.K.numbers.data(), 2, 4, 2, 6);
  call.in.V = attn::bthd(call.V.numbers.data(), 2, 4, 2, 3);
  call.out.Y = attn::bthd(call.Y.numbers.data(), 2, 3, 2, 3);
  call.attributes.q_num_heads = call.attributes.kv_num_heads = std::nullopt;
  call.run();
  EXPECT_TRUE(support::agrees(call.Y.array(expected.Y.shape), expected.Y, 1e-13));
}

}  // namespace
