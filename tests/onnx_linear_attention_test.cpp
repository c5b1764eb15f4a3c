// SPDX-License-Identifier: Apache-2.0
// attn::onnx::linear_attention against the recurrence of its definition, and its refusals.
#include <gtest/gtest.h>

#include <array>
#include <attn/onnx.hpp>
#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "support/random.hpp"

namespace {

using attn::Index;
using attn::ShapeError;
using attn::ValueError;
using attn::onnx::LinearAttentionAttributes;
using attn::onnx::LinearAttentionInputs;
using attn::onnx::LinearAttentionOutputs;
using attn::onnx::Tensor;

using Numbers = std::vector<double>;

/// Numbers that T holds exactly.
template <class T>
std::vector<T> numbers(Index count, std::uint64_t seed, double factor = 1, double offset = 0) {
  const auto random = support::random_vector(count, seed);
  std::vector<T> result;
  for (Index k = 0; k < count; ++k) result.push_back(static_cast<T>(factor * random(k) + offset));
  return result;
}

/// A node with its memory. Widths of decay and beta as they are handed over, 0 where absent.
template <class T, class S = T>
struct Node {
  std::string rule;
  Index B = 2, n = 5, Hq = 4, Hk = 2, dk = 3, dv = 4;
  Index decay_width = 0, beta_width = 0;
  float scale = 0;
  std::vector<T> query, key, value, decay, beta, output;
  std::vector<S> past, present;

  explicit Node(std::string update_rule, bool wide = true) : rule(std::move(update_rule)) {
    if (rule.find("gated") != std::string::npos) decay_width = wide ? Hk * dk : Hk;
    if (rule.find("delta") != std::string::npos) beta_width = wide ? Hk : 1;
    fill();
  }
  void fill() {
    query = numbers<T>(B * n * Hq * dk, 1);
    key = numbers<T>(B * n * Hk * dk, 2, 0.5);
    value = numbers<T>(B * n * Hk * dv, 3);
    past = numbers<S>(B * Hk * dk * dv, 4);
    decay = numbers<T>(B * n * decay_width, 5, 0.5, -0.5);
    beta = numbers<T>(B * n * beta_width, 6, 0.5, 0.5);
    output.assign(std::size_t(B * n * Hq * dv), T(7));
    present.assign(past.size(), S(7));
  }
  LinearAttentionInputs<T, S> inputs() const {
    LinearAttentionInputs<T, S> in{.query = {query.data(), {B, n, Hq * dk}},
                                   .key = {key.data(), {B, n, Hk * dk}},
                                   .value = {value.data(), {B, n, Hk * dv}},
                                   .past_state = {past.data(), {B, Hk, dk, dv}}};
    if (decay_width > 0) in.decay = {decay.data(), {B, n, decay_width}};
    if (beta_width > 0) in.beta = {beta.data(), {B, n, beta_width}};
    return in;
  }
  LinearAttentionOutputs<T, S> outputs() {
    return {.output = {output.data(), {B, n, Hq * dv}},
            .present_state = {present.data(), {B, Hk, dk, dv}}};
  }
  LinearAttentionAttributes attributes() const {
    return {.update_rule = rule, .q_num_heads = Hq, .kv_num_heads = Hk, .scale = scale};
  }
};

/// The definition, token by token: {output, state behind the last token}.
template <class T, class S>
std::array<Numbers, 2> defined(const Node<T, S>& x, bool has_past = true) {
  Numbers output(x.output.size()), all_states;
  const double scale = x.scale == 0 ? 1 / std::sqrt(double(x.dk)) : double(x.scale);
  for (Index b = 0; b < x.B; ++b)
    for (Index c = 0; c < x.Hk; ++c) {
      const std::size_t size = std::size_t(x.dk * x.dv);
      Numbers s(size);
      for (std::size_t k = 0; k < size; ++k)
        s[k] = has_past ? double(x.past[std::size_t(b * x.Hk + c) * size + k]) : 0;
      for (Index t = 0; t < x.n; ++t) {
        const auto number = [&](const std::vector<T>& from, Index width, Index column) {
          return double(from[std::size_t((b * x.n + t) * width + column)]);
        };
        for (Index i = 0; i < x.dk && x.decay_width > 0; ++i)
          for (Index f = 0; f < x.dv; ++f)
            s[std::size_t(i * x.dv + f)] *=
                std::exp(number(x.decay, x.decay_width, x.decay_width == x.Hk ? c : c * x.dk + i));
        for (Index f = 0; f < x.dv; ++f) {
          double w = number(x.value, x.Hk * x.dv, c * x.dv + f), read = 0;
          for (Index i = 0; i < x.dk; ++i)
            read += s[std::size_t(i * x.dv + f)] * number(x.key, x.Hk * x.dk, c * x.dk + i);
          if (x.beta_width > 0)
            w = number(x.beta, x.beta_width, x.beta_width == 1 ? 0 : c) * (w - read);
          for (Index i = 0; i < x.dk; ++i)
            s[std::size_t(i * x.dv + f)] += number(x.key, x.Hk * x.dk, c * x.dk + i) * w;
        }
        const Index group = x.Hq / x.Hk;
        for (Index h = c * group; h < (c + 1) * group; ++h)
          for (Index f = 0; f < x.dv; ++f) {
            double sum = 0;
            for (Index i = 0; i < x.dk; ++i)
              sum += s[std::size_t(i * x.dv + f)] * number(x.query, x.Hq * x.dk, h * x.dk + i);
            output[std::size_t((b * x.n + t) * x.Hq * x.dv + h * x.dv + f)] = scale * sum;
          }
      }
      all_states.insert(all_states.end(), s.begin(), s.end());
    }
  return {output, all_states};
}

template <class T>
void expect_near(const std::vector<T>& got, const Numbers& expected, double bound) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t k = 0; k < got.size(); ++k) {
    const double error = std::abs(double(got[k]) - expected[k]);
    ASSERT_TRUE(error <= bound * (1 + std::abs(expected[k])))
        << k << ": " << double(got[k]) << " and should be " << expected[k];
  }
}

