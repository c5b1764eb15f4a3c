// SPDX-License-Identifier: Apache-2.0
// The gradients of a batch, made by copies of the model on several threads.
//
//     g = sum_p (n_p / n) g_p
//
// The batch is cut into parts of fixed sizes, one a copy, and their gradients are added in order,
// so that the result does not depend on the number of threads.
#pragma once

#include <attn/executor.hpp>
#include <cstddef>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

/// Model: copyable, with `parameters()`, each of which has a gradient in every row.
template <typename Model>
class ParallelGradients {
 public:
  /// `model` must outlive this.
  ParallelGradients(Model& model, Index threads)
      : parameters_(model.parameters()), threads_{threads}, copies_(kParts, model) {
    for (Model& copy : copies_) copy_parameters_.push_back(copy.parameters());
  }

  std::vector<Parameter>& parameters() { return parameters_; }

  /// Sets the gradients of the model to those of the mean loss of `batch_size` examples, and
  /// returns that loss. `part(copy, first, count)` does so for a copy and some of the examples.
  template <typename Part>
  float differentiate(Index batch_size, const Part& part) {
    std::vector<float> losses(kParts, 0);
    threads_.run(kParts, [&](Index task, Index) {
      const auto p = static_cast<std::size_t>(task);
      const Index first = begin(task, batch_size);
      const Index count = begin(task + 1, batch_size) - first;
      if (count == 0) return;
      for (std::size_t i = 0; i < parameters_.size(); ++i)
        copy_parameters_[p][i].value = parameters_[i].value;
      losses[p] = part(copies_[p], first, count);
    });
    return add_up(losses, batch_size);
  }

 private:
  static constexpr Index kParts = 4;

  static Index begin(Index part, Index batch_size) { return batch_size * part / kParts; }

  float add_up(const std::vector<float>& losses, Index batch_size) {
    float loss = 0;
    for (Parameter& p : parameters_) p.gradient.setZero();
    for (Index part = 0; part < kParts; ++part) {
      const Index count = begin(part + 1, batch_size) - begin(part, batch_size);
      if (count == 0) continue;  // the copy's gradients are those of an earlier batch
      const float share = static_cast<float>(count) / static_cast<float>(batch_size);
      const auto p = static_cast<std::size_t>(part);
      loss += share * losses[p];
      for (std::size_t i = 0; i < parameters_.size(); ++i)
        parameters_[i].gradient += share * copy_parameters_[p][i].gradient;
    }
    return loss;
  }

  std::vector<Parameter> parameters_;
  attn::Threads threads_;
  std::vector<Model> copies_;
  std::vector<std::vector<Parameter>> copy_parameters_;
};

}  // namespace examples
