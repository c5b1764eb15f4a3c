// SPDX-License-Identifier: Apache-2.0
// Comparing results row by row with bounds; a NaN that is not expected always fails.
#pragma once

#include <gtest/gtest.h>

#include <attn/config.hpp>
#include <cmath>
#include <cstring>
#include <limits>

namespace support {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// |a - e|, where equal infinities are equal and two NaNs are too.
inline double distance(double actual, double expected) {
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return 0;
  return std::abs(actual - expected);
}

/// The largest distance of every row, NaN where there is one.
inline VectorXd row_errors(const MatrixXd& actual, const MatrixXd& expected) {
  VectorXd errors = VectorXd::Zero(actual.rows());
  for (attn::Index i = 0; i < actual.rows(); ++i)
    for (attn::Index j = 0; j < actual.cols(); ++j) {
      const double error = distance(actual(i, j), expected(i, j));
      if (!(error <= errors(i))) errors(i) = error;
    }
  return errors;
}

/// Whether every row lies within the bound that it has.
inline testing::AssertionResult rows_within(const MatrixXd& actual, const MatrixXd& expected,
                                            const VectorXd& bounds) {
  if (actual.rows() != expected.rows() || actual.cols() != expected.cols())
    return testing::AssertionFailure()
           << "is " << actual.rows() << " x " << actual.cols() << " and should be "
           << expected.rows() << " x " << expected.cols();
  const VectorXd errors = row_errors(actual, expected);
  for (attn::Index i = 0; i < actual.rows(); ++i)
    if (!(errors(i) <= bounds(i)))
      return testing::AssertionFailure()
             << "row " << i << " is off by " << errors(i) << ", allowed are " << bounds(i) << "\n  "
             << actual.row(i) << "\nand should be\n  " << expected.row(i);
  return testing::AssertionSuccess();
}

/// Whether all numbers lie within one bound.
template <class A, class E>
testing::AssertionResult near(const Eigen::DenseBase<A>& actual,
                              const Eigen::DenseBase<E>& expected, double bound) {
  const MatrixXd wanted = expected.derived().template cast<double>();
  return rows_within(actual.derived().template cast<double>(), wanted,
                     VectorXd::Constant(actual.rows(), bound));
}

/// Whether two plain matrices hold the same bits.
template <class M>
testing::AssertionResult same_bits(const M& a, const M& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols())
    return testing::AssertionFailure() << "the sizes differ";
  const std::size_t bytes = sizeof(typename M::Scalar) * static_cast<std::size_t>(a.size());
  if (bytes == 0 || std::memcmp(a.data(), b.data(), bytes) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "the bits differ by up to " << (a - b).cwiseAbs().maxCoeff();
}

}  // namespace support
