// SPDX-License-Identifier: Apache-2.0
// Views of Eigen's Tensors in either storage order, and attention over them.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <attn/tensor.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
template <int Rank, int Order>
using Tensor = Eigen::Tensor<double, Rank, Order>;

/// A tensor whose numbers tell where they stand: 1000 a + 100 b + 10 c + d.
template <int Order>
Tensor<4, Order> numbered(Index a, Index b, Index c, Index d) {
  Tensor<4, Order> tensor(a, b, c, d);
  for (Index i = 0; i < a; ++i)
    for (Index j = 0; j < b; ++j)
      for (Index k = 0; k < c; ++k)
        for (Index l = 0; l < d; ++l) tensor(i, j, k, l) = double(1000 * i + 100 * j + 10 * k + l);
  return tensor;
}

template <int Order>
void expect_places_of_rank_4() {
  const Tensor<4, Order> tensor = numbered<Order>(2, 3, 4, 5);
  const auto by_heads = attn::bhtd(tensor);
  EXPECT_EQ(by_heads.shape, (std::array<Index, 4>{2, 3, 4, 5}));
  EXPECT_EQ(by_heads(1, 2, 3, 4), 1234.0);
  EXPECT_EQ(by_heads(0, 2, 0, 1), 201.0);
  const auto by_tokens = attn::bthd(tensor);
  EXPECT_EQ(by_tokens.shape, (std::array<Index, 4>{2, 4, 3, 5}));
  EXPECT_EQ(by_tokens(1, 3, 2, 4), 1234.0);
  EXPECT_EQ(by_tokens(0, 1, 2, 0), 210.0);
}

TEST(TensorOfRank4, NamesItsDimensionsInEitherOrder) {
  expect_places_of_rank_4<Eigen::ColMajor>();
  expect_places_of_rank_4<Eigen::RowMajor>();
}

template <int Order>
void expect_places_of_rank_3() {
  const Tensor<4, Order> numbers = numbered<Order>(1, 3, 4, 6);
  const Tensor<3, Order> tensor = numbers.template chip<0>(0);
  const auto tokens = attn::thd(tensor);
  EXPECT_EQ(tokens.shape, (std::array<Index, 4>{1, 4, 3, 6}));
  EXPECT_EQ(tokens(0, 3, 2, 5), 235.0);
  const auto heads = attn::htd(tensor);
  EXPECT_EQ(heads.shape, (std::array<Index, 4>{1, 3, 4, 6}));
  EXPECT_EQ(heads(0, 2, 3, 5), 235.0);
  const auto batches = attn::btd(tensor);
  EXPECT_EQ(batches.shape, (std::array<Index, 4>{3, 1, 4, 6}));
  EXPECT_EQ(batches(2, 0, 3, 5), 235.0);
  const auto split = attn::btd(tensor, attn::Heads{3});
  EXPECT_EQ(split.shape, (std::array<Index, 4>{3, 3, 4, 2}));
  EXPECT_EQ(split(2, 1, 3, 1), 233.0);
}

TEST(TensorOfRank3, NamesItsDimensionsInEitherOrder) {
  expect_places_of_rank_3<Eigen::ColMajor>();
  expect_places_of_rank_3<Eigen::RowMajor>();
}

template <int Order>
void expect_places_of_rank_2() {
  Tensor<2, Order> tensor(3, 4);
  for (Index i = 0; i < 3; ++i)
    for (Index j = 0; j < 4; ++j) tensor(i, j) = double(10 * i + j);
  EXPECT_EQ(attn::view(tensor)(0, 0, 2, 3), 23.0);
  const auto heads = attn::view(tensor, attn::Heads{2});
  EXPECT_EQ(heads.shape, (std::array<Index, 4>{1, 2, 3, 2}));
  EXPECT_EQ(heads(0, 1, 2, 0), 22.0);
}

TEST(TensorOfRank2, IsAMatrixInEitherOrder) {
  expect_places_of_rank_2<Eigen::ColMajor>();
  expect_places_of_rank_2<Eigen::RowMajor>();
}

