// SPDX-License-Identifier: Apache-2.0
// Every run-time error: its type and its whole sentence, and that nothing is written before it.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <functional>
#include <string>
#include <vector>

#include "support/errors.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using attn::ShapeError;
using attn::ValueError;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::expect_error;

const MatrixXd Q = support::random(4, 6, 1);
const MatrixXd K = support::random(5, 6, 2);
const MatrixXd V = support::random(5, 2, 3);

/// A call of attention_into with one wrong part, which must leave O alone.
template <class Error, class... Parts>
void expect_refusal(const std::string& sentence, const Parts&... parts) {
  MatrixXd O = MatrixXd::Constant(4, 2, 7.0);
  expect_error<Error>("attn::attention_into: " + sentence,
                      [&] { attn::attention_into(O, Q, K, V, parts...); });
  EXPECT_TRUE((O.array() == 7.0).all()) << "O was written to";
}

TEST(Errors, AreInvalidArguments) {
  static_assert(std::is_base_of_v<std::invalid_argument, ShapeError>);
  static_assert(std::is_base_of_v<std::invalid_argument, ValueError>);
  static_assert(!std::is_base_of_v<ShapeError, ValueError>);
}

TEST(Errors, NameTheEntryPoint) {
  const MatrixXd narrow = K.leftCols(3);
  const std::string rest = ": K has 3 columns and Q has 6; both need the same feature size d";
  const auto call = [&](const char* name, const std::function<void()>& f) {
    expect_error<ShapeError>(std::string("attn::") + name + rest, f);
  };
  call("attention", [&] { attn::attention(Q, narrow, V); });
  call("attention_forward", [&] { attn::attention_forward(Q, narrow, V); });
  call("attention_weights", [&] { attn::attention_weights(Q, narrow); });
  call("attention_with_weights", [&] { attn::attention_with_weights(Q, narrow, V); });
  const auto forward = attn::attention_forward(Q, K, V);
  call("attention_backward",
       [&] { attn::attention_backward(Q, narrow, V, forward, forward.output); });
}

TEST(ShapeErrors, SayWhatQueriesKeysAndValuesShare) {
  expect_error<ShapeError>(
      "attn::attention: K has 5 columns and Q has 6; both need the same feature size d. "
      "K is 6 x 5: transposed?",
      [&] { attn::attention(Q, K.transpose(), V); });
  expect_error<ShapeError>(
      "attn::attention: V has 4 rows and K has 5; each key needs one value, so both need the same "
      "number n_k",
      [&] { attn::attention(Q, K, V.topRows(4)); });
}

TEST(ShapeErrors, SayWhatTheOutputMustBe) {
  MatrixXd wrong = MatrixXd::Constant(3, 2, 7.0);
  expect_error<ShapeError>(
      "attn::attention_into: O is 3 x 2 and must be 4 x 2; a result is never resized",
      [&] { attn::attention_into(wrong, Q, K, V); });
  EXPECT_TRUE((wrong.array() == 7.0).all());
}

TEST(ShapeErrors, SayWhatTheMatricesOfAScoreFunctionMustBe) {
  const auto zeros = [](Index rows, Index cols) { return MatrixXd(MatrixXd::Zero(rows, cols)); };
  expect_refusal<ShapeError>(
      "Bilinear's W is 6 x 5 and must be 6 x 6; W is d x d_k, the feature sizes of Q and K",
      attn::Bilinear{zeros(6, 5)});
  const std::string rule = "; Wq is d x a and Wk d_k x a, with v of size a";
  const VectorXd v = VectorXd::Zero(3);
  expect_refusal<ShapeError>("Additive's Wq is 5 x 3 and must be 6 x 3" + rule,
                             attn::Additive{zeros(5, 3), zeros(6, 3), v});
  expect_refusal<ShapeError>("Additive's Wk is 6 x 2 and must be 6 x 3" + rule,
                             attn::Additive{zeros(6, 3), zeros(6, 2), v});
  expect_refusal<ShapeError>("Additive's b has 2 numbers and v has 3; both need the size a",
                             attn::Additive{zeros(6, 3), zeros(6, 3), v, zeros(2, 1)});
}

