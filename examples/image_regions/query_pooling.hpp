// SPDX-License-Identifier: Apache-2.0
// Pooling by a learned query: the regions of an image become one vector, each weighted by how much
// it matters.
//
//     alpha = softmax_j(score(q, F_j)),   o = sum_j alpha_j v_j,   v_j = Wv f_j + bv
//
//     scaled dot product   score = q . (Wk f_j + bk) / sqrt(d)
//     additive             score = v . tanh(Wq^T q + Wk^T f_j + b)
//     none                 alpha_j = 1 / regions: mean pooling, for comparison
//
// It is attention with one query an image. The query is the same for all of them, so it stands in
// memory once: its view has the stride 0 from image to image.
//
// Source: Bahdanau, Cho and Bengio 2015, section A.1.2; Vaswani et al. 2017, eq. 1.
#pragma once

#include <attn/attn.hpp>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "region_shape.hpp"

namespace examples {

struct QueryPoolingOptions {
  PoolingKind kind = PoolingKind::kAdditive;
  Index features = 0;       // of a region
  Index attention_dim = 0;  // of the query, and of the hidden layer of the additive score
  Index outputs = 0;        // of the pooled vector
};

template <typename T>
class QueryPooling {
 public:
  /// What backward needs, and the output: a row an image.
  struct Forward {
    MatrixOf<T> F, K, V;
    VectorOf<T> log_sum_exp;
    MatrixOf<T> output;
  };

  QueryPooling(const QueryPoolingOptions& options, Random& random)
      : kind_(options.kind), value_(options.features, options.outputs, random) {
    const Index a = options.attention_dim;
    const auto deviation = [](Index inputs) { return 1 / std::sqrt(static_cast<float>(inputs)); };
    if (kind_ == PoolingKind::kNone) return;
    add(query_, "query", random.normal_matrix(1, a, 1));
    if (kind_ == PoolingKind::kScaledDot) {
      key_.emplace(options.features, a, random);
      return;
    }
    add(Wq_, "Wq", random.normal_matrix(a, a, deviation(a)));
    add(Wk_, "Wk", random.normal_matrix(options.features, a, deviation(options.features)));
    add(v_, "v", random.normal_matrix(a, 1, deviation(a)));
    add(b_, "b", Matrix::Zero(a, 1));
  }

  /// F holds the regions of `images` images, one image behind the other.
  Forward forward(const MatrixOf<T>& F, Index images) const {
    Forward f{F, keys(F), value_.forward(F), VectorOf<T>(images), {}};
    f.output.resize(images, f.V.cols());
    with_score([&](const auto& score) {
      attn::attention_forward_into(view(f.output, images), view(f.log_sum_exp, images),
                                   query(images), view(f.K, images), view(f.V, images), score);
    });
    if (kind_ == PoolingKind::kNone) mean(f.V, f.output);
    return f;
  }

  /// alpha: a row an image, a column a region.
  MatrixOf<T> weights(const MatrixOf<T>& F, Index images) const {
    MatrixOf<T> alpha(images, F.rows() / images);
    alpha.setConstant(1 / static_cast<T>(alpha.cols()));
    const MatrixOf<T> K = keys(F);
    with_score([&](const auto& score) {
      attn::attention_weights_into(view(alpha, images), query(images), view(K, images), score);
    });
    return alpha;
  }

  /// Overwrites the parameters' gradients and returns dF.
  MatrixOf<T> backward(const Forward& f, const MatrixOf<T>& dO) {
    const Index images = dO.rows();
    MatrixOf<T> dV(f.V.rows(), f.V.cols()), dF;
    if (kind_ == PoolingKind::kNone) {
      for (Index b = 0; b < images; ++b)
        rows_of(dV, b, images).rowwise() = dO.row(b) / static_cast<T>(dV.rows() / images);
      return value_.backward(f.F, dV);
    }
    MatrixOf<T> dQ(images, query_.value.cols()), dK(f.K.rows(), f.K.cols());
    with_score([&](const auto& score) {
      const auto parts = attn::attention_backward_into(
          view(dQ, images), view(dK, images), view(dV, images), query(images), view(f.K, images),
          view(f.V, images), view(f.output, images), view(f.log_sum_exp, images), view(dO, images),
          score);
      keep_score_gradient(score, parts);
    });
    query_.gradient = dQ.colwise().sum();
    dF = value_.backward(f.F, dV);
    if (key_) return dF + key_->backward(f.F, dK);
    return dF + dK;
  }

  void append_parameters(std::vector<BasicParameter<T>>& parameters, const std::string& prefix) {
    value_.append_parameters(parameters, prefix + ".value");
    if (key_) key_->append_parameters(parameters, prefix + ".key");
    for (Weight* w : {&query_, &Wq_, &Wk_, &v_, &b_}) {
      if (w->value.size() > 0)
        parameters.push_back(parameter(prefix + "." + w->name, w->value, w->gradient));
    }
  }

 private:
  struct Weight {
    std::string name;
    MatrixOf<T> value;
    MatrixOf<T> gradient;
  };

  static void add(Weight& weight, std::string name, const Matrix& value) {
    weight = {std::move(name), value.cast<T>(), MatrixOf<T>::Zero(value.rows(), value.cols())};
  }

  /// The additive score makes its keys itself.
  MatrixOf<T> keys(const MatrixOf<T>& F) const { return key_ ? key_->forward(F) : F; }

  template <typename M>
  static auto rows_of(M& matrix, Index image, Index images) {
    return matrix.middleRows(image * (matrix.rows() / images), matrix.rows() / images);
  }
  static void mean(const MatrixOf<T>& V, MatrixOf<T>& output) {
    for (Index b = 0; b < output.rows(); ++b)
      output.row(b) = rows_of(V, b, output.rows()).colwise().mean();
  }

  template <typename M>
  static auto view(M& matrix, Index images) {
    const Index tokens = matrix.rows() / images;
    return attn::bhtd(matrix.data(), images, Index{1}, tokens, matrix.cols());
  }
  attn::TensorView<const T> query(Index images) const {
    return {query_.value.data(), {images, 1, 1, query_.value.cols()}, {0, 0, 0, 1}};
  }

  /// Nothing where nothing attends.
  template <typename Body>
  void with_score(const Body& body) const {
    using Map = Eigen::Map<const MatrixOf<T>>;
    const auto map = [](const Weight& w) {
      return Map(w.value.data(), w.value.rows(), w.value.cols());
    };
    if (kind_ == PoolingKind::kAdditive)
      body(attn::Additive{map(Wq_), map(Wk_), map(v_), map(b_)});
    else if (kind_ == PoolingKind::kScaledDot)
      body(attn::ScaledDotProduct{});
  }

  template <typename Score, typename Gradients>
  void keep_score_gradient(const Score&, const Gradients& gradients) {
    if constexpr (requires(Score score) { score.Wq; }) {
      const auto& g = gradients.template of<attn::Additive>();
      Wq_.gradient = g.Wq;
      Wk_.gradient = g.Wk;
      v_.gradient = g.v;
      b_.gradient = g.b;
    }
  }

  PoolingKind kind_;
  BasicLinear<T> value_;
  std::optional<BasicLinear<T>> key_;
  Weight query_, Wq_, Wk_, v_, b_;
};

}  // namespace examples
