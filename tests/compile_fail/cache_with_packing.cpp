// SPDX-License-Identifier: Apache-2.0
// A cache has sequences of its own.
// expect: the cache knows its sequences. Leave CumulativeLengths out
#include <attn/attn.hpp>

int main() {
  const attn::KeyValueCache<float> cache({.head_dim = 4});
  attn::attend(Eigen::MatrixXf(2, 4), cache, attn::CumulativeLengths{{0, 2}});
}
