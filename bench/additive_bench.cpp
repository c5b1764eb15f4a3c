// SPDX-License-Identifier: Apache-2.0
// Additive attention and attention pooling: a tanh for each query, key and hidden feature.
//
// Flops count the products and, as two each, the additions and multiplications around the tanh; the
// tanh itself counts as none, so fractions of the peak are small by nature.
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <attn/attn.hpp>

#include "baseline/plain_eigen.hpp"
#include "fma_peak.hpp"
#include "problem.hpp"
#include "work.hpp"

namespace bench {
namespace {

struct AdditiveData {
  AdditiveData(Index n, Index d, Index a)
      : problem(n, d),
        Wq(random_matrix<float>(d, a, 11) / std::sqrt(static_cast<float>(d))),
        Wk(random_matrix<float>(d, a, 12) / std::sqrt(static_cast<float>(d))),
        v(random_matrix<float>(a, 1, 13)) {}
  attn::Additive<float> part() const { return {Wq, Wk, v}; }

  Problem<float> problem;
  MatrixX<float> Wq, Wk;
  VectorX<float> v;
  MatrixX<float> output;
};

Work additive_work(Index n, Index d, Index a) {
  auto data = std::make_shared<AdditiveData>(n, d, a);
  const double pairs = static_cast<double>(n) * static_cast<double>(n);
  Work work;
  work.flops = pairs * static_cast<double>(3 * a + 2 * d) +
               4 * static_cast<double>(n) * static_cast<double>(a * d);
  work.peak = fma_peak<float>();
  const attn::Attention mechanism{data->part()};
  work.run = [=] { data->output = mechanism(data->problem.Q, data->problem.K, data->problem.V); };
  work.plain.push_back([=] {
    MatrixX<float> O = plain_eigen::additive(data->problem.Q, data->problem.K, data->problem.V,
                                             data->Wq, data->Wk, data->v);
    benchmark::DoNotOptimize(O.data());
  });
  work.error = [=, run = work.run] {
    run();
    return forward_error(data->output, data->problem, data->part());
  };
  return work;
}

/// What plain Eigen keeps of its forward pass: P, and for every query the tanh of all keys.
struct Kept {
  MatrixX<float> P;
  std::vector<MatrixX<float>> hidden;  ///< n_k x a each