TEST(ShapeErrors, SayWhatTheArraysOfAModifierMustBe) {
  expect_refusal<ShapeError>(
      "Alibi has 3 slopes and there are 1 query heads; it needs one slope a head",
      attn::Alibi{VectorXd::Ones(3)});
  expect_refusal<ShapeError>(
      "SoftmaxWithSink has 2 logits and there are 1 query heads; it needs one logit a head",
      attn::SoftmaxWithSink{VectorXd::Ones(2)});
  expect_refusal<ShapeError>("DenseBias's B is 5 x 4 and must be 4 x 5, n_q x n_k",
                             attn::DenseBias{MatrixXd(MatrixXd::Zero(5, 4))});
  const std::vector<double> numbers(80);
  expect_refusal<ShapeError>(
      "DenseBias's B has 2 batches and the call has 1; they must be equal, or 1 to broadcast",
      attn::DenseBias{attn::bhtd(numbers.data(), 2, 1, 4, 5)});
  expect_refusal<ShapeError>(
      "DenseBias's B has 3 heads and the call has 1; they must be equal, or 1 to broadcast",
      attn::DenseBias{attn::bhtd(numbers.data(), 1, 3, 4, 5)});
  expect_refusal<ShapeError>(
      "RelativePositionBias's table has 3 columns and there are 1 query heads; it is buckets x "
      "heads, or buckets x 1",
      attn::RelativePositionBias{MatrixXd(MatrixXd::Zero(8, 3))});
}

TEST(ShapeErrors, SayWhatTheArraysOfAMaskMustBe) {
  const Eigen::Matrix<bool, 3, 5> M = Eigen::Matrix<bool, 3, 5>::Constant(true);
  expect_refusal<ShapeError>("DenseMask's M is 3 x 5 and must be 4 x 5, n_q x n_k",
                             attn::DenseMask{M});
  expect_refusal<ShapeError>(
      "KeyPadding has 2 lengths and there are 1 batches; it needs one length, or one a batch",
      attn::KeyPadding{{3, 4}});
  expect_refusal<ShapeError>("Documents has 3 query_ids and must have 4; one for each of n_q",
                             attn::Documents{{1, 1, 1}, {1, 1, 1, 1, 1}});
  expect_refusal<ShapeError>("Documents has 6 key_ids and must have 5; one for each of n_k",
                             attn::Documents{{1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}});
  // The parts of a composed mask are asked too.
  expect_refusal<ShapeError>("DenseMask's M is 3 x 5 and must be 4 x 5, n_q x n_k",
                             attn::Causal{} & !attn::DenseMask{M});
  expect_refusal<ValueError>(
      "SlidingWindow is {-2, 0}; a side is a number of keys, or -1 for no limit",
      attn::SlidingWindow{-2, 0} | attn::Causal{});
}

