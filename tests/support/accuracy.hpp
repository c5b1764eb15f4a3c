// SPDX-License-Identifier: Apache-2.0
// The accuracy that attention() promises, against the definition in a wider scalar.
#pragma once

#include <attn/attn.hpp>
#include <limits>
#include <type_traits>

#include "compare.hpp"
#include "problem.hpp"

namespace support {

/// Per row at most 2x the error of the textbook in the same scalar + 4 eps max|V|.
template <class T, class... Parts>
testing::AssertionResult accurate(const attn::MatrixX<T>& O, const Problem<T>& p,
                                  const Parts&... parts) {
  using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;
  const MatrixXd exact =
      attn::reference::attend<Wide>(p.Q, p.K, p.V, parts...).output.template cast<double>();
  const MatrixXd textbook =
      attn::reference::attend<T>(p.Q, p.K, p.V, parts...).output.template cast<double>();
  const double largest = p.V.size() == 0 ? 0 : double(p.V.cwiseAbs().maxCoeff());
  const double slack = 4 * double(std::numeric_limits<T>::epsilon()) * largest;
  return rows_within(O.template cast<double>(), exact,
                     (2 * row_errors(textbook, exact)).array() + slack);
}

}  // namespace support