template <class T, class S, class... Parts>
void run(Node<T, S>& node, const Parts&... parts) {
  attn::onnx::linear_attention(node.outputs(), node.inputs(), node.attributes(), parts...);
}

TEST(OnnxLinearAttention, FollowsTheFourRules) {
  for (const char* rule : {"linear", "gated", "delta", "gated_delta"})
    for (const bool wide : {true, false}) {
      Node<float> node(rule, wide);
      run(node);
      const auto [output, state] = defined(node);
      expect_near(node.output, output, 2e-6);
      expect_near(node.present, state, 2e-6);
    }
}

TEST(OnnxLinearAttention, TakesAScale) {
  Node<float> node("gated_delta");
  node.scale = 0.25f;
  run(node);
  expect_near(node.output, defined(node)[0], 2e-6);
}

TEST(OnnxLinearAttention, StartsFromZerosWithoutAPast) {
  Node<float> node("delta");
  auto in = node.inputs();
  in.past_state = {};
  attn::onnx::linear_attention(node.outputs(), in, node.attributes());
  const auto [output, state] = defined(node, false);
  expect_near(node.output, output, 2e-6);
  expect_near(node.present, state, 2e-6);
}

TEST(OnnxLinearAttention, MayLeaveThePresentOut) {
  Node<float> node("linear");
  auto out = node.outputs();
  out.present_state = {};
  attn::onnx::linear_attention(out, node.inputs(), node.attributes());
  expect_near(node.output, defined(node)[0], 2e-6);
  EXPECT_EQ(node.present[0], 7);
}

TEST(OnnxLinearAttention, UpdatesAStateInPlace) {
  Node<float> node("gated");
  const auto [output, state] = defined(node);
  auto out = node.outputs();
  out.present_state = {node.past.data(), {2, 2, 3, 4}};
  attn::onnx::linear_attention(out, node.inputs(), node.attributes());
  expect_near(node.output, output, 2e-6);
  expect_near(node.past, state, 2e-6);
}

TEST(OnnxLinearAttention, TakesOneFeatureOneHeadAndNoToken) {
  Node<float> node("gated_delta");
  node.Hq = node.Hk = node.dk = node.decay_width = node.beta_width = 1;
  node.fill();
  run(node);
  expect_near(node.output, defined(node)[0], 2e-6);
  node.n = 0;
  node.fill();
  run(node);
  EXPECT_EQ(node.present, node.past);
}

