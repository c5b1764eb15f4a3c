// SPDX-License-Identifier: Apache-2.0
// The library without exceptions: every entry point computes, and an error reaches the handler.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <Eigen/Core>
#include <attn/attn.hpp>

#if defined(__cpp_exceptions)
#error "this program is there to be compiled without exceptions"
#endif

namespace {

using Eigen::MatrixXf;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "without exceptions: %s\n", what);
  std::exit(1);
}

void require_close(const MatrixXf& a, const MatrixXf& b, const char* what) {
  require(a.rows() == b.rows() && a.cols() == b.cols() && a.isApprox(b, 1e-4f), what);
}

struct Problem {
  MatrixXf Q = MatrixXf::Random(6, 4);
  MatrixXf K = MatrixXf::Random(6, 4);
  MatrixXf V = MatrixXf::Random(6, 3);
  MatrixXf dO = MatrixXf::Random(6, 3);
};

void caches_agree(const Problem& p) {
  const MatrixXf O = attn::attention(p.Q, p.K, p.V, attn::Causal{});
  attn::KeyValueCache<float> cache({.head_dim = 4, .value_dim = 3});
  attn::PagedKeyValueCache<float> paged({.num_blocks = 2, .head_dim = 4, .value_dim = 3});
  const attn::Index sequence = paged.create();
  cache.append(p.K, p.V);
  paged.append(sequence, p.K, p.V);
  require_close(attn::attend(p.Q, cache, attn::Causal{}), O, "a cache is what it was given");
  require_close(attn::attend(p.Q, paged, sequence, attn::Causal{}), O, "and so is one of blocks");
}

void forward_calls_agree(const Problem& p) {
  const MatrixXf O = attn::attention(p.Q, p.K, p.V, attn::Causal{});
  require_close(O.row(0), p.V.row(0), "the first query of a causal attention sees one value");

  MatrixXf into(6, 3);
  attn::Workspace workspace;
  attn::attention_into(into, p.Q, p.K, p.V, attn::Causal{}, workspace);
  require_close(into, O, "attention_into");

  const auto forward = attn::attention_forward(p.Q, p.K, p.V, attn::Causal{});
  require_close(forward.output, O, "attention_forward");
  const MatrixXf P = attn::attention_weights(p.Q, p.K, attn::Causal{});
  require_close(P * p.V, O, "attention_weights");
  const auto weighted = attn::attention_with_weights(p.Q, p.K, p.V, attn::Causal{});
  require_close(weighted.output, O, "the output of attention_with_weights");
  require_close(weighted.weights, P, "the weights of attention_with_weights");

  const attn::Attention mechanism{attn::Causal{}};
  require_close(mechanism(p.Q, p.K, p.V), O, "a mechanism");
  require_close(mechanism(p.Q, p.K, p.V, attn::Threads{2}), O, "two threads");
}

void merged_halves_are_the_whole(const Problem& p) {
  const auto whole = attn::attention_forward(p.Q, p.K, p.V);
  const auto left = attn::attention_forward(p.Q, p.K.topRows(2), p.V.topRows(2));
  const auto right = attn::attention_forward(p.Q, p.K.bottomRows(4), p.V.bottomRows(4));
  const auto merged = attn::merge(left, right);
  require_close(merged.output, whole.output, "merge");
  require_close(merged.log_sum_exp, whole.log_sum_exp, "the log-sum-exp of merge");
}

// <dO, O> changes with V as the gradient says; O is linear in V, so the difference is exact.
void backward_is_the_slope(const Problem& p) {
  const attn::Attention mechanism{attn::Causal{}, attn::Softcap{2.f}};
  const auto forward = mechanism.forward(p.Q, p.K, p.V);
  const auto gradient = mechanism.backward(p.Q, p.K, p.V, forward, p.dO);
  const MatrixXf step = MatrixXf::Random(6, 3);
  const MatrixXf moved = mechanism(p.Q, p.K, p.V + step);
  const float expected = p.dO.cwiseProduct(moved - forward.output).sum();
  const float found = gradient.value.cwiseProduct(step).sum();
  require(std::abs(expected - found) < 1e-4f, "the gradient of V");
  require(gradient.query.rows() == 6 && gradient.key.rows() == 6, "the gradients of Q and K");
}

void pooling_averages(const Problem& p) {
  attn::AttentionPooling<float> pooling({.embed_dim = 4, .attention_dim = 5}, 1);
  const auto forward = pooling.forward(p.Q);
  require(std::abs(forward.weights.sum() - 1.f) < 1e-5f, "the weights of a pooling sum to 1");
  const auto gradient = pooling.backward(forward, MatrixXf::Ones(1, 4));
  require(gradient.input.rows() == 6, "the gradient of a pooling's input");
}

void linear_forms_agree(const Problem& p) {
  attn::LinearAttention layer({.rule = attn::UpdateRule::linear, .scale = 1});
  attn::LinearAttentionState<float> state;
  const MatrixXf O = layer(p.Q, p.K, p.V, state);
  require_close(O.row(0), p.Q.row(0) * p.K.row(0).transpose() * p.V.row(0), "linear attention");
  const auto forward = attn::kernel_attention_forward(p.Q, p.K, p.V, attn::Causal{});
  require_close(forward.output.row(0), p.V.row(0), "the first query of a causal kernel attention");
  const auto gradient =
      attn::kernel_attention_backward(p.Q, p.K, p.V, forward, p.dO, attn::Causal{});
  require(gradient.key.rows() == 6, "the gradients of kernel attention");
}

void pages_are_written(const Problem& p) {
  const MatrixXf P = attn::attention_weights(p.Q, p.K);
  const std::string page =
      attn::explain::heatmap_html(attn::explain::AlignmentHeatmap{.weights = P});
  require(page.find("class=\"cell\"") != page.npos, "a page of weights has cells");
}

// Ends the program: 0 when the message is the one about K's columns.
void expect_columns_message(const char* message) {
  const char* sentence = "K has 5 columns and Q has 4";
  if (std::strstr(message, sentence)) std::exit(0);
  std::fprintf(stderr, "the handler was told: %s\n", message);
  std::exit(1);
}

}  // namespace

int main() {
  std::srand(1);  // Eigen's Random draws from it
  const Problem problem;
  forward_calls_agree(problem);
  caches_agree(problem);
  merged_halves_are_the_whole(problem);
  backward_is_the_slope(problem);
  pooling_averages(problem);
  linear_forms_agree(problem);
  pages_are_written(problem);

  attn::set_error_handler(&expect_columns_message);
  const MatrixXf wrong = MatrixXf::Ones(6, 5);
  const MatrixXf O = attn::attention(problem.Q, wrong, problem.V);
  std::fprintf(stderr, "a K of another width was taken, O is %d x %d\n", int(O.rows()),
               int(O.cols()));
  return 1;
}
