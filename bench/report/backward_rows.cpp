// SPDX-License-Identifier: Apache-2.0
// Backward: dQ, dK and dV, counted as 10 n^2 d flops, of which 2 n^2 d compute the scores again.
#include <memory>

#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {
namespace {

Checked backward_call(Index n, Index d) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Forward = decltype(attn::attention_forward(Matrix(), Matrix(), Matrix()));
  struct State {
    State(Index tokens, Index features)
        : problem(tokens, features),
          Q(problem.Q),
          K(problem.K),
          V(problem.V),
          dO(problem.dO),
          query(tokens, features),
          key(tokens, features),
          value(tokens, features),
          forward(attn::attention_forward(Q, K, V)) {}
    Problem<float> problem;
    Matrix Q, K, V, dO, query, key, value;
    Forward forward;
    attn::Workspace workspace;
  };
  auto s = std::make_shared<State>(n, d);
  Checked call;
  call.run = [s] {
    attn::attention_backward_into(s->query, s->key, s->value, s->Q, s->K, s->V, s->forward, s->dO,
                                  s->workspace);
  };
  call.error = [s, run = call.run] {
    run();
    const struct { MatrixX<float> query, key, value; } gradients{s->query, s->key, s->value};
    return backward_error(gradients, s->problem);
  };
  return call;
}

Plan backward_plan(Index n, Index d, Goal goal) {
  return share_of_peak<float>("backward", size_words(n, d), goal, [=](const Settings& settings) {
    const Index tokens = settings.n(n);
    return Work{backward_call(tokens, d), 10 * double(tokens) * double(tokens) * double(d)};
  });
}

}  // namespace

std::vector<Plan> backward_rows() {
  std::vector<Plan> plans;
  for (const Index n : {1024, 2048}) {
    plans.push_back(backward_plan(n, 64, at_least(0.62, 0.72)));
    plans.push_back(backward_plan(n, 128, at_least(0.66, 0.75)));
  }
  return plans;
}

}  // namespace bench::report
