// SPDX-License-Identifier: Apache-2.0
// Keys of double for a cache of float.
// expect: keys and values have another scalar type than the cache. Cast them: K.cast<float>()
#include <attn/attn.hpp>

int main() {
  attn::KeyValueCache<float> cache({.head_dim = 4});
  const Eigen::MatrixXd K(2, 4);
  cache.append(K, K);
}
