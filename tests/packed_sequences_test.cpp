// SPDX-License-Identifier: Apache-2.0
// Packed sequences: the same as a call for each of them, and as a padded batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/attn.hpp>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/gradients.hpp"

namespace {

using attn::CumulativeLengths;
using attn::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::Case;
using support::Problem;

/// A few numbers, tiles, decoding, no queries, no keys.
const CumulativeLengths mixed{{0, 5, 5, 135, 136, 156, 159}, {0, 7, 11, 151, 451, 451, 453}};
constexpr Case all{.n_q = 159, .n_k = 453, .d = 5, .d_v = 3, .heads = 4, .key_heads = 2};
constexpr attn::Heads heads{.query = 4, .key_value = 2};

/// The problem of one sequence.
Problem<> sequence_of(const Problem<>& p, const CumulativeLengths& packed, Index b) {
  const auto queries = packed.queries(b), keys = packed.keys(b);
  Problem<> one(Case{});
  one.Q = p.Q.middleRows(queries.first, queries.count);
  one.K = p.K.middleRows(keys.first, keys.count);
  one.V = p.V.middleRows(keys.first, keys.count);
  one.dO = p.dO.middleRows(queries.first, queries.count);
  return one;
}

testing::AssertionResult same_rows(const MatrixXd& whole, attn::engine::TokenRange rows,
                                   const MatrixXd& one) {
  return support::same_bits(MatrixXd(whole.middleRows(rows.first, rows.count)), one);
}

/// Parts that do not tell one sequence from another: every bit is that of a call by itself.
template <class... Parts>
void expect_a_loop(const Parts&... parts) {
  const Problem<> p(all);
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, mixed, heads, parts...);
  const auto gradient =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, mixed, heads, parts...);
  for (Index b = 0; b < mixed.count(); ++b) {
    SCOPED_TRACE("sequence " + std::to_string(b));
    const Problem<> one = sequence_of(p, mixed, b);
    const auto alone = attn::attention_forward(one.Q, one.K, one.V, heads, parts...);
    EXPECT_TRUE(same_rows(forward.output, mixed.queries(b), alone.output));
    EXPECT_TRUE(same_rows(forward.log_sum_exp, mixed.queries(b), alone.log_sum_exp));
    const auto its = attn::attention_backward(one.Q, one.K, one.V, alone, one.dO, heads, parts...);
    EXPECT_TRUE(same_rows(gradient.query, mixed.queries(b), its.query));
    EXPECT_TRUE(same_rows(gradient.key, mixed.keys(b), its.key));
    EXPECT_TRUE(same_rows(gradient.value, mixed.keys(b), its.value));
  }
}

TEST(PackedSequences, HaveTheBitsOfACallForEach) {
  expect_a_loop();
  expect_a_loop(attn::Causal::bottom_right(), attn::Softcap{2});
}

TEST(PackedSequences, HaveTheBitsOfACallForEachWhereGradientsAreShared) {
  expect_a_loop(attn::Alibi::bottom_right(Eigen::VectorXd{{0.1, 0.2, 0.3, 0.4}}),
                attn::SoftmaxWithSink{0.5});
  expect_a_loop(attn::Additive{support::random(5, 4, 1), support::random(5, 4, 2),
                               support::random_vector(4, 3)},
                attn::SlidingWindow{9, 3}, attn::Entmax15{});
}

TEST(PackedSequences, AddUpTheGradientsOfAScale) {
  const Problem<> p(all);
  const auto scale_of = [](const Problem<>& problem, const auto&... parts) {
    const auto g = support::forward_and_backward(problem, std::tuple(heads, parts...));
    return g.template of<attn::ScaledDotProduct>().scale;
  };
  double sum = 0;
  for (Index b = 0; b < mixed.count(); ++b) sum += scale_of(sequence_of(p, mixed, b));
  EXPECT_NE(sum, 0.0);
  EXPECT_EQ(scale_of(p, mixed), sum);
  EXPECT_EQ(scale_of(p, mixed, attn::Threads{2}), sum);
}

