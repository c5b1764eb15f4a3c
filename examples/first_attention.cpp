// SPDX-License-Identifier: Apache-2.0
// The first program: two queries look at three keys; the second sees one key more than the first.
#include <attn/attn.hpp>
#include <iostream>

int main() {
  Eigen::MatrixXf Q(2, 2), K(3, 2), V(3, 2);
  Q << 1, 0, 0, 1;          // one query a row
  K << 4, 0, 0, 4, 4, 4;    // one key a row
  V << 10, 0, 0, 10, 5, 5;  // one value a row
  std::cout << attn::attention(Q, K, V) << "\n\n";
  std::cout << attn::attention(Q, K, V, attn::Causal{}, attn::Softcap{2.f}) << "\n\n";
  std::cout << attn::attention_weights(Q, K, attn::Causal{}, attn::Softcap{2.f}) << '\n';
}
