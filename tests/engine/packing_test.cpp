// SPDX-License-Identifier: Apache-2.0
// Packing: every size against an index formula, in both storage orders, and nothing behind the end.
#include <gtest/gtest.h>

#include <attn/engine/packing.hpp>
#include <vector>

namespace {

using attn::Index;
using attn::engine::Operand;
using attn::engine::Pack;

template <class A>
class Packing : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Packing, Scalars);

constexpr Index sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 50, 67};

Index packed_size(Index rows, Index cols, Index group) {
  return (rows + group - 1) / group * group * cols;
}

/// What stands in row r and column c.
template <class A>
A number(Index r, Index c) {
  return A(1 + 100 * r + c);
}

/// A matrix whose rows (or columns) lie `gap` numbers further apart than they are long; in the gaps
/// stands -1.
template <class A>
struct Stored {
  std::vector<A> numbers;
  Operand<A> operand;

  Stored(Index rows, Index cols, Index gap, bool row_major)
      : numbers(std::size_t((row_major ? cols + gap : rows + gap) * (row_major ? rows : cols)),
                A(-1)),
        operand(numbers.data(), rows, cols, (row_major ? cols : rows) + gap, row_major) {
    for (Index r = 0; r < rows; ++r)
      for (Index c = 0; c < cols; ++c)
        numbers[std::size_t(row_major ? r * operand.stride + c : c * operand.stride + r)] =
            number<A>(r, c);
  }
};

/// pack() of a matrix stored like this, in groups of so many rows.
template <class A>
void check_packed(const Stored<A>& from, Index group) {
  const Index rows = from.operand.rows, cols = from.operand.cols;
  std::vector<A> to(std::size_t(packed_size(rows, cols, group)) + 1, A(-2));
  attn::engine::pack(from.operand, group, to.data(), A(2));
  for (Index r = 0; r < (rows + group - 1) / group * group; ++r)
    for (Index c = 0; c < cols; ++c) {
      const A found = to[std::size_t(r / group * group * cols + c * group + r % group)];
      ASSERT_EQ(found, r < rows ? 2 * number<A>(r, c) : A(0))
          << rows << " x " << cols << ", group " << group << ", row " << r << ", column " << c
          << (from.operand.row_major ? ", by rows" : ", by columns");
    }
  EXPECT_EQ(to.back(), A(-2));
}

TYPED_TEST(Packing, PutsGroupsOfRowsSideBySide) {
  using A = TypeParam;
  for (const bool row_major : {true, false})
    for (const Index group : {Index(4), Index(8), Pack<A>::width, 3 * Pack<A>::width})
      for (const Index rows : sizes)
        for (const Index cols : sizes) check_packed(Stored<A>(rows, cols, 3, row_major), group);
}

TYPED_TEST(Packing, OfColumnsOverManyPagesIsTheSame) {
  using A = TypeParam;
  for (const Index group : {Index(4), Index(8), 3 * Pack<A>::width})
    for (const Index rows : sizes)
      for (const Index cols : {16, 19}) check_packed(Stored<A>(rows, cols, 4096, false), group);
}

TYPED_TEST(Packing, OfATransposedOperandSwapsRowsAndColumns) {
  using A = TypeParam;
  const Stored<A> from(5, 9, 0, true);
  std::vector<A> to(std::size_t(packed_size(9, 5, 4)));
  attn::engine::pack(from.operand.transposed(), 4, to.data());
  EXPECT_EQ(to[0], number<A>(0, 0));
  EXPECT_EQ(to[1], number<A>(0, 1));
  EXPECT_EQ(to[4], number<A>(1, 0));
  EXPECT_EQ(to[20], number<A>(0, 4));
}

/// Tokens of a view with any strides hold what was written, and nothing else has changed.
template <class T, class A>
void check_written(Index tokens, Index features, Index token_stride, Index feature_stride,
                   bool row_major) {
  std::vector<T> memory(std::size_t(tokens * token_stride + features * feature_stride + 1), T(-1));
  attn::TensorView<T> view{
      memory.data(), {1, 1, tokens, features}, {0, 0, token_stride, feature_stride}};
  const Stored<A> from(tokens - 1, features, 2, row_major);
  std::vector<A> buffer(std::size_t(tokens * features));
  attn::engine::write_tokens(from.operand, attn::engine::Slice<T>(view, 0, 0), 1, buffer.data());
  Index changed = 0;
  for (const T& x : memory) changed += x != T(-1);
  EXPECT_EQ(changed, (tokens - 1) * features);
  for (Index i = 1; i < tokens; ++i)
    for (Index f = 0; f < features; ++f)
      ASSERT_EQ(view(0, 0, i, f), static_cast<T>(number<A>(i - 1, f)))
          << tokens << " x " << features << ", strides " << token_stride << ", " << feature_stride;
}

TYPED_TEST(Packing, WritesTokensOfEveryLayout) {
  using A = TypeParam;
  for (const bool row_major : {true, false})
    for (const Index tokens : {2, 5, 17, 40})
      for (const Index features : {1, 3, 8, 19, 33}) {
        check_written<A, A>(tokens, features, features, 1, row_major);
        check_written<A, A>(tokens, features, features + 3, 1, row_major);
        check_written<A, A>(tokens, features, 1, tokens, row_major);
        check_written<A, A>(tokens, features, 2, 2 * tokens, row_major);
      }
}

TEST(PackingOfHalf, ConvertsOnTheWay) {
  for (const Index features : {1, 16, 21}) {
    check_written<Eigen::half, float>(9, features, features, 1, false);
    check_written<Eigen::bfloat16, float>(9, features, features, 1, true);
    check_written<Eigen::half, float>(9, features, 1, 9, false);
  }
}

}  // namespace