TEST(PackedSequences, HaveBlockDiagonalWeights) {
  const Problem<> p(all);
  const auto expected = attn::reference::attend(p.Q, p.K, p.V, mixed, heads, attn::Causal{});
  const auto found =
      attn::attention_with_weights(p.Q, p.K, p.V, mixed, heads, attn::Causal{}, attn::Threads{2});
  EXPECT_TRUE(support::near(found.weights, expected.weights, 1e-14));
  EXPECT_TRUE(support::near(found.output, expected.output, 1e-14));
  MatrixXd P = MatrixXd::Constant(159, 4 * 453, 7.0);  // what was there before is overwritten
  const auto q = attn::view(p.Q, heads), k = attn::view(p.K, attn::Heads{2});
  attn::attention_weights_into(attn::view(P, heads), q, k, mixed, attn::Causal{});
  for (Index h = 0; h < 4; ++h)
    EXPECT_TRUE(
        support::near(P.middleCols(453 * h, 453), expected.weights.middleRows(159 * h, 159), 1e-14))
        << "head " << h;
}

/// Sequences of up to 6 queries and 8 keys, padded to that.
struct Padded {
  CumulativeLengths packed{{0, 6, 8, 12}, {0, 3, 11, 16}};
  attn::KeyPadding padding{{3, 8, 5}};
  Problem<> p{Case{.n_q = 12, .n_k = 16, .d = 3, .d_v = 2, .heads = 4, .key_heads = 2}};

  /// batches * tokens rows, zeros where there is padding; and back.
  MatrixXd pad(const MatrixXd& rows, bool are_keys) const {
    MatrixXd padded = MatrixXd::Zero(3 * length(are_keys), rows.cols());
    for (Index b = 0; b < 3; ++b)
      padded.middleRows(b * length(are_keys), range(b, are_keys).count) =
          rows.middleRows(range(b, are_keys).first, range(b, are_keys).count);
    return padded;
  }
  MatrixXd pack(const MatrixXd& padded, bool are_keys) const {
    MatrixXd rows(are_keys ? 16 : 12, padded.cols());
    for (Index b = 0; b < 3; ++b)
      rows.middleRows(range(b, are_keys).first, range(b, are_keys).count) =
          padded.middleRows(b * length(are_keys), range(b, are_keys).count);
    return rows;
  }
  /// {3, heads, token, feature} over such rows.
  template <class M>
  static auto view(M& rows, Index head_count) {
    auto v = attn::view(rows, attn::Heads{head_count});
    v.shape[0] = 3;
    v.shape[2] = rows.rows() / 3;
    v.strides[0] = v.shape[2] * v.strides[2];
    return v;
  }

 private:
  static Index length(bool are_keys) { return are_keys ? 8 : 6; }
  attn::engine::TokenRange range(Index b, bool are_keys) const {
    return are_keys ? packed.keys(b) : packed.queries(b);
  }
};

