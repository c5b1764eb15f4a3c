// SPDX-License-Identifier: Apache-2.0
// Comparing a computed tensor with a recorded one, within the tolerance that its case states.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/npy.hpp"

namespace cases {

struct Tolerance {
  double rtol = 0;
  double atol = 0;
};

inline Tolerance tolerance_of(const nlohmann::json& entry) {
  return {entry.at("rtol").get<double>(), entry.at("atol").get<double>()};
}

/// |got - expected| <= atol + rtol |expected|; infinities agree in place and sign, NaN with NaN.
inline bool agree(double got, double expected, Tolerance tolerance) {
  if (std::isnan(expected)) return std::isnan(got);
  if (std::isinf(expected) || std::isinf(got)) return got == expected;
  return std::abs(got - expected) <= tolerance.atol + tolerance.rtol * std::abs(expected);
}

/// "[1, 2, 14]": the place of the k-th number.
inline std::string place_text(const Tensor& tensor, std::size_t k) {
  std::string text;
  for (std::size_t axis = tensor.shape.size(); axis-- > 0;) {
    const auto n = static_cast<std::size_t>(tensor.shape[axis]);
    text = std::to_string(k % n) + (text.empty() ? "" : ", ") + text;
    k /= n;
  }
  return "[" + text + "]";
}

/// One failure a tensor, with the worst of its numbers. Only sizes are compared, not shapes: a
/// vector may lie, stand or have dimensions of size 1.
inline void expect_close(const std::string& name, const Tensor& got, const Tensor& expected,
                         Tolerance tolerance) {
  ASSERT_EQ(got.size(), expected.size()) << name << " has another size than recorded";
  std::size_t wrong = 0, worst = 0;
  double largest = -1;
  for (std::size_t k = 0; k < expected.numbers.size(); ++k) {
    if (agree(got.numbers[k], expected.numbers[k], tolerance)) continue;
    ++wrong;
    const double error = std::abs(got.numbers[k] - expected.numbers[k]);
    if (largest < 0 || error > largest) largest = error, worst = k;
  }
  EXPECT_TRUE(wrong == 0) << name << ": " << wrong << " of " << expected.size()
                          << " numbers are off; the worst, at " << place_text(expected, worst)
                          << ", is " << got.numbers[worst] << " and should be "
                          << expected.numbers[worst] << " (rtol " << tolerance.rtol << ", atol "
                          << tolerance.atol << ")";
}

}  // namespace cases
