// SPDX-License-Identifier: Apache-2.0
// Runs a mechanism that was chosen at run time: every result that a case may have recorded.
#pragma once

#include <type_traits>
#include <variant>

#include <attn/attention.hpp>
#include <attn/concepts.hpp>
#include <attn/tensor_view.hpp>

#include "support/case_pipeline.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// Q, K, V and, where gradients are wanted, dO.
template <class T>
struct Problem {
  attn::TensorView<const T> q, k, v;
  attn::TensorView<const T> d_output{};  ///< without data: no gradients
  bool is_matrix = false;                ///< rank 2: goes through the entry points for matrices

  Shape scores() const { return {q.batches(), q.heads(), q.tokens(), k.tokens()}; }
};

/// What a call gives, gradients of parts by "part.member".
struct Results {
  Tensor output, log_sum_exp, weights, d_query, d_key, d_value;
  GradientMap parts;
};

template <class T, class Gradients, class Score, class Normalizer, class... Parts>
void collect_parts(const Gradients& gradients, GradientMap& to, const Score&, const Normalizer&,
                   const Parts&...) {
  collect_gradient("score", gradients.template of<Score>(), to);
  collect_gradient("normaliser", gradients.template of<Normalizer>(), to);
  if constexpr ((false || ... || std::is_same_v<Parts, ScoreMods<T>>))
    ScoreMods<T>::collect("modifiers.", gradients.template of<ScoreMods<T>>(), to);
}

/// By way of the entry points that take matrices.
template <class T, class... Parts>
Results attend_matrices(const Problem<T>& problem, const Parts&... parts) {
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto matrix = [](const attn::TensorView<const T>& view) {
    return Eigen::Map<const Rows>(view.data, view.tokens(), view.features());
  };
  const auto q = matrix(problem.q), k = matrix(problem.k), v = matrix(problem.v);
  const auto forward = attn::attention_forward(q, k, v, parts...);
  Results results;
  results.output = tensor_of(forward.output);
  results.log_sum_exp = tensor_of(forward.log_sum_exp);
  results.weights = tensor_of(attn::attention_weights(q, k, parts...));
  if (problem.d_output.data == nullptr) return results;
  const auto gradient =
      attn::attention_backward(q, k, v, forward, matrix(problem.d_output), parts...);
  results.d_query = tensor_of(gradient.query);
  results.d_key = tensor_of(gradient.key);
  results.d_value = tensor_of(gradient.value);
  collect_parts<T>(gradient.parts, results.parts, parts...);
  return results;
}

/// Results of a forward call by way of the entry points that take views, and their memory.
template <class T>
struct ViewedForward {
  using A = attn::Accumulator<T>;
  Storage<T> numbers;
  Storage<A> sums;
  attn::TensorView<T> output, weights;
  attn::TensorView<A> log_sum_exp;

  Results results() const {
    Results results;
    results.output = tensor_of(output);
    results.log_sum_exp = tensor_of(log_sum_exp);
    results.weights = tensor_of(weights);
    return results;
  }
};

template <class T, class... Parts>
ViewedForward<T> forward_views(const Problem<T>& problem, const Parts&... parts) {
  const auto &q = problem.q, &k = problem.k, &v = problem.v;
  const Shape scores = problem.scores();
  ViewedForward<T> forward;
  forward.output = forward.numbers.make({scores[0], scores[1], scores[2], v.features()});
  forward.weights = forward.numbers.make(scores);
  forward.log_sum_exp = forward.sums.make({scores[0], scores[1], scores[2], 1});
  attn::attention_forward_into(forward.output, forward.log_sum_exp, q, k, v, parts...);
  attn::attention_weights_into(forward.weights, q, k, parts...);
  return forward;
}

template <class T, class... Parts>
Results attend_views(const Problem<T>& problem, const Parts&... parts) {
  const ViewedForward<T> forward = forward_views(problem, parts...);
  Results results = forward.results();
  if (problem.d_output.data == nullptr) return results;
  const auto &q = problem.q, &k = problem.k, &v = problem.v;
  Storage<T> numbers;
  const auto d_query = numbers.make(q.shape), d_key = numbers.make(k.shape),
             d_value = numbers.make(v.shape);
  const auto gradients =
      attn::attention_backward_into(d_query, d_key, d_value, q, k, v, forward.output,
                                    forward.log_sum_exp, problem.d_output, parts...);
  results.d_query = tensor_of(d_query);
  results.d_key = tensor_of(d_key);
  results.d_value = tensor_of(d_value);
  collect_parts<T>(gradients, results.parts, parts...);
  return results;
}

template <class T, class... Parts>
Results attend(const Problem<T>& problem, const Parts&... parts) {
  return problem.is_matrix ? attend_matrices(problem, parts...) : attend_views(problem, parts...);
}

template <class T>
Results run_mechanism(const Problem<T>& problem, const Mechanism<T>& mechanism) {
  // The padding of a call moves its bottom right, so it is given as such; n_k keys are no padding.
  const attn::KeyPadding padding =
      mechanism.masks.padding.value_or(attn::KeyPadding{problem.k.tokens()});
  const bool plain = mechanism.mods.list.empty() && mechanism.probs.is_identity();
  return std::visit(
      [&](const auto& score, const auto& normalizer) {
        // The usual normaliser without modifiers takes the way of a call that has none.
        if constexpr (std::is_same_v<std::decay_t<decltype(normalizer)>, attn::Softmax>)
          if (plain) return attend(problem, score, normalizer, mechanism.masks.rest, padding);
        return attend(problem, score, normalizer, mechanism.mods, mechanism.masks.rest, padding,
                      mechanism.probs);
      },
      mechanism.score, mechanism.normalizer);
}

}  // namespace cases
