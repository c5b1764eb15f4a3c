// SPDX-License-Identifier: Apache-2.0
// Biases and masks whose dimensions of size 1 broadcast: all 15 patterns of them are the array
// written out, forward and backward, in batches with grouped heads.
#include <gtest/gtest.h>

#include <array>
#include <attn/attn.hpp>
#include <vector>

#include "support/batch.hpp"
#include "support/compare.hpp"

namespace {

using attn::Index;
using attn::TensorView;
using Eigen::MatrixXd;
using support::Array;
using support::Layout;
using support::Sizes;
using support::stacked;

constexpr Sizes whole{3, 4, 6, 9};  ///< batches, query heads, n_q, n_k
constexpr Index d = 5, d_v = 3;

/// Bit `axis` of a pattern: that dimension has size 1.
Sizes sizes_of(unsigned pattern) {
  Sizes n = whole;
  for (std::size_t axis = 0; axis < 4; ++axis)
    if ((pattern >> axis & 1U) != 0) n[axis] = 1;
  return n;
}

/// A small array read as a whole one: strides of 0 where it has size 1.
template <class T>
TensorView<const T> written_out(TensorView<const T> view) {
  for (std::size_t axis = 0; axis < 4; ++axis)
    if (view.shape[axis] == 1) view.strides[axis] = 0;
  view.shape = whole;
  return view;
}

/// A whole array, added up over the dimensions of size 1.
MatrixXd summed(const TensorView<const double>& view, const Sizes& n) {
  Array<double> sums(Layout::bhtd, n);
  const auto fit = [&](std::size_t axis, Index k) { return n[axis] == 1 ? Index(0) : k; };
  for (Index b = 0; b < whole[0]; ++b)
    for (Index h = 0; h < whole[1]; ++h)
      for (Index i = 0; i < whole[2]; ++i)
        for (Index j = 0; j < whole[3]; ++j)
          sums.view()(fit(0, b), fit(1, h), fit(2, i), fit(3, j)) += view(b, h, i, j);
  return stacked(sums.view());
}

/// O, L, dQ, dK and dV below one another, and the gradients of the parts.
template <class... Parts>
auto everything(std::vector<MatrixXd>& results, const Parts&... parts) {
  const Layout layout = Layout::bthd;
  const Index b = whole[0], h = whole[1], n_q = whole[2], n_k = whole[3];
  const Array<double> q(layout, {b, h, n_q, d}, 1), k(layout, {b, 2, n_k, d}, 2),
      v(layout, {b, 2, n_k, d_v}, 3), d_output(layout, {b, h, n_q, d_v}, 4);
  Array<double> o(layout, {b, h, n_q, d_v}), l(layout, {b, h, n_q, 1}), dq(layout, {b, h, n_q, d}),
      dk(layout, {b, 2, n_k, d}), dv(layout, {b, 2, n_k, d_v});
  attn::attention_forward_into(o.view(), l.view(), q.view(), k.view(), v.view(), parts...);
  auto gradients =
      attn::attention_backward_into(dq.view(), dk.view(), dv.view(), q.view(), k.view(), v.view(),
                                    o.view(), l.view(), d_output.view(), parts...);
  for (const auto* array : {&o, &l, &dq, &dk, &dv}) results.push_back(stacked(array->view()));
  return gradients;
}

void expect_same(const std::vector<MatrixXd>& a, const std::vector<MatrixXd>& b) {
  const std::array<const char*, 5> names{"O", "L", "dQ", "dK", "dV"};
  for (std::size_t k = 0; k < names.size(); ++k)
    EXPECT_TRUE(support::same_bits(a[k], b[k])) << names[k];
}

const attn::KeyPadding lengths{{9, 0, 4}};  // one batch sees nothing

TEST(BroadcastBias, IsTheBiasWrittenOutInAllPatterns) {
  for (unsigned pattern = 1; pattern < 16; ++pattern) {
    SCOPED_TRACE(pattern);
    for (const Layout layout : {Layout::bhtd, Layout::bthd, Layout::strided}) {
      const Array<double> bias(layout, sizes_of(pattern), 7 + pattern);
      std::vector<MatrixXd> found, expected;
      const auto small = everything(found, attn::DenseBias{bias.view()}, lengths);
      const auto large = everything(expected, attn::DenseBias{written_out(bias.view())}, lengths);
      expect_same(found, expected);
      const auto& its = small.of<attn::DenseBias>();
      EXPECT_EQ(its.shape, sizes_of(pattern));
      EXPECT_TRUE(support::near(stacked(its.view()),
                                summed(large.of<attn::DenseBias>().view(), sizes_of(pattern)),
                                1e-14));
    }
  }
}

TEST(BroadcastMask, IsTheMaskWrittenOutInAllPatterns) {
  for (unsigned pattern = 1; pattern < 16; ++pattern) {
    SCOPED_TRACE(pattern);
    for (const Layout layout : {Layout::bhtd, Layout::bthd, Layout::strided}) {
      Array<bool> mask(layout, sizes_of(pattern));
      Index next = Index(pattern);
      mask.for_each([&](bool& sees) { sees = (next++ * 5) % 7 > 2; });
      const auto view = std::as_const(mask).view();
      std::vector<MatrixXd> found, expected;
      everything(found, attn::DenseMask{view}, lengths);
      everything(expected, attn::DenseMask{written_out(view)}, lengths);
      expect_same(found, expected);
    }
  }
}

TEST(BroadcastBias, OfOneNumberHasTheSumOfAllGradients) {
  // A constant moves no weight of softmax: its gradient is zero; that of a sigmoid's score is not.
  const double number = 0.5;
  const TensorView<const double> bias(&number, {1, 1, 1, 1}, {0, 0, 0, 0});
  std::vector<MatrixXd> results;
  const auto softmax = everything(results, attn::DenseBias{bias});
  EXPECT_NEAR(softmax.of<attn::DenseBias>().B(0, 0), 0.0, 1e-13);
  const auto sigmoid = everything(results, attn::DenseBias{bias}, attn::Sigmoid{.bias = -1});
  EXPECT_NEAR(sigmoid.of<attn::DenseBias>().B(0, 0), sigmoid.of<attn::Sigmoid>().bias, 1e-13);
  EXPECT_GT(std::abs(sigmoid.of<attn::Sigmoid>().bias), 1e-3);
}

}  // namespace
