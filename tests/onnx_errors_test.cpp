// SPDX-License-Identifier: Apache-2.0
// Every refusal of the ONNX operators: its type and its sentence, and that nothing is written.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/onnx_attention.hpp"

namespace {

using attn::ShapeError;
using attn::ValueError;
using attn::onnx::Tensor;
using support::Array4;
using support::Buffer;
using support::Index;
using support::make_node;
using support::OnnxCall;
using support::OnnxNode;

template <class Error, class F>
void expect_error(const std::string& sentence, F&& call) {
  support::expect_error<Error>("attn::onnx::" + sentence, call);
}

TEST(OnnxTensor, RefusesShapesThatNoOperatorTakes) {
  std::vector<float> x(8);
  expect_error<ShapeError>("Tensor: the shape has 5 dimensions; the operators take 1 to 4", [&] {
    Tensor<float>(x.data(), {1, 2, 2, 2, 1});
  });
  expect_error<ShapeError>("Tensor: the shape has 0 dimensions; the operators take 1 to 4",
                           [&] { Tensor<float>(x.data(), std::vector<Index>{}); });
  expect_error<ShapeError>("Tensor: dimension 1 is -2; a size is 0 or more", [&] {
    Tensor<float>(x.data(), {2, -2});
  });
  expect_error<ValueError>(
      "Tensor: there is no data for 6 numbers; an absent slot is a Tensor without shape", [&] {
        Tensor<float>(nullptr, {2, 3});
      });
  EXPECT_NO_THROW(Tensor<float>(nullptr, {2, 0}));
  EXPECT_FALSE(Tensor<float>().is_given());
}

TEST(OnnxTensor, HoldsShapeAndStrides) {
  std::vector<float> x(24);
  const Tensor<const float> t(x.data(), {2, 3, 4});
  EXPECT_EQ(t.rank, 3);
  EXPECT_EQ(t.strides[0], 12);
  EXPECT_EQ(t.strides[2], 1);
  EXPECT_EQ(t.aligned().shape, (std::array<Index, 4>{1, 2, 3, 4}));
}

using Call = OnnxCall<double>;

/// A call with all outputs that a change made wrong; Y, the presents and output 3 stay as they are.
template <class Error>
void expect_refusal(const std::string& sentence, const OnnxNode& node,
                    const std::function<void(Call&)>& change) {
  Call call(node);
  if (node.lengths.empty() || node.opset < 25) call.ask_presents(node);
  call.ask_scores(node, 0);
  change(call);
  expect_error<Error>("attention: " + sentence, [&] { call.run(); });
  for (const auto* buffer : {&call.Y, &call.present_key, &call.present_value, &call.scores})
    for (const double x : buffer->numbers) EXPECT_EQ(x, 7) << "something was written";
}

const OnnxNode plain = make_node({});  // B 2, Hq 4, Hk 2, Sq 5, Sk 7, D 6, Dv 3
const OnnxNode past = make_node({.P = 2});

OnnxNode packed_node() {
  OnnxNode node = plain;
  node.rank = 3;
  return node;
}
const OnnxNode packed = packed_node();

/// Room for a tensor of another shape.
template <class T = double>
Tensor<const T> some(std::vector<Index> sizes) {
  static const std::vector<T> numbers(4096, T(1));
  return {numbers.data(), sizes};
}
Tensor<double> room(std::vector<Index> sizes) {
  static std::vector<double> numbers(4096);
  return {numbers.data(), sizes};
}

TEST(OnnxAttentionErrors, OpsetsAndAttributes) {
  const auto refuse = [](const std::string& sentence, const std::function<void(Call&)>& change) {
    expect_refusal<ValueError>(sentence, plain, change);
  };
  refuse("the opset is 22; the operator exists from 23 on", [](Call& c) { c.opset = 22; });
  refuse("scale is -1; it must be 0 or more, and finite",
         [](Call& c) { c.attributes.scale = -1.f; });
  refuse("scale is nan; it must be 0 or more, and finite",
         [](Call& c) { c.attributes.scale = std::numeric_limits<float>::quiet_NaN(); });
  refuse("softcap is -2; it must be 0 (off) or more, and finite",
         [](Call& c) { c.attributes.softcap = -2; });
  refuse("softcap is inf; it must be 0 (off) or more, and finite",
         [](Call& c) { c.attributes.softcap = std::numeric_limits<float>::infinity(); });
  refuse("softmax_precision is 7; it must be 1 (float), 10 (float16), 11 (double) or 16 (bfloat16)",
         [](Call& c) { c.attributes.softmax_precision = 7; });
  for (const Index mode : {-1, 4})
    refuse("qk_matmul_output_mode is " + std::to_string(mode) + "; it must be 0, 1, 2 or 3",
           [=](Call& c) { c.attributes.qk_matmul_output_mode = mode; });
}

TEST(OnnxAttentionErrors, Windows) {
  const auto refuse = [](const std::string& sentence, const std::function<void(Call&)>& change) {
    expect_refusal<ValueError>(sentence, plain, change);
  };
  refuse("left_window_size is -2; it must be a number of keys, or -1 for no limit",
         [](Call& c) { c.attributes.left_window_size = -2; });
  refuse("right_window_size is -3; it must be a number of keys, or -1 for no limit",
         [](Call& c) { c.attributes.right_window_size = -3; });
  refuse("left_window_size is 2 in opset 24; windows exist from opset 25 on", [](Call& c) {
    c.attributes.left_window_size = 2;
    c.opset = 24;
  });
  refuse("right_window_size is 0 in opset 23; windows exist from opset 25 on", [](Call& c) {
    c.attributes.right_window_size = 0;
    c.opset = 23;
  });
}

TEST(OnnxAttentionErrors, Ranks) {
  const std::string rule =
      "; it must be 3, [batch, tokens, heads x features], or 4, [batch, heads, tokens, features]";
  expect_refusal<ShapeError>("Q has rank 2" + rule, plain, [](Call& c) { c.in.Q = some({5, 6}); });
  expect_refusal<ShapeError>("K has rank 0" + rule, plain, [](Call& c) { c.in.K = {}; });
  expect_refusal<ShapeError>("V has rank 1" + rule, plain, [](Call& c) { c.in.V = some({3}); });
  expect_refusal<ShapeError>("Q has rank 4, K 3 and V 4; all three need the same", plain,
                             [](Call& c) {
                               c.in.K = some({2, 7, 12});
                             });
}

TEST(OnnxAttentionErrors, HeadCounts) {
  const auto value = [](const std::string& sentence, const OnnxNode& node,
                        const std::function<void(Call&)>& change) {
    expect_refusal<ValueError>(sentence, node, change);
  };
  value("Q has rank 3 and q_num_heads is not given; rank 3 needs both head counts", packed,
        [](Call& c) { c.attributes.q_num_heads.reset(); });
  value("Q has rank 3 and kv_num_heads is not given; rank 3 needs both head counts", packed,
        [](Call& c) { c.attributes.kv_num_heads.reset(); });
  value("q_num_heads is 0; it must be 1 or more", packed,
        [](Call& c) { c.attributes.q_num_heads = 0; });
  value("kv_num_heads is -1; it must be 1 or more", packed,
        [](Call& c) { c.attributes.kv_num_heads = -1; });
  expect_refusal<ShapeError>(
      "Q is 24 wide, which cannot be split into 5 heads; q_num_heads must divide the width", packed,
      [](Call& c) { c.attributes.q_num_heads = 5; });
  expect_refusal<ShapeError>(
      "K is 12 wide, which cannot be split into 5 heads; kv_num_heads must divide the width",
      packed, [](Call& c) { c.attributes.kv_num_heads = 5; });
  expect_refusal<ShapeError>(
      "V is 6 wide, which cannot be split into 4 heads; kv_num_heads must divide the width", packed,
      [](Call& c) { c.attributes.kv_num_heads = 4; });
  for (const Index opset : {23, 24, 25}) {
    value("q_num_heads is given and Q has rank 4; head counts belong to rank 3", plain,
          [=](Call& c) { c.attributes.q_num_heads = 4, c.opset = opset; });
    value("kv_num_heads is given and Q has rank 4; head counts belong to rank 3", plain,
          [=](Call& c) { c.attributes.kv_num_heads = 2, c.opset = opset; });
  }
  value("there are 4 query heads and 3 key-value heads; the first must be a multiple of the second",
        plain, [](Call& c) {
          c.in.K = some({2, 3, 7, 6});
        });
  value("there are 4 query heads and 0 key-value heads; the first must be a multiple of the second",
        plain, [](Call& c) {
          c.in.K = some({2, 0, 7, 6});
        });
}

TEST(OnnxAttentionErrors, KeysAndValues) {
  const auto refuse = [](const std::string& sentence, const std::function<void(Call&)>& change) {
    expect_refusal<ShapeError>(sentence, plain, change);
  };
  refuse("K has 2 heads and V has 4; both need the same number", [](Call& c) {
    c.in.V = some({2, 4, 7, 3});
  });
  refuse("Q has 2 batches, K 3 and V 2; all three need the same number", [](Call& c) {
    c.in.K = some({3, 2, 7, 6});
  });
  refuse("Q has 2 batches, K 2 and V 1; all three need the same number", [](Call& c) {
    c.in.V = some({1, 2, 7, 3});
  });
  refuse("K has 7 tokens and V has 8; each key needs one value", [](Call& c) {
    c.in.V = some({2, 2, 8, 3});
  });
  refuse("a head of Q has 6 features and one of K has 5; both need the same", [](Call& c) {
    c.in.K = some({2, 2, 7, 5});
  });
}

TEST(OnnxAttentionErrors, Past) {
  expect_refusal<ValueError>("past_key is given without past_value; they come together", past,
                             [](Call& c) { c.in.past_value = {}; });
  expect_refusal<ValueError>("past_value is given without past_key; they come together", past,
                             [](Call& c) { c.in.past_key = {}; });
  static const std::vector<std::int64_t> lengths{3, 3};
  for (const Index opset : {23, 24, 25})
    expect_refusal<ValueError>(
        "nonpad_kv_seqlen and past_key are given together; a cache lies inside the operator or "
        "outside",
        past, [=](Call& c) {
          c.in.nonpad_kv_seqlen = {lengths.data(), {2}};
          c.opset = opset;
        });
  const std::string key_rule = ", [batch, key-value heads, tokens, features of K]";
  const auto key = [&](const std::string& sentence, std::vector<Index> shape) {
    expect_refusal<ShapeError>(sentence + key_rule, past,
                               [&](Call& c) { c.in.past_key = some(shape); });
  };
  key("past_key is [2, 2, 12] and must be [2, 2, 0, 6]", {2, 2, 12});
  key("past_key is [1, 2, 2, 6] and must be [2, 2, 2, 6]", {1, 2, 2, 6});
  key("past_key is [2, 4, 2, 6] and must be [2, 2, 2, 6]", {2, 4, 2, 6});
  key("past_key is [2, 2, 2, 5] and must be [2, 2, 2, 6]", {2, 2, 2, 5});
  for (const auto& shape : {std::vector<Index>{2, 2, 3, 3}, {2, 2, 2, 6}, {2, 2, 6}})
    expect_refusal<ShapeError>(
        "past_value is " + attn::onnx::binding::shape_text(shape) +
            " and must be [2, 2, 2, 3], [batch, key-value heads, tokens of past_key, features of "
            "V]",
        past, [&](Call& c) { c.in.past_value = some(shape); });
}

TEST(OnnxAttentionErrors, Lengths) {
  OnnxNode node = plain;
  node.opset = 24;
  node.lengths = {3, 8};
  expect_refusal<ValueError>(
      "nonpad_kv_seqlen of batch 1 is 8 and there are 7 keys; a length is 0 to that number", node,
      [](Call&) {});
  node.lengths = {-1, 2};
  expect_refusal<ValueError>(
      "nonpad_kv_seqlen of batch 0 is -1 and there are 7 keys; a length is 0 to that number", node,
      [](Call&) {});
  node.lengths = {3, 2};
  expect_refusal<ValueError>("nonpad_kv_seqlen is given in opset 23; it exists from opset 24 on",
                             node, [](Call& c) { c.opset = 23; });
  expect_refusal<ShapeError>("nonpad_kv_seqlen is [3] and must be [2], one length a batch", node,
                             [](Call& c) { c.in.nonpad_kv_seqlen = some<std::int64_t>({3}); });
  expect_refusal<ShapeError>("nonpad_kv_seqlen is [2, 1] and must be [2], one length a batch", node,
                             [](Call& c) {
                               c.in.nonpad_kv_seqlen = some<std::int64_t>({2, 1});
                             });
  expect_refusal<ShapeError>(
      "attn_mask covers 2 keys and nonpad_kv_seqlen of batch 0 is 3; a mask covers every key that "
      "is no padding",
      node, [](Call& c) { c.in.attn_mask = some({2}); });
}

TEST(OnnxAttentionErrors, Masks) {
  for (const auto& shape : {std::vector<Index>{8}, {4, 7}, {2, 5, 7}, {3, 4, 5, 7}, {2, 4, 6, 7}}) {
    const std::string sentence = "attn_mask is " + attn::onnx::binding::shape_text(shape) +
                                 " and must broadcast to [2, 4, 5, 7], [batch, query heads, "
                                 "queries, keys]";
    expect_refusal<ShapeError>(sentence, plain, [&](Call& c) { c.in.attn_mask = some(shape); });
    static const bool yes[1024] = {};
    expect_refusal<ShapeError>(sentence, plain,
                               [&](Call& c) { c.in.attn_mask = Tensor<const bool>(yes, shape); });
  }
}

TEST(OnnxAttentionErrors, Outputs) {
  const auto refuse = [](const std::string& sentence, const OnnxNode& node,
                         const std::function<void(Call&)>& change) {
    expect_refusal<ShapeError>(sentence, node, change);
  };
  const std::string rule = ", [batch, query heads, queries, features of V]";
  refuse("Y is missing; it must be [2, 4, 5, 3]" + rule, plain, [](Call& c) { c.out.Y = {}; });
  refuse("Y is [2, 5, 12] and must be [2, 4, 5, 3]" + rule, plain, [](Call& c) {
    c.out.Y = room({2, 5, 12});
  });
  refuse("Y is [2, 4, 5, 3] and must be [2, 5, 12], [batch, queries, query heads x features of V]",
         packed, [](Call& c) {
           c.out.Y = room({2, 4, 5, 3});
         });
  refuse(
      "present_key is [2, 2, 7, 6] and must be [2, 2, 9, 6], [batch, key-value heads, keys, "
      "features of K]",
      past, [](Call& c) {
        c.out.present_key = room({2, 2, 7, 6});
      });
  refuse(
      "present_value is [2, 4, 9, 3] and must be [2, 2, 9, 3], [batch, key-value heads, keys, "
      "features of V]",
      past, [](Call& c) {
        c.out.present_value = room({2, 4, 9, 3});
      });
  refuse(
      "qk_matmul_output is [2, 2, 5, 7] and must be [2, 4, 5, 7], [batch, query heads, queries, "
      "keys]",
      plain, [](Call& c) {
        c.out.qk_matmul_output = room({2, 2, 5, 7});
      });
}

TEST(OnnxAttentionErrors, PresentsFromOpset25On) {
  expect_refusal<ValueError>(
      "present_key is requested without present_value; from opset 25 on they come together", past,
      [](Call& c) { c.out.present_value = {}; });
  expect_refusal<ValueError>(
      "present_value is requested without present_key; from opset 25 on they come together", plain,
      [](Call& c) { c.out.present_key = {}; });
  static const std::vector<std::int64_t> lengths{3, 3};
  expect_refusal<ValueError>(
      "present_key is requested and nonpad_kv_seqlen is given; from opset 25 on a cache outside "
      "the operator has no presents",
      plain, [](Call& c) {
        c.in.nonpad_kv_seqlen = {lengths.data(), {2}};
      });
}

TEST(OnnxAttentionErrors, Memory) {
  const std::string rule = " in memory; results need memory of their own";
  OnnxNode square = make_node({.Hq = 2, .Hk = 2, .Sq = 7, .Dv = 6});
  const auto overlap = [&](const std::string& what, const OnnxNode& node,
                           const std::function<void(Call&)>& change) {
    Call call(node);
    call.ask_presents(node);
    call.ask_scores(node, 0);
    change(call);
    expect_error<ValueError>("attention: " + what + rule, [&] { call.run(); });
    EXPECT_EQ(call.Q.numbers, node.Q.numbers);
    EXPECT_EQ(call.K.numbers, node.K.numbers);
  };
  overlap("Y overlaps Q", square, [](Call& c) { c.out.Y = c.Q.tensor(); });
  overlap("Y overlaps V", square, [](Call& c) { c.out.Y = c.V.tensor(); });
  overlap("present_key overlaps V", square, [](Call& c) { c.out.present_key = c.V.tensor(); });
  overlap("present_value overlaps Y", square, [](Call& c) { c.out.present_value = c.Y.tensor(); });
  overlap("present_value overlaps present_key", square,
          [](Call& c) { c.out.present_value = c.present_key.tensor(); });
  OnnxNode masked = square;
  masked.mask = Array4({2, 2, 7, 7}, 0);
  overlap("qk_matmul_output overlaps attn_mask", masked,
          [](Call& c) { c.out.qk_matmul_output = c.bias.tensor(); });
  // A past that begins where the present does, but with other strides: it would be overwritten.
  const OnnxNode cached = make_node({.P = 2});
  overlap("present_key overlaps past_key", cached, [](Call& c) {
    c.in.past_key = Tensor<const double>(c.present_key.numbers.data(), {2, 2, 2, 6});
  });
}

TEST(OnnxFlexAttentionErrors, AreTheOperatorsOwn) {
  using In = attn::onnx::FlexAttentionInputs<double>;
  using Attributes = attn::onnx::FlexAttentionAttributes;
  const In good{.Q = some({2, 4, 5, 6}), .K = some({2, 2, 7, 6}), .V = some({2, 2, 7, 3})};
  const auto refuse = [&](auto error, const std::string& sentence, const In& in,
                          const Attributes& attributes = {},
                          Tensor<double> y = room({2, 4, 5, 3})) {
    if (y.is_given()) y.data[0] = 7;
    expect_error<decltype(error)>("flex_attention: " + sentence,
                                  [&] { attn::onnx::flex_attention<double>({y}, in, attributes); });
    if (y.is_given()) {
      EXPECT_EQ(y.data[0], 7);
    }
  };
  const ShapeError shape("");
  const ValueError value("");
  const std::string rank = "; it must be 4, [batch, heads, tokens, features]";
  refuse(shape, "Q has rank 3" + rank, {some({2, 5, 24}), good.K, good.V});
  refuse(shape, "K has rank 0" + rank, {good.Q, {}, good.V});
  refuse(shape, "V has rank 3" + rank, {good.Q, good.K, some({2, 7, 6})});
  refuse(
      value,
      "there are 4 query heads and 3 key-value heads; the first must be a multiple of the second",
      {good.Q, some({2, 3, 7, 6}), good.V});
  refuse(shape, "K is [1, 2, 7, 6] and must be [2, 2, 7, 6], with Q's batches and features",
         {good.Q, some({1, 2, 7, 6}), good.V});
  refuse(shape, "K is [2, 2, 7, 5] and must be [2, 2, 7, 6], with Q's batches and features",
         {good.Q, some({2, 2, 7, 5}), good.V});
  refuse(shape, "V is [2, 2, 8, 3] and must be [2, 2, 7, 3], with K's batches, heads and tokens",
         {good.Q, good.K, some({2, 2, 8, 3})});
  refuse(shape, "V is [2, 4, 7, 3] and must be [2, 2, 7, 3], with K's batches, heads and tokens",
         {good.Q, good.K, some({2, 4, 7, 3})});
  refuse(value, "scale is -0.5; it must be 0 or more, and finite", good, {.scale = -0.5f});
  refuse(value,
         "softmax_precision is 2; it must be 1 (float), 10 (float16), 11 (double) or 16 (bfloat16)",
         good, {.softmax_precision = 2});
  refuse(shape,
         "Y is [2, 4, 5, 6] and must be [2, 4, 5, 3], [batch, query heads, queries, "
         "features of V]",
         good, {}, room({2, 4, 5, 6}));
  refuse(shape,
         "Y is missing; it must be [2, 4, 5, 3], [batch, query heads, queries, features of "
         "V]",
         good, {}, {});
  const Tensor<double> shared = room({2, 4, 5, 3});
  refuse(value, "Y overlaps Q in memory; results need memory of their own",
         {Tensor<const double>(shared.data, {2, 4, 5, 6}), good.K, good.V}, {}, shared);
}

TEST(OnnxAttentionErrors, RefusesAnExecutorBeforeThePresentsAreWritten) {
  const std::vector<float> x(4, 1);
  std::vector<float> Y(4, 7), key(4, 7), value(4, 7);
  const std::initializer_list<Index> shape{1, 1, 2, 2};
  expect_error<ValueError>("attention: Threads is -1; it must be 0 or more", [&] {
    attn::onnx::attention<float>(
        {.Y = {Y.data(), shape},
         .present_key = {key.data(), shape},
         .present_value = {value.data(), shape}},
        {.Q = {x.data(), shape}, .K = {x.data(), shape}, .V = {x.data(), shape}}, {}, 25,
        attn::Threads{-1});
  });
  EXPECT_EQ(key, std::vector<float>(4, 7));
  EXPECT_EQ(value, std::vector<float>(4, 7));
}

}  // namespace
