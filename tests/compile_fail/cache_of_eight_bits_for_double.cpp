// SPDX-License-Identifier: Apache-2.0
// Eight bits come with scales in float, which do not hold every double.
// expect: a cache of std::int8_t is computed with in float
#include <attn/attn.hpp>
#include <cstdint>

int main() { attn::KeyValueCache<double, std::int8_t> cache({.head_dim = 4}); }
