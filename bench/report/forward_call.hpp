// SPDX-License-Identifier: Apache-2.0
// Forward calls as the rows time them: attention_into with a workspace that has grown.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <attn/attn.hpp>

#include "race.hpp"

namespace bench::report {

/// Self-attention with these parts. `how` is what changes the execution alone, such as Threads.
template <class T, int Order = Eigen::RowMajor, class How = attn::Threads, class... Parts>
Checked forward_call(Index n, Index d, How how, Parts... parts) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>;
  struct State {
    explicit State(Index tokens, Index features)
        : problem(tokens, features),
          Q(problem.Q),
          K(problem.K),
          V(problem.V),
          O(tokens, features) {}
    Problem<T> problem;
    Matrix Q, K, V, O;
    attn::Workspace workspace;
  };
  auto s = std::make_shared<State>(n, d);
  Checked call;
  call.run = [=] { attn::attention_into(s->O, s->Q, s->K, s->V, parts..., how, s->workspace); };
  call.error = [=, run = call.run] {
    s->O.setConstant(T(-1));
    run();
    return forward_error<T>(s->O, s->problem, parts...);
  };
  return call;
}

inline const attn::Threads one_thread{1};

/// "n = 512, d = 64, row-major"
inline std::string size_words(Index n, Index d) {
  return "n = " + std::to_string(n) + ", d = " + std::to_string(d);
}

/// The share of the peak that a plain forward call reaches.
template <class T, int Order = Eigen::RowMajor>
Plan forward_plan(std::string work, Index n, Index d, Goal goal) {
  const char* order = Order == Eigen::RowMajor ? ", row-major" : ", column-major";
  return share_of_peak<T>(
      std::move(work), size_words(n, d) + order, goal, [=](const Settings& settings) {
        const Index tokens = settings.n(n);
        const double pairs = double(tokens) * double(tokens);
        return Work{forward_call<T, Order>(tokens, d, one_thread), 4 * double(d) * pairs};
      });
}

}  // namespace bench::report