TEST(ShapeErrors, OfAChunkAskForItsPositions) {
  const attn::PositionOffset offset{.query = 2, .key = 1};
  expect_refusal<ShapeError>("DenseBias's B is 4 x 5 and must be 6 x 6, n_q x n_k",
                             attn::DenseBias{MatrixXd(MatrixXd::Zero(4, 5))}, offset);
  expect_refusal<ShapeError>("Documents has 5 query_ids and must have 6; one for each of n_q",
                             attn::Documents{{1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}, offset);
  MatrixXd O(4, 2);  // larger than need be is right: the whole
  attn::attention_into(O, Q, K, V, attn::DenseBias{MatrixXd(MatrixXd::Zero(9, 9))}, offset);
}

TEST(ValueErrors, NameTheValueAndItsRange) {
  expect_refusal<ValueError>("Softcap's cap is 0; it must be above 0, and finite",
                             attn::Softcap{0});
  expect_refusal<ValueError>("Softcap's cap is nan; it must be above 0, and finite",
                             attn::Softcap{std::nan("")});
  expect_refusal<ValueError>("Dropout's p is 1; it must be in [0, 1)", attn::Dropout{.p = 1});
  expect_refusal<ValueError>("Dropout's p is -0.1; it must be in [0, 1)", attn::Dropout{.p = -0.1});
  expect_refusal<ValueError>(
      "SlidingWindow is {3, -2}; a side is a number of keys, or -1 for no limit",
      attn::SlidingWindow{3, -2});
  expect_refusal<ValueError>("KeyPadding's length 0 is -1; a length is a number of keys",
                             attn::KeyPadding{-1});
  expect_refusal<ValueError>("Threads is -2; it must be 0 or more", attn::Threads{-2});
  expect_refusal<ValueError>("PositionOffset is {-1, 0}; positions are counted from 0",
                             attn::PositionOffset{.query = -1});
}

TEST(ValueErrors, SayWhatATableOfBucketsNeeds) {
  const auto table = [](Index rows) { return MatrixXd(MatrixXd::Zero(rows, 1)); };
  expect_refusal<ValueError>(
      "RelativePositionBias's table has 7 buckets; it needs 4 or more, and an even number where "
      "bidirectional",
      attn::RelativePositionBias{table(7)});
  expect_refusal<ValueError>(
      "RelativePositionBias's table has 1 buckets; it needs 2 or more, and an even number where "
      "bidirectional",
      attn::RelativePositionBias{table(1), attn::RelativePositionOptions{.bidirectional = false}});
  expect_refusal<ValueError>(
      "RelativePositionBias's max_distance is 8 and 8 distances have a bucket of their own; it "
      "must be larger",
      attn::RelativePositionBias{table(32), attn::RelativePositionOptions{.max_distance = 8}});
}

TEST(ValueErrors, SayWhichHeadsDoNotDivide) {
  const std::string rule = " heads; the head count must divide the columns";
  expect_refusal<ValueError>("Q has 6 columns, which cannot be split into 4" + rule,
                             attn::Heads{4});
  expect_refusal<ValueError>("V has 2 columns, which cannot be split into 3" + rule,
                             attn::Heads{3});
  expect_error<ValueError>("attn::attention: K has 5 columns, which cannot be split into 2" + rule,
                           [&] { attn::attention(Q, K.leftCols(5), V, attn::Heads{2}); });
  expect_refusal<ValueError>(
      "there are 0 query heads and 0 key-value heads; both must be 1 or more", attn::Heads{0});
  expect_refusal<ValueError>(
      "2 key-value heads do not divide 3 query heads; each key-value head serves the same number "
      "of query heads",
      attn::Heads{.query = 3, .key_value = 2});
  const MatrixXd m(2, 5);
  expect_error<ValueError>(
      "attn::view: 5 columns cannot be split into 2 heads; the head count must divide the columns",
      [&] { attn::view(m, attn::Heads{2}); });
  MatrixXd O = MatrixXd::Constant(4, 5, 7.0);
  expect_error<ValueError>(
      "attn::attention_into: O has 5 columns, which cannot be split into 2" + rule,
      [&] { attn::attention_into(O, Q, K, V, attn::Heads{2}); });
}

TEST(ValueErrors, SayWhatOverlaps) {
  MatrixXd memory = MatrixXd::Random(9, 9);
  const MatrixXd before = memory;
  const auto rest = [](const char* input) {
    return std::string("attn::attention_into: O overlaps ") + input +
           " in memory; results need memory of their own";
  };
  expect_error<ValueError>(rest("Q"), [&] {
    attn::attention_into(memory.block(0, 0, 4, 2), memory.block(3, 1, 4, 6), K, V);
  });
  expect_error<ValueError>(rest("K"), [&] {
    attn::attention_into(memory.block(0, 0, 4, 2), Q, memory.block(2, 0, 5, 6), V);
  });
  expect_error<ValueError>(rest("V"), [&] {
    attn::attention_into(memory.block(0, 0, 4, 2), Q, K, memory.block(0, 0, 5, 2));
  });
  EXPECT_TRUE((memory.array() == before.array()).all());
}

TEST(ShapeErrors, OfBackwardNameWhatDoesNotFit) {
  const auto forward = attn::attention_forward(Q, K, V);
  const MatrixXd dO = MatrixXd::Zero(4, 2);
  const auto two_heads = attn::attention_forward(Q, K, V, attn::Heads{2});
  expect_error<ShapeError>(
      "attn::attention_backward: dO is 4 x 3 and must be 4 x 2; the gradient of the output has the "
      "output's shape",
      [&] { attn::attention_backward(Q, K, V, forward, MatrixXd(MatrixXd::Zero(4, 3))); });
  expect_error<ShapeError>(
      "attn::attention_backward: the forward result's log_sum_exp has 2 columns and there are 1 "
      "heads; it has one a head",
      [&] { attn::attention_backward(Q, K, V, two_heads, dO); });
  const auto shorter = attn::attention_forward(Q.topRows(3), K, V);
  expect_error<ShapeError>(
      "attn::attention_backward: the forward result's output is 3 x 2 and must be 4 x 2; it "
      "belongs to the forward call with the same Q, K and V",
      [&] { attn::attention_backward(Q, K, V, shorter, dO); });
}

TEST(ShapeErrors, OfViewsNameBatchesAndHeads) {
  std::vector<double> numbers(240);
  const auto view = [&](Index b, Index h, Index t, Index d) {
    return attn::TensorView<const double>(attn::bhtd(numbers.data(), b, h, t, d));
  };
  std::vector<double> result(240, 7.0);
  const auto into = [&](const auto& q, const auto& k, const auto& v, Index heads) {
    attn::attention_into(attn::bhtd(result.data(), 2, heads, 3, 2), q, k, v);
  };
  expect_error<ShapeError>(
      "attn::attention_into: Q has 2 batches, K 1 and V 2; all three need the same number",
      [&] { into(view(2, 2, 3, 2), view(1, 2, 3, 2), view(2, 2, 3, 2), 2); });
  expect_error<ShapeError>(
      "attn::attention_into: K has 2 heads and V has 1; each key needs one value, so both need the "
      "same number",
      [&] { into(view(2, 2, 3, 2), view(2, 2, 3, 2), view(2, 1, 3, 2), 2); });
  expect_error<ShapeError>(
      "attn::attention_into: O has 2 batches and 4 heads and must have 2 and 2; a "
      "result is never resized",
      [&] { into(view(2, 2, 3, 2), view(2, 2, 3, 2), view(2, 2, 3, 2), 4); });
  EXPECT_EQ(std::count(result.begin(), result.end(), 7.0), 240);
}

TEST(ShapeErrors, OfMergeAndFinishNameBothSides) {
  const auto a = attn::attention_forward(Q, K, V);
  const auto b = attn::attention_forward(Q.topRows(3), K, V);
  expect_error<ShapeError>(
      "attn::merge: the outputs are 4 x 2 with 1 heads and 3 x 2 with 1; both must be results for "
      "the same queries",
      [&] { attn::merge(a, b); });
  expect_error<ShapeError>(
      "attn::finish: SoftmaxWithSink has 2 logits and there are 1 query heads; it needs one logit "
      "a head",
      [&] { attn::finish(a, attn::SoftmaxWithSink{VectorXd::Zero(2)}); });
}

TEST(ErrorHandler, IsExchangedForTheOneBefore) {
  const attn::ErrorHandler mine = [](const char*) {};
  const attn::ErrorHandler first = attn::set_error_handler(mine);
  EXPECT_EQ(attn::set_error_handler(nullptr), mine);
  EXPECT_EQ(attn::set_error_handler(first), first);
  // With exceptions it is never called.
  EXPECT_THROW(attn::attention(Q, K, V, attn::Softcap{-1}), ValueError);
}

}  // namespace
