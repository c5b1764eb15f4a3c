// SPDX-License-Identifier: Apache-2.0
// Data for benchmarks, and the check of their results against the textbook.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>

#include <Eigen/Core>

#include <attn/concepts.hpp>
#include <attn/reference.hpp>

namespace bench {

using Eigen::Index;
using Eigen::MatrixX;
using Eigen::VectorX;

/// Standard normal numbers from a fixed seed.
template <class T>
MatrixX<T> random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  return MatrixX<T>::NullaryExpr(rows, cols, [&] { return static_cast<T>(normal(random)); });
}

/// Self-attention of n tokens with d features, heads side by side.
template <class T>
struct Problem {
  Index n, d;
  MatrixX<T> Q, K, V, dO;

  Problem(Index tokens, Index features, Index key_features = 0)
      : n(tokens),
        d(features),
        Q(random_matrix<T>(n, d, 1)),
        K(random_matrix<T>(n, key_features > 0 ? key_features : d, 2)),
        V(random_matrix<T>(n, key_features > 0 ? key_features : d, 3)),
        dO(random_matrix<T>(n, d, 4)) {}
};

/// "/f32/n:1024/d:64"
template <class T>
std::string size_name(Index n, Index d) {
  std::string name = std::is_same_v<T, double> ? "/f64/n:" : "/f32/n:";
  return name.append(std::to_string(n)).append("/d:").append(std::to_string(d));
}

/// Rows that are checked: a few from the start, the middle and the end.
inline constexpr Index checked_rows = 3;

/// The error of an output against attn::reference in double, on some of its rows, as a multiple of
/// what is allowed: n eps max|V|, which no correct summation comes near.
template <class T, class... Parts>
double forward_error(const MatrixX<T>& O, const Problem<T>& problem, const Parts&... parts) {
  const double allowed = static_cast<double>(std::numeric_limits<T>::epsilon()) *
                         static_cast<double>(std::max<Index>(problem.n, 64)) *
                         static_cast<double>(problem.V.cwiseAbs().maxCoeff());
  const Index rows = O.rows(), count = std::min(checked_rows, rows);
  double worst = 0;
  for (const Index first : {Index(0), rows / 2 - count / 2, rows - count}) {
    const Index start = std::clamp<Index>(first, 0, rows - count);
    const auto expected =
        attn::reference::attend(problem.Q.middleRows(start, count), problem.K, problem.V, parts...,
                                attn::PositionOffset{.query = start});
    const Eigen::MatrixXd error =
        O.middleRows(start, count).template cast<double>() - expected.output;
    worst = std::max(worst, error.template lpNorm<Eigen::Infinity>());
  }
  return worst / allowed;
}

/// The error of dQ, dK and dV along one random direction, against a central difference of
/// attn::reference in double, as a multiple of what is allowed.
template <class T, class Gradients, class... Parts>
double backward_error(const Gradients& gradients, const Problem<T>& problem,
                      const Parts&... parts) {
  const auto wide = [](const MatrixX<T>& m) -> Eigen::MatrixXd {
    return m.template cast<double>();
  };
  const Eigen::MatrixXd x = random_matrix<double>(problem.Q.rows(), problem.Q.cols(), 5);
  const Eigen::MatrixXd y = random_matrix<double>(problem.n, problem.K.cols(), 6);
  const Eigen::MatrixXd z = random_matrix<double>(problem.n, problem.V.cols(), 7);
  const auto loss = [&](double h) {
    const auto result = attn::reference::attend(Eigen::MatrixXd(wide(problem.Q) + h * x),
                                                Eigen::MatrixXd(wide(problem.K) + h * y),
                                                Eigen::MatrixXd(wide(problem.V) + h * z), parts...);
    return result.output.cwiseProduct(wide(problem.dO)).sum();
  };
  const double h = 1e-4, expected = (loss(h) - loss(-h)) / (2 * h);
  const Eigen::MatrixXd terms[] = {wide(gradients.query).cwiseProduct(x),
                                   wide(gradients.key).cwiseProduct(y),
                                   wide(gradients.value).cwiseProduct(z)};
  double sum = 0, squares = 0;
  for (const Eigen::MatrixXd& t : terms) sum += t.sum(), squares += t.squaredNorm();
  return std::abs(sum - expected) / (1e-3 * std::sqrt(squares));
}

}  // namespace bench