/// `flat` gives the gradients of the parts' parameters as a vector.
void expect_equals_padded(auto flat, const auto&... parts) {
  const Padded batch;
  const Problem<>& p = batch.p;
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, batch.packed, heads, parts...);
  const auto g =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, batch.packed, heads, parts...);
  const MatrixXd Q = batch.pad(p.Q, false), K = batch.pad(p.K, true), V = batch.pad(p.V, true),
                 dO = batch.pad(p.dO, false);
  MatrixXd O(18, 8), L(18, 4), dQ(18, 12), dK(24, 6), dV(24, 4);
  attn::attention_forward_into(Padded::view(O, 4), Padded::view(L, 4), Padded::view(Q, 4),
                               Padded::view(K, 2), Padded::view(V, 2), batch.padding, parts...);
  const auto of_parts = attn::attention_backward_into(
      Padded::view(dQ, 4), Padded::view(dK, 2), Padded::view(dV, 2), Padded::view(Q, 4),
      Padded::view(K, 2), Padded::view(V, 2), Padded::view(std::as_const(O), 4),
      Padded::view(std::as_const(L), 4), Padded::view(dO, 4), batch.padding, parts...);
  EXPECT_TRUE(support::near(forward.output, batch.pack(O, false), 1e-14));
  EXPECT_TRUE(support::near(forward.log_sum_exp, batch.pack(L, false), 1e-13));
  EXPECT_TRUE(support::near(g.query, batch.pack(dQ, false), 1e-13));
  EXPECT_TRUE(support::near(g.key, batch.pack(dK, true), 1e-13));
  EXPECT_TRUE(support::near(g.value, batch.pack(dV, true), 1e-13));
  EXPECT_TRUE(support::near(flat(g.parts), flat(of_parts), 1e-13));
}

TEST(PackedSequences, EqualAPaddedBatchWithABiasASequence) {
  const MatrixXd B = support::random(3 * 4 * 6, 8, 5);
  const attn::TensorView<const double> bias(B.data(), {3, 4, 6, 8}, {24, 6, 1, 72});
  expect_equals_padded([](const auto& g) { return g.template of<attn::DenseBias>().B.eval(); },
                       attn::DenseBias{bias}, attn::Causal{.offset = 2});
}

TEST(PackedSequences, EqualAPaddedBatchInTheirNumbersAndPositions) {
  const auto by_batch = attn::score_mod(
      [](auto s, attn::Position at, auto a) {
        return s * a + double(at.batch) * 0.3 + 0.01 * double(at.query * at.key);
      },
      0.7);
  const auto odd = attn::mask_mod(
      [](attn::Position at) { return at.key % 2 == 1 || at.batch == 1 || at.key == at.query; });
  expect_equals_padded([](const auto& g) { return g.template of<attn::ScoreMod>().parameters; },
                       by_batch, odd, attn::Dropout{.p = 0.3, .seed = 9}, attn::Threads{2});
}

TEST(PackedSequences, ShiftPositionsOfEverySequenceAlike) {
  const Padded batch;
  const Problem<>& p = batch.p;
  const attn::PositionOffset offset{.query = 3, .key = 1};
  EXPECT_TRUE(support::near(
      attn::attention(p.Q, p.K, p.V, batch.packed, heads, offset, attn::Causal{}),
      attn::attention(p.Q, p.K, p.V, batch.packed, heads, attn::Causal{.offset = 2}), 0));
}

TEST(PackedSequences, GiveTheGradientsOfTheDefinition) {
  const Padded batch;
  support::expect_gradients(
      batch.p, support::random_vector(4 + 4, 3),
      [&](const VectorXd& theta) {
        return std::tuple(batch.packed, heads, attn::KeyPadding{{3, 6, 5}},
                          attn::Causal::bottom_right(), attn::Alibi{VectorXd(theta.head(4))},
                          attn::SoftmaxWithSink{VectorXd(theta.tail(4))});
      },
      [](const auto& g) {
        VectorXd of_theta(8);
        of_theta << g.template of<attn::Alibi>().slopes,
            g.template of<attn::SoftmaxWithSink>().logits;
        return of_theta;
      });
}

TEST(PackedSequences, TakeTheOffsetsOfTheQueriesForTheKeys) {
  const Problem<> p({.n_q = 9, .n_k = 9});
  const std::vector<std::int32_t> offsets{0, 4, 9};
  EXPECT_TRUE(support::near(attn::attention(p.Q, p.K, p.V, CumulativeLengths{offsets}),
                            attn::attention(p.Q, p.K, p.V, CumulativeLengths{{0, 4, 9}, {0, 4, 9}}),
                            0));
}

