// SPDX-License-Identifier: Apache-2.0
// Adam with decoupled weight decay; sparse tensors are updated only in the rows that a batch
// touched.
//
//     m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
//     w = (1 - rate decay) w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//
// Source: Kingma and Ba 2015, algorithm 1; Loshchilov and Hutter 2019 for the decay.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "matrix.hpp"
#include "parameter.hpp"

namespace examples {

struct AdamOptions {
  float learning_rate = 2e-3f;
  float first_decay = 0.9f;
  float second_decay = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
};

class Adam {
 public:
  explicit Adam(const AdamOptions& options) : options_(options) {}

  /// One step along the gradients. Every call must bring the same parameters in the same order.
  /// `rate_factor` scales the learning rate of this step.
  void step(std::vector<Parameter>& parameters, float rate_factor = 1) {
    if (moments_.empty()) start(parameters);
    ++steps_;
    rate_ = options_.learning_rate * rate_factor;
    for (std::size_t i = 0; i < parameters.size(); ++i) update(parameters[i], moments_[i]);
  }

 private:
  struct Moments {
    Vector first;
    Vector second;
  };

  void start(const std::vector<Parameter>& parameters) {
    for (const Parameter& p : parameters) {
      moments_.push_back({Vector::Zero(p.value.size()), Vector::Zero(p.value.size())});
    }
  }

  void update(Parameter& p, Moments& moments) const {
    if (p.touched_rows == nullptr) return update_range(p, moments, 0, p.value.size());
    for (const Index row : *p.touched_rows) {
      update_range(p, moments, row * p.columns, p.columns);
    }
  }

  void update_range(Parameter& p, Moments& moments, Index start, Index size) const {
    const float b1 = options_.first_decay;
    const float b2 = options_.second_decay;
    auto m = moments.first.segment(start, size).array();
    auto v = moments.second.segment(start, size).array();
    auto w = p.value.segment(start, size).array();
    const auto g = p.gradient.segment(start, size).array();
    m = b1 * m + (1 - b1) * g;
    v = b2 * v + (1 - b2) * g.square();
    const float m_scale = 1 / (1 - std::pow(b1, steps_));
    const float v_scale = 1 / (1 - std::pow(b2, steps_));
    w = (1 - rate_ * options_.weight_decay) * w -
        rate_ * m_scale * m / ((v_scale * v).sqrt() + options_.epsilon);
  }

  AdamOptions options_;
  std::vector<Moments> moments_;
  float rate_ = 0;
  float steps_ = 0;  // counted as a float because it is only ever an exponent
};

}  // namespace examples