TEST(TensorViews, KeepConst) {
  Tensor<4, Eigen::RowMajor> tensor(1, 1, 2, 2);
  const Tensor<4, Eigen::RowMajor> fixed(1, 1, 2, 2);
  using Writable = attn::TensorView<double>;
  using ReadOnly = attn::TensorView<const double>;
  static_assert(std::is_same_v<decltype(attn::bhtd(tensor)), Writable>);
  static_assert(std::is_same_v<decltype(attn::bhtd(fixed)), ReadOnly>);
  using Map = Eigen::TensorMap<Tensor<4, Eigen::RowMajor>>;
  using ConstMap = Eigen::TensorMap<const Tensor<4, Eigen::RowMajor>>;
  static_assert(std::is_same_v<decltype(attn::bhtd(std::declval<Map&>())), Writable>);
  static_assert(std::is_same_v<decltype(attn::bhtd(std::declval<Map>())), Writable>);
  static_assert(std::is_same_v<decltype(attn::bhtd(std::declval<const Map&>())), ReadOnly>);
  static_assert(std::is_same_v<decltype(attn::bhtd(std::declval<ConstMap&>())), ReadOnly>);
  attn::bthd(tensor)(0, 1, 0, 1) = 7;
  EXPECT_EQ(tensor(0, 0, 1, 1), 7.0);
}

TEST(TensorViews, AreOfMapsAndFixedSizesToo) {
  MatrixXd numbers = support::random(24, 1, 1);
  const Eigen::TensorMap<Tensor<3, Eigen::RowMajor>> map(numbers.data(), 4, 3, 2);
  EXPECT_EQ(attn::thd(map)(0, 2, 3, 1), numbers(23));
  Eigen::TensorFixedSize<double, Eigen::Sizes<3, 2>> fixed;
  fixed.setZero();
  fixed(2, 1) = 5;
  EXPECT_EQ(attn::view(fixed)(0, 0, 2, 1), 5.0);
}

TEST(TensorViews, RefuseHeadsThatDoNotDivide) {
  const Tensor<3, Eigen::ColMajor> tensor(2, 3, 5);
  try {
    attn::btd(tensor, attn::Heads{2});
    FAIL() << "5 features were split into 2 heads";
  } catch (const attn::ValueError& error) {
    EXPECT_STREQ(error.what(),
                 "attn::btd: 5 features cannot be split into 2 heads; the head count must divide "
                 "the features");
  }
  const Tensor<2, Eigen::ColMajor> matrix(2, 3);
  try {
    attn::view(matrix, attn::Heads{0});
    FAIL() << "0 heads were taken";
  } catch (const attn::ValueError& error) {
    EXPECT_STREQ(error.what(),
                 "attn::view: 3 features cannot be split into 0 heads; the head count must divide "
                 "the features");
  }
}

template <int Order>
void expect_attention_of_its_heads() {
  Tensor<4, Order> Q(2, 4, 6, 3), K(2, 2, 7, 3), V(2, 2, 7, 5), O(2, 4, 6, 5), B(1, 4, 1, 7);
  Q.setRandom(), K.setRandom(), V.setRandom(), B.setRandom();
  attn::attention_into(attn::bhtd(O), attn::bhtd(Q), attn::bhtd(K), attn::bhtd(V),
                       attn::DenseBias{attn::bhtd(std::as_const(B))}, attn::Causal{.offset = 1});
  const auto matrix = [](const Tensor<4, Order>& tensor, Index b, Index h) {
    MatrixXd m(tensor.dimension(2), tensor.dimension(3));
    for (Index i = 0; i < m.rows(); ++i)
      for (Index j = 0; j < m.cols(); ++j) m(i, j) = tensor(b, h, i, j);
    return m;
  };
  for (Index b = 0; b < 2; ++b)
    for (Index h = 0; h < 4; ++h) {
      const MatrixXd bias = matrix(B, 0, h).replicate(6, 1);
      EXPECT_TRUE(support::near(
          matrix(O, b, h),
          attn::reference::attend(matrix(Q, b, h), matrix(K, b, h / 2), matrix(V, b, h / 2),
                                  attn::DenseBias{bias}, attn::Causal{.offset = 1})
              .output,
          1e-14))
          << "batch " << b << ", head " << h;
    }
}

TEST(TensorViews, GoThroughAttentionInEitherOrder) {
  expect_attention_of_its_heads<Eigen::ColMajor>();
  expect_attention_of_its_heads<Eigen::RowMajor>();
}

TEST(TensorViews, HoldPackedSequences) {
  Tensor<3, Eigen::RowMajor> X(9, 2, 4), O(9, 2, 4);
  X.setRandom();
  const attn::CumulativeLengths packed{{0, 4, 9}};
  attn::attention_into(attn::thd(O), attn::thd(X), attn::thd(X), attn::thd(X), packed);
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const Rows> x(X.data(), 9, 8), o(O.data(), 9, 8);
  EXPECT_TRUE(
      support::near(o, attn::reference::attend(x, x, x, packed, attn::Heads{2}).output, 1e-14));
}

}  // namespace
