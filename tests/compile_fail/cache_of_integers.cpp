// SPDX-License-Identifier: Apache-2.0
// Whole numbers are stored in 8 bits, not in 32.
// expect: a cache stores float, double, Eigen::half, Eigen::bfloat16 or std::int8_t
#include <attn/attn.hpp>

int main() { attn::PagedKeyValueCache<float, int> cache({.num_blocks = 1, .head_dim = 4}); }
