// SPDX-License-Identifier: Apache-2.0
// Additive attention and attention pooling: a tanh for each query, key and hidden feature.
//
// Flops count the products and, as two each, the additions and multiplications around the tanh; the
// tanh itself counts as none, so fractions of the peak are small by nature.
#include <cmath>
#include <memory>
#include <string>

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
  for (const Index n : {32, 128, 512})
    add_benchmark("additive/full" + size_name<float>(n, 64) + "/a:64/threads:1",
                  [=] { return additive_work(n, 64, 64); });
  for (const Index n : {16, 64, 512})
    add_benchmark("pooling" + size_name<float>(n, 128) + "/a:64/threads:1",
                  [=] { return pooling_work(n, 128, 64); });
  return true;
}();

}  // namespace
}  // namespace bench