TEST(OnnxLinearAttention, GivesTheSameForEveryChunkSize) {
  Node<float> node("gated_delta");
  node.n = 150;
  node.fill();
  const auto [output, state] = defined(node);
  for (const Index chunk : {1, 16, 64, 1000}) {
    auto attributes = node.attributes();
    attributes.chunk_size = chunk;
    attn::onnx::linear_attention(node.outputs(), node.inputs(), attributes, attn::Threads{2});
    expect_near(node.output, output, 2e-5);
    expect_near(node.present, state, 2e-5);
  }
}

TEST(OnnxLinearAttention, StoresTokensAndStatesInTypesOfTheirOwn) {
  Node<Eigen::half, float> node("gated_delta");
  run(node);
  const auto [output, state] = defined(node);
  expect_near(node.output, output, 5e-4);
  expect_near(node.present, state, 2e-6);  // not rounded to half
  Node<float, Eigen::bfloat16> other("gated");
  run(other);
  expect_near(other.output, defined(other)[0], 2e-6);
  expect_near(other.present, defined(other)[1], 4e-3);
}

template <class Error>
void expect_refusal(
    const std::string& sentence, const char* rule,
    const std::function<void(LinearAttentionOutputs<float>&, LinearAttentionInputs<float>&,
                             LinearAttentionAttributes&)>& change) {
  Node<float> node(rule);
  auto out = node.outputs();
  auto in = node.inputs();
  auto attributes = node.attributes();
  change(out, in, attributes);
  try {
    attn::onnx::linear_attention(out, in, attributes);
    FAIL() << "no error where this was expected: " << sentence;
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "attn::" + sentence);
  } catch (const std::exception& other) {
    FAIL() << "another kind of error: " << other.what();
  }
  EXPECT_EQ(node.output, std::vector<float>(node.output.size(), 7.f));
  EXPECT_EQ(node.present, std::vector<float>(node.present.size(), 7.f));
}

Tensor<const float> some(std::vector<Index> sizes) {
  static const std::vector<float> ones(1024, 1.f);
  return {ones.data(), sizes};
}

TEST(OnnxLinearAttentionErrors, RulesAndTheirInputs) {
  const auto refuse = [](const char* rule, const std::string& sentence, const auto& change) {
    expect_refusal<ValueError>("onnx::linear_attention: " + sentence, rule,
                               [&](auto&, auto& in, auto& attributes) { change(in, attributes); });
  };
  refuse("linear", "update_rule is \"retnet\"; it must be linear, gated, delta or gated_delta",
         [](auto&, auto& a) { a.update_rule = "retnet"; });
  for (const char* rule : {"gated", "gated_delta"})
    refuse(rule, std::string("decay is missing and update_rule is ") + rule + ", which needs it",
           [](auto& in, auto&) { in.decay = {}; });
  for (const char* rule : {"delta", "gated_delta"})
    refuse(rule, std::string("beta is missing and update_rule is ") + rule + ", which needs it",
           [](auto& in, auto&) { in.beta = {}; });
  for (const char* rule : {"linear", "delta"})
    refuse(rule, std::string("decay is given and update_rule is ") + rule + ", which takes none",
           [](auto& in, auto&) {
             in.decay = some({2, 5, 2});
           });
  for (const char* rule : {"linear", "gated"})
    refuse(rule, std::string("beta is given and update_rule is ") + rule + ", which takes none",
           [](auto& in, auto&) {
             in.beta = some({2, 5, 2});
           });
}

TEST(OnnxLinearAttentionErrors, HeadCounts) {
  const auto value = [](const std::string& sentence, const auto& change) {
    expect_refusal<ValueError>("onnx::linear_attention: " + sentence, "linear",
                               [&](auto&, auto&, auto& attributes) { change(attributes); });
  };
  value("q_num_heads is not given; both head counts are needed",
        [](auto& a) { a.q_num_heads.reset(); });
  value("kv_num_heads is not given; both head counts are needed",
        [](auto& a) { a.kv_num_heads.reset(); });
  value("q_num_heads is 0; it must be 1 or more", [](auto& a) { a.q_num_heads = 0; });
  value("there are 3 query heads and 2 key-value heads; the first must be a multiple of the second",
        [](auto& a) { a.q_num_heads = 3; });
  expect_refusal<ShapeError>(
      "onnx::linear_attention: query is 12 wide, which cannot be split into 5 heads; q_num_heads "
      "must divide the width",
      "linear", [](auto&, auto&, auto& a) { a.q_num_heads = 5; });
  expect_refusal<ShapeError>(
      "onnx::linear_attention: value is 9 wide, which cannot be split into 2 heads; kv_num_heads "
      "must divide the width",
      "linear", [](auto&, auto& in, auto&) {
        in.value = some({2, 5, 9});
      });
}

