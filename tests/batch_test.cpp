// SPDX-License-Identifier: Apache-2.0
// A batch is a loop over its batches and key-value heads, bit for bit: every kind of part, forward
// and backward, in any layout.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <tuple>
#include <vector>

#include "support/batch.hpp"
#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using attn::TensorView;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Array;
using support::heads_of;
using support::Layout;
using support::stacked;

constexpr Index batches = 3, query_heads = 4, key_heads = 2, group = 2, d = 5, d_v = 3;

/// Inputs and results of one call.
template <class T>
struct Call {
  using A = attn::Accumulator<T>;
  Array<T> q, k, v, d_output, o, p, dq, dk, dv;
  Array<A> l;

  Call(Layout layout, Index n_q, Index n_k)
      : q(layout, {batches, query_heads, n_q, d}, 1),
        k(layout, {batches, key_heads, n_k, d}, 2),
        v(layout, {batches, key_heads, n_k, d_v}, 3),
        d_output(layout, {batches, query_heads, n_q, d_v}, 4),
        o(layout, {batches, query_heads, n_q, d_v}),
        p(layout, {batches, query_heads, n_q, n_k}),
        dq(layout, {batches, query_heads, n_q, d}),
        dk(layout, {batches, key_heads, n_k, d}),
        dv(layout, {batches, key_heads, n_k, d_v}),
        l(layout, {batches, query_heads, n_q, 1}) {}
};

/// All results of a call on views, `cut(array, is_of_queries)` being what it sees of an array.
template <class T, class Cut, class Parts>
auto run(Call<T>& c, Cut cut, const Parts& parts) {
  const auto q = cut(c.q, true), d_output = cut(c.d_output, true), o = cut(c.o, true);
  const auto k = cut(c.k, false), v = cut(c.v, false);
  const auto l = cut(c.l, true);
  return std::apply(
      [&](const auto&... part) {
        attn::attention_weights_into(cut(c.p, true), q, k, part...);
        attn::attention_forward_into(o, l, q, k, v, part...);
        return attn::attention_backward_into(cut(c.dq, true), cut(c.dk, false), cut(c.dv, false), q,
                                             k, v, o, l, d_output, part...);
      },
      parts);
}

template <class T>
testing::AssertionResult same_results(const Call<T>& a, const Call<T>& b) {
  const auto same = [](const char* name, const auto& x, const auto& y) {
    testing::AssertionResult result = support::same_bits(stacked(x.view()), stacked(y.view()));
    return result ? result : result << " in " << name;
  };
  testing::AssertionResult result = same("O", a.o, b.o);
  if (result) result = same("L", a.l, b.l);
  if (result) result = same("P", a.p, b.p);
  if (result) result = same("dQ", a.dq, b.dq);
  if (result) result = same("dK", a.dk, b.dk);
  if (result) result = same("dV", a.dv, b.dv);
  return result;
}

struct Shape {
  Layout layout = Layout::bhtd;
  Index n_q = 70;
  Index n_k = 150;
};

constexpr auto no_parameters = [](const auto&, const auto&, Index, Index) {};

/// parts_of(b, h) are the parts for batch b whose first query head is h; `whole` those of all.
/// compare(gradients of the whole, gradients of the part, b, h) looks at those of parameters.
template <class T = double, class Whole, class PartsOf, class Compare = decltype(no_parameters)>
void expect_a_loop(const Shape& s, const Whole& whole, PartsOf parts_of,
                   Compare compare = no_parameters) {
  Call<T> all(s.layout, s.n_q, s.n_k), each(s.layout, s.n_q, s.n_k);
  const auto of_whole = run(
      all, [](auto& array, bool) { return array.view(); }, whole);
  for (Index b = 0; b < batches; ++b)
    for (Index c = 0; c < key_heads; ++c) {
      const auto of_part = run(
          each,
          [&](auto& array, bool is_of_queries) {
            return is_of_queries ? heads_of(array.view(), b, c * group, group)
                                 : heads_of(array.view(), b, c, 1);
          },
          parts_of(b, c * group));
      compare(of_whole, of_part, b, c * group);
    }
  EXPECT_TRUE(s.n_q * s.n_k == 0 || stacked(all.dv.view()).cwiseAbs().maxCoeff() > T(0));
  EXPECT_TRUE(same_results(all, each))
      << "n_q " << s.n_q << ", n_k " << s.n_k << ", layout " << int(s.layout);
}

