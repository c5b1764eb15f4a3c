// SPDX-License-Identifier: Apache-2.0
// A gated recurrent layer over a batch of sequences, forward and backward through time.
//
//     r = sigmoid(Wr x + Ur h + br)      z = sigmoid(Wz x + Uz h + bz)
//     n = tanh(Wn x + bn + r * (Un h + cn))      h' = (1 - z) * n + z * h
//
// Rows are ordered by time: row t B + b of every matrix is step t of sequence b of B, so that a
// step is a block of rows. All inputs go through one product, and each step has one for its states.
//
// Source: Cho et al. 2014, eq. 5 to 8, with the reset gate r behind the product, not in front of
// it: this is what makes one product a step enough.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "linear.hpp"
#include "matrix.hpp"
#include "parameter.hpp"
#include "random.hpp"

namespace examples {

/// Which end of a sequence comes first.
enum class Direction { kForward, kBackward };

template <typename T>
class Gru {
 public:
  /// What backward needs, and the states.
  struct Forward {
    std::vector<Index> lengths;
    MatrixOf<T> input;
    MatrixOf<T> before;      // the state that each step started from
    MatrixOf<T> gates;       // r, z and n side by side
    MatrixOf<T> from_state;  // Un h + cn
    MatrixOf<T> states;      // after each step
  };
  struct Gradient {
    MatrixOf<T> input;
    MatrixOf<T> initial;
  };

  Gru(Index inputs, Index hidden, Direction direction, Random& random)
      : hidden_(hidden),
        direction_(direction),
        input_(inputs, 3 * hidden, random),
        state_(hidden, 3 * hidden, random) {}

  Index hidden() const { return hidden_; }

  /// X has steps x B rows for the B sequences of `lengths`; `initial` B. A sequence that is over,
  /// or has not begun from the end, keeps its state, so that the last block of states (forward) or
  /// the first (backward) holds the final ones. Fast where longer sequences come first.
  Forward forward(const MatrixOf<T>& X, std::vector<Index> lengths,
                  const MatrixOf<T>& initial) const {
    const Index batch = initial.rows();
    const Index steps = X.rows() / batch;
    Forward f{std::move(lengths), X, zeros(X.rows(), 1), input_.forward(X), zeros(X.rows(), 1),
              zeros(X.rows(), 1)};
    MatrixOf<T> state = initial;
    for (Index s = 0; s < steps; ++s) {
      const Index t = direction_ == Direction::kForward ? s : steps - 1 - s;
      f.before.middleRows(t * batch, batch) = state;
      step(f, t, state);
      f.states.middleRows(t * batch, batch) = state;
    }
    return f;
  }

  /// Overwrites the parameters' gradients; `d_states` are those by the states after each step.
  Gradient backward(const Forward& f, const MatrixOf<T>& d_states) {
    const auto batch = static_cast<Index>(f.lengths.size());
    const Index steps = f.input.rows() / batch;
    GateGradients d{zeros(f.input.rows(), 3), zeros(f.input.rows(), 3)};
    MatrixOf<T> d_state = zeros(batch, 1);
    for (Index s = steps - 1; s >= 0; --s) {
      const Index t = direction_ == Direction::kForward ? s : steps - 1 - s;
      d_state += d_states.middleRows(t * batch, batch);
      step_back(f, t, d, d_state);
    }
    state_.set_gradients(f.before, d.by_state);
    return {input_.backward(f.input, d.by_input), std::move(d_state)};
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    input_.append_parameters(parameters, prefix + ".input");
    state_.append_parameters(parameters, prefix + ".state");
  }

 private:
  /// By the sums inside r, z and n: those that the inputs enter and those that the states enter
  /// differ in n, where the latter are multiplied by r.
  struct GateGradients {
    MatrixOf<T> by_input;
    MatrixOf<T> by_state;
  };

  MatrixOf<T> zeros(Index rows, Index widths) const {
    return MatrixOf<T>::Zero(rows, widths * hidden_);
  }

  /// Sequences 0 to this are all that run at step t.
  static Index running(std::span<const Index> lengths, Index t) {
    auto count = static_cast<Index>(lengths.size());
    while (count > 0 && lengths[static_cast<std::size_t>(count - 1)] <= t) --count;
    return count;
  }
  static bool runs(const Forward& f, Index b, Index t) {
    return t < f.lengths[static_cast<std::size_t>(b)];
  }

  void step(Forward& f, Index t, MatrixOf<T>& state) const {
    const Index h = hidden_;
    const Index count = running(f.lengths, t);
    const Index first = t * state.rows();
    const MatrixOf<T> sums = state_.forward(state.topRows(count));
    auto r = f.gates.block(first, 0, count, h).array();
    auto z = f.gates.block(first, h, count, h).array();
    auto n = f.gates.block(first, 2 * h, count, h).array();
    r = (r + sums.leftCols(h).array()).logistic();
    z = (z + sums.middleCols(h, h).array()).logistic();
    f.from_state.middleRows(first, count) = sums.rightCols(h);
    n = (n + r * sums.rightCols(h).array()).tanh();
    const MatrixOf<T> next = n + z * (state.topRows(count).array() - n);
    for (Index b = 0; b < count; ++b)
      if (runs(f, b, t)) state.row(b) = next.row(b);
  }

  void step_back(const Forward& f, Index t, GateGradients& d, MatrixOf<T>& d_state) const {
    const Index h = hidden_;
    const Index count = running(f.lengths, t);
    const Index first = t * d_state.rows();
    const auto block = [&](auto& M, Index c) { return M.block(first, c * h, count, h).array(); };
    const auto r = block(f.gates, 0), z = block(f.gates, 1), n = block(f.gates, 2);
    const auto after = d_state.topRows(count).array();
    block(d.by_input, 2) = after * (1 - z) * (1 - n * n);
    block(d.by_input, 1) = after * (block(f.before, 0) - n) * z * (1 - z);
    block(d.by_input, 0) = block(d.by_input, 2) * block(f.from_state, 0) * r * (1 - r);
    d.by_state.middleRows(first, count) = d.by_input.middleRows(first, count);
    block(d.by_state, 2) *= r;
    for (Index b = 0; b < count; ++b) {
      if (runs(f, b, t)) continue;
      d.by_input.row(first + b).setZero();
      d.by_state.row(first + b).setZero();
    }
    const MatrixOf<T> through_gates = state_.input_gradient(d.by_state.middleRows(first, count));
    for (Index b = 0; b < count; ++b)
      if (runs(f, b, t))
        d_state.row(b) = (d_state.row(b).array() * z.row(b)).matrix() + through_gates.row(b);
  }

  Index hidden_;
  Direction direction_;
  BasicLinear<T> input_;
  BasicLinear<T> state_;
};

}  // namespace examples