TEST(OnnxLinearAttentionErrors, Shapes) {
  const auto refuse = [](const std::string& sentence, const auto& change) {
    expect_refusal<ShapeError>("onnx::linear_attention: " + sentence, "gated_delta",
                               [&](auto& out, auto& in, auto&) { change(out, in); });
  };
  const std::string rank = "; it must be 3, [batch, tokens, heads x features]";
  refuse("query has rank 4" + rank, [](auto&, auto& in) { in.query = some({2, 4, 5, 3}); });
  refuse("key has rank 0" + rank, [](auto&, auto& in) { in.key = {}; });
  refuse("value has rank 2" + rank, [](auto&, auto& in) { in.value = some({5, 8}); });
  const std::string key = ", [batch, tokens, key-value heads x features of query]";
  refuse("key is [2, 5, 8] and must be [2, 5, 6]" + key, [](auto&, auto& in) {
    in.key = some({2, 5, 8});
  });
  refuse("key is [1, 5, 6] and must be [2, 5, 6]" + key, [](auto&, auto& in) {
    in.key = some({1, 5, 6});
  });
  refuse("value is [2, 6, 8] and must be [2, 5, 8], [batch, tokens, key-value heads x features]",
         [](auto&, auto& in) {
           in.value = some({2, 6, 8});
         });
  for (const Index wrong : {1, 3, 12})
    refuse("decay is [2, 5, " + std::to_string(wrong) +
               "] and must be [2, 5, 6], [batch, tokens, key-value heads x features of key], or "
               "one number a head",
           [=](auto&, auto& in) {
             in.decay = some({2, 5, wrong});
           });
  refuse(
      "beta is [2, 5, 4] and must be [2, 5, 2], [batch, tokens, key-value heads], or one number "
      "for all heads",
      [](auto&, auto& in) {
        in.beta = some({2, 5, 4});
      });
  const std::string state =
      " and must be [2, 2, 3, 4], [batch, key-value heads, features of key, "
      "features of value]";
  refuse("past_state is [2, 6, 4]" + state, [](auto&, auto& in) {
    in.past_state = some({2, 6, 4});
  });
  refuse("past_state is [2, 2, 4, 3]" + state, [](auto&, auto& in) {
    in.past_state = some({2, 2, 4, 3});
  });
  static std::vector<float> room(1024);
  refuse("present_state is [2, 4, 3, 4]" + state, [](auto& out, auto&) {
    out.present_state = {room.data(), {2, 4, 3, 4}};
  });
  const std::string output =
      " and must be [2, 5, 16], [batch, tokens, query heads x features of "
      "value]";
  refuse("output is [2, 5, 8]" + output, [](auto& out, auto&) {
    out.output = {room.data(), {2, 5, 8}};
  });
  refuse("output is missing; it must be" + output.substr(12),
         [](auto& out, auto&) { out.output = {}; });
}

// Said by attn::LinearAttention itself.
TEST(OnnxLinearAttentionErrors, ScaleChunksAndMemory) {
  expect_refusal<ValueError>(
      "LinearAttention: chunk_size is 0; it is a number of tokens, 1 or more", "linear",
      [](auto&, auto&, auto& a) { a.chunk_size = 0; });
  expect_refusal<ValueError>(
      "LinearAttention: scale is inf; it must be finite, 0 for 1/sqrt(d_k)", "linear",
      [](auto&, auto&, auto& a) { a.scale = std::numeric_limits<float>::infinity(); });
  expect_refusal<ValueError>(
      "LinearAttention: O overlaps Q in memory; results need memory of their own", "linear",
      [](auto& out, auto& in, auto&) {
        in.query = {out.output.data, {2, 5, 12}};
      });
}

}  // namespace