TEST(PackedSequences, OfOneAreThePlainCallAndOfNoneNothing) {
  const Problem<> p({});
  EXPECT_TRUE(support::same_bits(
      MatrixXd(attn::attention(p.Q, p.K, p.V, CumulativeLengths{{0, 7}, {0, 9}})),
      MatrixXd(attn::attention(p.Q, p.K, p.V))));
  const Problem<> empty({.n_q = 0, .n_k = 0});
  const CumulativeLengths none{{0}, {0}};
  const auto forward = attn::attention_forward(empty.Q, empty.K, empty.V, none);
  EXPECT_EQ(forward.output.rows(), 0);
  EXPECT_EQ(attn::attention_backward(empty.Q, empty.K, empty.V, forward, empty.dO, none).key.rows(),
            0);
}

TEST(PackedSequences, AreReadFromViewsOfAnyStrides) {
  const Problem<> p(all);
  MatrixXd O = MatrixXd::Zero(159, 12), tokens_by_columns = MatrixXd::Zero(12, 159);
  attn::TensorView<double> by_columns = attn::view(tokens_by_columns);
  by_columns = {by_columns.data, {1, 4, 159, 3}, {0, 3, 12, 1}};
  const auto q = attn::view(p.Q, attn::Heads{4});
  const auto k = attn::view(p.K, attn::Heads{2}), v = attn::view(p.V, attn::Heads{2});
  attn::attention_into(attn::view(O, attn::Heads{4}), q, k, v, mixed);
  attn::attention_into(by_columns, q, k, v, mixed);
  EXPECT_TRUE(support::same_bits(MatrixXd(tokens_by_columns.transpose()), O));
  EXPECT_TRUE(support::near(
      O, attn::reference::attend(p.Q, p.K, p.V, mixed, attn::Heads{4, 2}).output, 1e-14));
}

/// Threads that count how often they are started.
struct CountingThreads : attn::Threads {
  int* starts = nullptr;
  template <class F>
  void run(Index tasks, F&& task) const {
    ++*starts;
    attn::Threads::run(tasks, task);
  }
};

/// Everything that a forward and a backward call give.
template <class Executor>
std::vector<MatrixXd> everything(const Problem<>& p, const CumulativeLengths& packed,
                                 const Executor& executor) {
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, packed, executor);
  const auto g = attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, packed, executor);
  const double scale = g.template of<attn::ScaledDotProduct>().scale;
  return {forward.output, forward.log_sum_exp,
          g.query,        g.key,
          g.value,        MatrixXd::Constant(1, 1, scale)};
}

TEST(PackedSequences, HaveTheSameBitsForAnyNumberOfThreads) {
  // One of 600 among many short ones: it has the threads for itself.
  std::vector<int> offsets{0, 20, 620};
  while (offsets.back() < 1000) offsets.push_back(offsets.back() + 20);
  const CumulativeLengths packed{offsets};
  const Problem<> p({.n_q = 1000, .n_k = 1000, .d = 16, .d_v = 16});
  const std::vector<MatrixXd> expected = everything(p, packed, attn::Threads{1});
  for (const int n : {2, 3, 7}) {
    int starts = 0;
    CountingThreads threads;
    threads.n = n;
    threads.starts = &starts;
    const std::vector<MatrixXd> found = everything(p, packed, threads);
    for (std::size_t k = 0; k < expected.size(); ++k)
      EXPECT_TRUE(support::same_bits(found[k], expected[k])) << n << " threads, result " << k;
    EXPECT_EQ(starts, 4);  // the long one and the rest, forward and backward
  }
}

TEST(PackedSequences, StartThreadsOnceForManyShortOnes) {
  std::vector<int> offsets(1001);
  for (std::size_t b = 0; b <= 1000; ++b) offsets[b] = static_cast<int>(4 * b);
  const Problem<> p({.n_q = 4000, .n_k = 4000, .d = 4, .d_v = 4});
  int starts = 0;
  CountingThreads threads;
  threads.n = 3;
  threads.starts = &starts;
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, CumulativeLengths{offsets}, threads);
  EXPECT_EQ(starts, 1);
  attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, CumulativeLengths{offsets}, threads);
  EXPECT_EQ(starts, 2);
}