const std::vector<Shape> shapes{
    {},                           // tiles
    {.layout = Layout::bthd},     //
    {.layout = Layout::strided},  //
    {.n_q = 2, .n_k = 3},         // plain loops, where no part forbids them
    {Layout::strided, 3, 40},     // decoding
    {Layout::bthd, 1, 1100},      // in two chunks
    {.n_q = 0, .n_k = 4},         //
    {.n_q = 4, .n_k = 0},         //
};

/// A forward call for each query head.
template <class T>
void expect_a_loop_over_query_heads(const Shape& s) {
  Call<T> all(s.layout, s.n_q, s.n_k), each(s.layout, s.n_q, s.n_k);
  attn::attention_forward_into(all.o.view(), all.l.view(), all.q.view(), all.k.view(),
                               all.v.view());
  for (Index b = 0; b < batches; ++b)
    for (Index h = 0; h < query_heads; ++h) {
      const auto of = [&](auto& array, Index head) { return heads_of(array.view(), b, head, 1); };
      attn::attention_forward_into(of(each.o, h), of(each.l, h), of(each.q, h),
                                   of(each.k, h / group), of(each.v, h / group));
    }
  EXPECT_TRUE(same_results(all, each)) << "n_q " << s.n_q << ", n_k " << s.n_k;
}

template <class T>
void expect_plain_loop() {
  for (const Shape& s : shapes) {
    expect_a_loop<T>(s, std::tuple(), [](Index, Index) { return std::tuple(); });
    expect_a_loop_over_query_heads<T>(s);
  }
}

TEST(Batch, IsALoopInFloatAndDouble) {
  expect_plain_loop<float>();
  expect_plain_loop<double>();
}

TEST(Batch, IsALoopOverManyKeys) {
  // Backward cuts them into ranges and decoding into chunks, whatever the number of heads.
  expect_a_loop<float>({.n_q = 70, .n_k = 2500}, std::tuple(attn::DotProduct{}),
                       [](Index, Index) { return std::tuple(attn::DotProduct{}); });
  expect_a_loop_over_query_heads<float>({.n_q = 1, .n_k = 50000});
}

TEST(Batch, IsALoopInStorageOf16Bits) {
  expect_plain_loop<Eigen::half>();
  expect_plain_loop<Eigen::bfloat16>();
}

TEST(Batch, IsALoopOverLengthsSlopesAndSinks) {
  const std::vector<Index> lengths{2, 0, 41};
  const VectorXd slopes{{0.1, 0.2, 0.3, 0.4}}, logits{{-1, 0, 1, 2}};
  const auto parts = [](const attn::KeyPadding& padding, const VectorXd& slope,
                        const VectorXd& logit) {
    return std::tuple(padding & attn::Causal::bottom_right(), attn::Alibi::bottom_right(slope),
                      attn::SoftmaxWithSink{logit});
  };
  for (const Shape& s : shapes)
    expect_a_loop(s, parts(attn::KeyPadding{lengths}, slopes, logits), [&](Index b, Index h) {
      return parts(attn::KeyPadding{lengths[std::size_t(b)]}, slopes.segment(h, group),
                   logits.segment(h, group));
    });
}

/// The pattern of a dropout in batch b from head h on.
struct DropoutFrom {
  using role = attn::role::prob_mod;
  static constexpr bool is_linear = true;
  attn::Dropout dropout;
  Index batch, head;

  template <class S, class At>
  S apply(const S& weight, At at, attn::Extent e) const {
    at.batch += batch;
    at.head += head;
    return dropout.apply(weight, at, e);
  }
  template <class A>
  using Gradient = attn::NoGradient;
  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, attn::Extent e, G&) const {
    return apply(d_out, at, e);
  }
};

