// SPDX-License-Identifier: Apache-2.0
// A cache has positions of its own.
// expect: the cache knows the positions of its tokens. Leave PositionOffset out
#include <attn/attn.hpp>

int main() {
  const attn::KeyValueCache<float> cache({.head_dim = 4});
  attn::attend(Eigen::MatrixXf(2, 4), cache, attn::PositionOffset{.query = 3});
}
