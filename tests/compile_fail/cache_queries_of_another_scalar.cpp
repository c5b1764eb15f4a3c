// SPDX-License-Identifier: Apache-2.0
// Queries of double against a cache of float.
// expect: Q has another scalar type than the cache. Cast it: Q.cast<float>()
#include <attn/attn.hpp>

int main() {
  const attn::KeyValueCache<float> cache({.head_dim = 4});
  attn::attend(Eigen::MatrixXd(2, 4), cache);
}