TEST(Batch, IsALoopOverDropoutOfAChunk) {
  const attn::Dropout dropout{.p = 0.3, .seed = 11};
  const attn::PositionOffset offset{.query = 5, .key = 2};
  const attn::Bilinear W{support::random(d, d, 6)};
  for (const Shape& s : shapes)
    expect_a_loop(s, std::tuple(dropout, offset, W, attn::Softcap{2}), [&](Index b, Index h) {
      return std::tuple(DropoutFrom{dropout, b, h}, offset, W, attn::Softcap{2});
    });
}

TEST(Batch, IsALoopOverBiasesAndMasksOfItsHeads) {
  for (const Shape& s : {shapes[0], shapes[2], shapes[4]}) {
    const support::Sizes n{batches, query_heads, s.n_q, s.n_k};
    const Array<double> bias(s.layout, n, 8);
    Array<bool> mask(s.layout, n);
    Index next = 0;
    mask.for_each([&](bool& sees) { sees = (next++ * 7) % 3 != 0; });
    const auto parts = [](const TensorView<const double>& B, const TensorView<const bool>& M) {
      return std::tuple(attn::DenseBias{B}, attn::DenseMask{M});
    };
    expect_a_loop(
        s, parts(bias.view(), mask.view()),
        [&](Index b, Index h) {
          return parts(heads_of(bias.view(), b, h, group), heads_of(mask.view(), b, h, group));
        },
        [](const auto& of_whole, const auto& of_part, Index b, Index h) {
          const auto whole = of_whole.template of<attn::DenseBias>().view();
          const auto part = of_part.template of<attn::DenseBias>().view();
          EXPECT_TRUE(support::same_bits(stacked(heads_of(whole, b, h, group)), stacked(part)))
              << "gradient of the bias, batch " << b << ", head " << h;
        });
  }
}

TEST(Batch, IsALoopOverABlockMaskOfItsHeads) {
  const auto blocks = [](Index b, Index h, Index n, Index heads, const Shape& s) {
    return attn::BlockMask(
        attn::mask_mod([=](attn::Position at) {
          return (at.query / 20 + at.key / 30 + at.batch + b + 2 * (at.head + h)) % 3 != 0;
        }),
        {.n_q = s.n_q, .n_k = s.n_k, .batches = n, .heads = heads, .block = 16, .key_block = 24});
  };
  for (const Shape& s : {shapes[0], shapes[1], shapes[4]})
    expect_a_loop(s, std::tuple(blocks(0, 0, batches, query_heads, s)),
                  [&](Index b, Index h) { return std::tuple(blocks(b, h, 1, group, s)); });
}

TEST(Batch, IsALoopOverUsersFunctions) {
  const auto parts = [](Index b, Index h) {
    return std::tuple(
        attn::score_mod([=](auto s, attn::Position at) {
          return s * double(1 + at.head + h) + 0.01 * double((at.batch + b) * at.query - at.key);
        }),
        attn::mask_mod(
            [=](attn::Position at) { return (at.query + at.key + at.batch + b) % 4 != 0; }),
        attn::prob_mod([=](auto p, attn::Position at) { return p * p * double(2 + at.head + h); }),
        attn::Entmax15{});
  };
  for (const Shape& s : {shapes[0], shapes[2], shapes[4]}) expect_a_loop(s, parts(0, 0), parts);
}

TEST(Batch, IsALoopOverTablesOfHeads) {
  const MatrixXd table = support::random(8, query_heads, 3);
  const auto parts = [](const MatrixXd& columns) {
    return std::tuple(attn::RelativePositionBias{columns}, attn::Sigmoid{.bias = -1},
                      attn::CosineSimilarity{.scale = 3},
                      attn::SlidingWindow{30, 8} | attn::PrefixLm{3});
  };
  for (const Shape& s : {shapes[0], shapes[1], shapes[4]})
    expect_a_loop(s, parts(table),
                  [&](Index, Index h) { return parts(table.middleCols(h, group)); });
}

TEST(Batch, IsALoopOverAdditiveScoresOfDocuments) {
  for (const Shape& s : {shapes[0], shapes[2], shapes[4]}) {
    std::vector<Index> queries(std::size_t(s.n_q)), keys(std::size_t(s.n_k));
    for (std::size_t i = 0; i < queries.size(); ++i) queries[i] = Index(i / 20);
    for (std::size_t j = 0; j < keys.size(); ++j) keys[j] = Index(j / 30);
    const std::tuple parts(attn::Additive{support::random(d, 4, 1), support::random(d, 4, 2),
                                          support::random_vector(4, 3)},
                           attn::Documents{queries, keys}, attn::Sparsemax{});
    expect_a_loop(s, parts, [&](Index, Index) { return parts; });
  }
}