  explicit Kept(const AdditiveData& data) {
    const Problem<float>& p = data.problem;
    const MatrixX<float> q = p.Q * data.Wq, k = p.K * data.Wk;
    MatrixX<float> S(p.n, p.n);
    for (Index i = 0; i < p.n; ++i) {
      hidden.push_back((k.rowwise() + q.row(i)).array().tanh());
      S.row(i) = hidden.back() * data.v;
    }
    P = (S.colwise() - S.rowwise().maxCoeff()).array().exp();
    const VectorX<float> factors = P.rowwise().sum().cwiseInverse();
    P.array().colwise() *= factors.array();
  }
};

struct AdditiveGradients {
  MatrixX<float> query, key, value, Wq, Wk;
  VectorX<float> v;
};

AdditiveGradients plain_backward(const AdditiveData& data, const Kept& kept) {
  const Problem<float>& p = data.problem;
  AdditiveGradients g;
  g.value.noalias() = kept.P.transpose() * p.dO;
  MatrixX<float> dS = p.dO * p.V.transpose();
  const VectorX<float> mean = kept.P.cwiseProduct(dS).rowwise().sum();
  dS = kept.P.cwiseProduct(dS.colwise() - mean);
  g.v = VectorX<float>::Zero(data.v.size());
  MatrixX<float> dq(p.n, data.v.size()), dk = MatrixX<float>::Zero(p.n, data.v.size());
  MatrixX<float> through(p.n, data.v.size());
  for (Index i = 0; i < p.n; ++i) {
    const MatrixX<float>& t = kept.hidden[static_cast<std::size_t>(i)];
    const VectorX<float> ds = dS.row(i);
    through = (ds * data.v.transpose()).array() * (1 - t.array().square());
    g.v.noalias() += t.transpose() * ds;
    dq.row(i) = through.colwise().sum();
    dk += through;
  }
  g.query.noalias() = dq * data.Wq.transpose();
  g.key.noalias() = dk * data.Wk.transpose();
  g.Wq.noalias() = p.Q.transpose() * dq;
  g.Wk.noalias() = p.K.transpose() * dk;
  return g;
}

/// Gradients of Q, K, V and the parameters; attn computes the tanh again, plain Eigen has kept it.
Work additive_backward_work(Index n, Index d, Index a) {
  auto data = std::make_shared<AdditiveData>(n, d, a);
  const auto& p = data->problem;
  const attn::Additive<float> part = data->part();
  auto forward = std::make_shared<decltype(attn::attention_forward(p.Q, p.K, p.V, part))>(
      attn::attention_forward(p.Q, p.K, p.V, part));
  using Result = decltype(attn::attention_backward(p.Q, p.K, p.V, *forward, p.dO, part));
  auto result = std::make_shared<std::optional<Result>>();
  auto kept = std::make_shared<Kept>(*data);
  const double pairs = static_cast<double>(n) * static_cast<double>(n);
  Work work;
  work.flops = pairs * static_cast<double>(8 * a + 4 * d) +
               12 * static_cast<double>(n) * static_cast<double>(a * d);
  work.peak = fma_peak<float>();
  work.run = [=] {
    const auto& problem = data->problem;
    result->emplace(attn::attention_backward(problem.Q, problem.K, problem.V, *forward, problem.dO,
                                             data->part()));
  };
  work.plain.push_back([=] {
    const AdditiveGradients gradients = plain_backward(*data, *kept);
    benchmark::DoNotOptimize(gradients.query.data());
  });
  work.error = [=, run = work.run] {
    run();
    return backward_error(**result, data->problem, data->part());
  };
  return work;
}

/// n tokens become one: additive attention with one query that holds nothing.
Work pooling_work(Index n, Index d, Index a) {
  auto layer = std::make_shared<attn::AttentionPooling<float>>(
      attn::AttentionPoolingOptions{.embed_dim = d, .attention_dim = a}, 1);
  auto X = std::make_shared<MatrixX<float>>(random_matrix<float>(n, d, 14));
  auto output = std::make_shared<MatrixX<float>>();
  Work work;
  work.flops = static_cast<double>(n) * static_cast<double>(2 * a * d + 3 * a + 2 * d);
  work.peak = fma_peak<float>();
  work.run = [=] { *output = (*layer)(*X); };
  const auto expected = [=]() -> MatrixX<float> {
    const auto& p = layer->parameters;
    const MatrixX<float> hidden =
        ((*X * p.W.transpose()).rowwise() + p.b.transpose()).array().tanh();
    const VectorX<float> s = hidden * p.v;
    const VectorX<float> weights = (s.array() - s.maxCoeff()).exp();
    return (weights / weights.sum()).transpose() * *X;
  };
  work.plain.push_back([=] {
    MatrixX<float> O = expected();
    benchmark::DoNotOptimize(O.data());
  });
  work.error = [=, run = work.run]() -> double {
    run();
    return (*output - expected()).lpNorm<Eigen::Infinity>() / 1e-5f;
  };
  return work;
}

const bool added = [] {
  for (const Index n : {32, 128, 512, 2048})
    add_benchmark("additive/full" + size_name<float>(n, 64) + "/a:64/threads:1",
                  [=] { return additive_work(n, 64, 64); });
  for (const Index n : {32, 128, 512})
    add_benchmark("additive/backward" + size_name<float>(n, 64) + "/a:64/threads:1",
                  [=] { return additive_backward_work(n, 64, 64); });
  for (const Index n : {16, 64, 512})
    add_benchmark("pooling" + size_name<float>(n, 128) + "/a:64/threads:1",
                  [=] { return pooling_work(n, 128, 64); });
  return true;
}();

}  // namespace
}  // namespace bench
