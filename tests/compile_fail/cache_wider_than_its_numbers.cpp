// SPDX-License-Identifier: Apache-2.0
// A cache that stores more than it is given.
// expect: a cache does not store numbers wider than those that it is given
#include <attn/attn.hpp>

int main() { attn::KeyValueCache<float, double> cache({.head_dim = 4}); }