TEST(Batch, GoesThroughTheMembersOfAMechanism) {
  const attn::Attention mechanism{attn::KeyPadding{{2, 0, 7}}, attn::Softcap{2}};
  Call<double> by_functions(Layout::bthd, 6, 9), by_members(Layout::bthd, 6, 9);
  Call<double>& c = by_members;
  const auto gradients = run(
      by_functions, [](auto& array, bool) { return array.view(); },
      std::tuple(attn::KeyPadding{{2, 0, 7}}, attn::Softcap{2}));
  attn::Workspace workspace;
  mechanism.forward_into(c.o.view(), c.l.view(), c.q.view(), c.k.view(), c.v.view(), workspace);
  mechanism.weights_into(c.p.view(), c.q.view(), c.k.view(), workspace);
  const auto of_members =
      mechanism.backward_into(c.dq.view(), c.dk.view(), c.dv.view(), c.q.view(), c.k.view(),
                              c.v.view(), c.o.view(), c.l.view(), c.d_output.view(), workspace);
  EXPECT_TRUE(same_results(by_functions, by_members));
  EXPECT_EQ(gradients.of<attn::Softcap>().cap, of_members.of<attn::Softcap>().cap);
  Array<double> o(Layout::bhtd, {batches, query_heads, 6, d_v}), p(Layout::bhtd, {3, 4, 6, 9});
  mechanism.with_weights_into(o.view(), p.view(), c.q.view(), c.k.view(), c.v.view());
  EXPECT_TRUE(support::same_bits(stacked(p.view()), stacked(c.p.view())));
  EXPECT_TRUE(support::near(stacked(o.view()), stacked(c.o.view()), 1e-15));
}

TEST(BatchWeights, AreRefusedWhereTheViewIsNothingOrDoesNotFit) {
  Call<double> c(Layout::bhtd, 6, 9);
  using support::expect_error;
  expect_error<attn::ShapeError>(
      "attn::attention_weights_into: P is a view of nothing; it must have the shape of the "
      "result",
      [&] { attn::attention_weights_into(TensorView<double>(), c.q.view(), c.k.view()); });
  expect_error<attn::ShapeError>(
      "attn::attention_weights_into: P is 6 x 12 and must be 6 x 36; a result is never resized",
      [&] { attn::attention_weights_into(c.o.view(), c.q.view(), c.k.view()); });
  expect_error<attn::ShapeError>(
      "attn::attention_with_weights_into: O is a view of nothing; it must have the shape of the "
      "result",
      [&] {
        attn::attention_with_weights_into(TensorView<double>(), c.p.view(), c.q.view(), c.k.view(),
                                          c.v.view());
      });
}

TEST(BatchResults, AreRefusedWhereTheyShareMemory) {
  Call<double> c(Layout::bhtd, 9, 9);
  const auto expect_overlap = [](const std::string& sentence, auto call) {
    support::expect_error<attn::ValueError>(
        sentence + " in memory; results need memory of their own", call);
  };
  const auto before = stacked(c.p.view());
  TensorView<double> within = c.p.view();
  within.shape[3] = d_v;
  expect_overlap("attn::attention_with_weights_into: P overlaps O", [&] {
    attn::attention_with_weights_into(within, c.p.view(), c.q.view(), c.k.view(), c.v.view());
  });
  EXPECT_TRUE(support::same_bits(stacked(c.p.view()), before));
  const auto backward = [&](auto dq, auto dv) {
    attn::attention_backward_into(dq, c.dk.view(), dv, c.q.view(), c.k.view(), c.v.view(),
                                  c.o.view(), c.l.view(), c.d_output.view());
  };
  expect_overlap("attn::attention_backward_into: dV overlaps dO", [&] {
    TensorView<double> dv = c.d_output.view();
    dv.shape = c.dv.view().shape;
    backward(c.dq.view(), dv);
  });
}

}  // namespace
