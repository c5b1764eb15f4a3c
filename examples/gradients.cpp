// SPDX-License-Identifier: Apache-2.0
// Learning with a mechanism: additive attention is trained by gradient descent to pick the value
// whose key is marked.
#include <attn/attn.hpp>
#include <iostream>

int main() {
  using Eigen::MatrixXf;
  std::srand(1);
  MatrixXf Q = MatrixXf::Random(16, 4), K = MatrixXf::Random(32, 4), V = MatrixXf::Random(32, 3);
  K.col(0).setConstant(-1);
  K(7, 0) = 1;  // the mark
  const MatrixXf target = V.row(7).replicate(16, 1);
  MatrixXf Wq = MatrixXf::Random(4, 8), Wk = MatrixXf::Random(4, 8);
  Eigen::VectorXf v = Eigen::VectorXf::Random(8);

  const Eigen::Map<MatrixXf> Wk_in_place(Wk.data(), 4, 8);  // parts refer to a Map: no copy
  const Eigen::Map<Eigen::VectorXf> v_in_place(v.data(), 8);
  attn::Attention mechanism{attn::Causal::bottom_right(),
                            attn::Additive{Wq, Wk_in_place, v_in_place}};
  attn::Workspace workspace;
  for (int step = 0; step <= 200; ++step) {
    auto forward = mechanism.forward(Q, K, V, workspace);      // .output, .log_sum_exp
    MatrixXf dO = forward.output - target;                     // of the squared error
    auto gradient = mechanism.backward(Q, K, V, forward, dO);  // .query, .key, .value
    Wk -= 0.1f * gradient.of<attn::Additive>().Wk;             // and of every part's parameters
    v -= 0.1f * gradient.of<attn::Additive>().v;
    if (step % 50 == 0) std::cout << "step " << step << ": error " << dO.squaredNorm() << '\n';
  }
  MatrixXf O(16, 3), P = mechanism.weights(Q, K);
  mechanism.into(O, Q, K, V, workspace);  // allocates nothing any more
  std::cout << "weight of the marked key: " << P.col(7).mean() << '\n';
  return P.col(7).mean() > 0.9f ? 0 : 1;
}
