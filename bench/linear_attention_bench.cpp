// SPDX-License-Identifier: Apache-2.0
// Linear attention: prefill by chunks beside the token-by-token recurrence, one decoded token, and
// kernel attention forward and backward.
//
// Flops are those of the chunks with halved triangles (C = 64), or of the recurrence for one token.
// x_plain is the speed relative to the recurrence (chunk_size 1), whose results are the check.
#include <memory>
#include <string>

#include <attn/kernel_attention.hpp>
#include <attn/linear_attention.hpp>

#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

using attn::UpdateRule;

/// Tokens by columns: a TensorView of one batch and head with contiguous features.
struct LinearProblem {
  Index n, d;
  UpdateRule rule;
  bool decays = rule == UpdateRule::gated || rule == UpdateRule::gated_delta;
  bool is_delta = rule == UpdateRule::delta || rule == UpdateRule::gated_delta;
  MatrixX<float> q, k, v, decay, beta, state, output;
  attn::Workspace workspace;

  LinearProblem(Index tokens, Index features, UpdateRule r, bool decay_per_channel)
      : n(tokens),
        d(features),
        rule(r),
        q(random_matrix<float>(d, n, 1)),
        k(random_matrix<float>(d, n, 2).colwise().normalized()),
        v(random_matrix<float>(d, n, 3)),
        decay(-0.05F * random_matrix<float>(decay_per_channel ? d : 1, n, 4).cwiseAbs()),
        beta((random_matrix<float>(1, n, 5).array().tanh() + 1) / 2),
        state(MatrixX<float>::Zero(d, d)),
        output(d, n) {}

  static attn::TensorView<const float> view(const MatrixX<float>& m) {
    return attn::bhtd<const float>(m.data(), 1, 1, m.cols(), m.rows());
  }
  void run(Index chunk_size) {
    const attn::TensorView<const float> none;
    const auto s = attn::bhtd(state.data(), 1, 1, d, d);
    attn::LinearAttention({.rule = rule, .chunk_size = chunk_size})
        .into(attn::bhtd(output.data(), 1, 1, n, d), view(q), view(k), view(v),
              attn::Decay<float>{decays ? view(decay) : none},
              attn::Beta<float>{is_delta ? view(beta) : none},
              attn::LinearAttentionStateViews<float>{s, s}, workspace);
  }
  MatrixX<float> result(Index chunk_size) {
    state.setZero();
    run(chunk_size);
    return output;
  }
};

Work prefill(Index n, Index d, UpdateRule rule, bool decay_per_channel) {
  auto problem = std::make_shared<LinearProblem>(n, d, rule, decay_per_channel);
  constexpr double chunk = 64;
  const double size = static_cast<double>(d), once = 4 * size * size + 2 * chunk * size;
  Work work;
  work.flops = static_cast<double>(n) * (problem->is_delta ? once + once - 2 * size * size : once);
  work.peak = fma_peak<float>();
  work.run = [=] { problem->run(64); };
  work.plain.push_back([=] { problem->run(1); });
  work.error = [=] {
    const MatrixX<float> expected = problem->result(1);
    return (problem->result(64) - expected).cwiseAbs().maxCoeff() /
           (1e-5 * expected.cwiseAbs().maxCoeff());
  };
  return work;
}

Work decode(Index d, UpdateRule rule) {
  auto problem = std::make_shared<LinearProblem>(1, d, rule, true);
  const double size = static_cast<double>(d);
  Work work;
  work.flops = (problem->is_delta ? 8 : 6) * size * size;
  work.peak = fma_peak<float>();
  work.run = [=] { problem->run(64); };
  return work;
}

Work kernel(Index n, Index d, bool backward) {
  auto p = std::make_shared<Problem<float>>(n, d);
  const auto forward = attn::kernel_attention_forward(p->Q, p->K, p->V, attn::Causal{});
  auto output = std::make_shared<MatrixX<float>>(n, d);
  const double size = static_cast<double>(d), once = 4 * size * size + 2 * 64 * size;
  Work work;
  work.flops = static_cast<double>(n) * (backward ? 3 : 1) * once;
  work.peak = fma_peak<float>();
  if (backward)
    work.run = [=] {
      *output =
          attn::kernel_attention_backward(p->Q, p->K, p->V, forward, p->dO, attn::Causal{}).query;
    };
  else
    work.run = [=] { *output = attn::kernel_attention(p->Q, p->K, p->V, attn::Causal{}); };
  return work;
}

const bool added = [] {
  constexpr const char* names[] = {"linear", "gated", "delta", "gated_delta"};
  for (const Index d : {64, 128}) {
    const std::string features = "/d:" + std::to_string(d);
    for (const UpdateRule rule :
         {UpdateRule::linear, UpdateRule::gated, UpdateRule::delta, UpdateRule::gated_delta}) {
      const std::string name = std::string("linear_attention/") + names[static_cast<int>(rule)];
      add_benchmark(name + "/f32/n:4096" + features, [=] { return prefill(4096, d, rule, false); });
      add_benchmark(name + "/decode/f32/n:1" + features, [=] { return decode(d, rule); });
    }
    add_benchmark("linear_attention/gated_delta/per_channel/f32/n:4096" + features,
                  [=] { return prefill(4096, d, UpdateRule::gated_delta, true); });
    add_benchmark("kernel_attention/causal/f32/n:4096" + features,
                  [=] { return kernel(4096, d, false); });
    add_benchmark("kernel_attention/causal/backward/f32/n:4096" + features,
                  [=] { return kernel(4096, d, true); });
  }
  return true;
}();

}  // namespace
}  // namespace bench
