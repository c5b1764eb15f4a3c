// SPDX-License-Identifier: Apache-2.0
// Looking into attention: where each word looks, how sharply, what reached the last word through
// two layers, and what a call on many words will do.
#include <attn/attn.hpp>
#include <iostream>

int main() {
  const char* words[] = {"the", "cat", "sat", "and", "it", "purred"};
  Eigen::MatrixXf K(6, 3), Q(6, 3);  // features: a thing, an action, a small word
  K << 0, 0, 2, 3, 0, 0, 0, 3, 0, 0, 0, 2, 1, 0, 2, 0, 3, 0;
  Q << 0, 0, 1, 0, 0, 2, 3, 0, 0, 0, 1, 0, 3, 0, 0, 2, 1, 0;  // what a word looks for
  const attn::Causal causal;

  const auto top = attn::explain::top_k(Q, K, 2, causal);              // .keys, .weights
  const Eigen::VectorXf H = attn::explain::entropy(Q, K, causal);      // 0: one key alone
  const Eigen::VectorXf m = attn::explain::column_mass(Q, K, causal);  // sums to the queries
  auto rollout = attn::explain::Rollout::of_token(5, 6);
  rollout.layer(Q, K, causal).layer(Q, K, causal);  // the last layer first

  std::cout.precision(3);
  for (Eigen::Index i = 0; i < 6; ++i) {
    std::cout << words[i] << " looks at";
    for (Eigen::Index r = 0; r < 2 && top.keys(i, r) >= 0; ++r)
      std::cout << ' ' << words[top.keys(i, r)] << ' ' << top.weights(i, r);
    std::cout << "; entropy " << H(i) << ", seen " << m(i) << ", gave the last word "
              << rollout.relevance()(i) << '\n';
  }
  const Eigen::MatrixXf X = Eigen::MatrixXf::Zero(4096, 64);
  std::cout << '\n'
            << attn::plan(X, X, X, causal, attn::Threads{2},
                          attn::score_mod([](auto s, attn::Position) { return s; }));
}