TEST(PackedSequences, LetAUsersExceptionTravelToTheCaller) {
  const Problem<> p(all);
  const auto fails = attn::mask_mod([](attn::Position at) {
    if (at.batch == 3) throw std::runtime_error("sequence 3");
    return true;
  });
  EXPECT_THROW(attn::attention(p.Q, p.K, p.V, mixed, heads, fails, attn::Threads{2}),
               std::runtime_error);
}

template <class Error>
void expect_refusal(const std::string& sentence, const CumulativeLengths& packed,
                    const auto&... parts) {
  const Problem<> p({});
  MatrixXd O = MatrixXd::Constant(7, 3, 7.0);
  try {
    attn::attention_into(O, p.Q, p.K, p.V, packed, parts...);
    FAIL() << "no error where this was expected: " << sentence;
  } catch (const Error& error) {
    EXPECT_EQ(error.what(), "attn::attention_into: " + sentence);
  }
  EXPECT_TRUE((O.array() == 7.0).all()) << "O was written to";
}

TEST(PackedSequences, AreRefusedWhereTheOffsetsAreNone) {
  using attn::ShapeError;
  using attn::ValueError;
  expect_refusal<ValueError>(
      "CumulativeLengths's query_offsets fall from 5 to 3; no sequence ends before it begins",
      {{0, 5, 3, 7}, {0, 5, 6, 9}});
  expect_refusal<ValueError>(
      "CumulativeLengths's key_offsets begin with 1; the first sequence begins at 0",
      {{0, 7}, {1, 9}});
  expect_refusal<ShapeError>(
      "CumulativeLengths's key_offsets end with 8 and K has 9 rows; the last offset is the number "
      "of all rows",
      {{0, 7}, {0, 8}});
  expect_refusal<ShapeError>(
      "CumulativeLengths's query_offsets end with 9 and Q has 7 rows; the last offset is the "
      "number of all rows",
      {{0, 9}, {0, 9}});
  expect_refusal<ShapeError>(
      "CumulativeLengths has 3 query_offsets and 2 key_offsets; both need one more than there are "
      "sequences",
      {{0, 3, 7}, {0, 9}});
  expect_refusal<ShapeError>(
      "CumulativeLengths has no query_offsets; there is one more than there are sequences", {});
}

TEST(PackedSequences, AreRefusedWithPartsOfAnotherNumberOfSequences) {
  expect_refusal<attn::ShapeError>(
      "KeyPadding has 3 lengths and there are 2 batches; it needs one length, or one a batch",
      {{0, 3, 7}, {0, 5, 9}}, attn::KeyPadding{{1, 2, 3}});
  expect_refusal<attn::ShapeError>("DenseBias's B is 7 x 9 and must be 4 x 5, n_q x n_k",
                                   {{0, 3, 7}, {0, 5, 9}},
                                   attn::DenseBias{MatrixXd(MatrixXd::Zero(7, 9))});
}

TEST(PackedSequences, AreRefusedInMoreThanOneBatch) {
  std::vector<double> numbers(24), result(24, 7.0);
  const attn::TensorView<const double> q = attn::bhtd<const double>(numbers.data(), 2, 1, 4, 3);
  try {
    attn::attention_into(attn::bhtd(result.data(), 2, 1, 4, 3), q, q, q, CumulativeLengths{{0, 4}});
    FAIL() << "two batches were taken";
  } catch (const attn::ShapeError& error) {
    EXPECT_STREQ(error.what(),
                 "attn::attention_into: CumulativeLengths and 2 batches are given together; packed "
                 "sequences lie one behind the other in one batch");
  }
  EXPECT_EQ(std::count(result.begin(), result.end(), 7.0), 24);
}

}  // namespace
