// SPDX-License-Identifier: Apache-2.0
// Tables over sizes: where attn is faster than plain Eigen, and where it is not.
#pragma once

namespace bench {

/// Prints time(attn) / time(plain Eigen), forward, float, one core; below 1 attn is faster.
/// `seconds` is spent on each size.
void print_ratios(double seconds);

}  // namespace bench
