// SPDX-License-Identifier: Apache-2.0
// nn.MultiheadAttention as a composition: projections, attention with Heads, a projection; and
// back.
#pragma once

#include <array>
#include <string>
#include <vector>

#include <attn/attention.hpp>

#include "support/case_fields.hpp"
#include "support/case_mask.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// A linear layer y = x W^T + b with its gradients, for rows of tokens.
template <class T>
struct Linear {
  attn::MatrixX<T> W;
  Eigen::RowVectorX<T> b;
  attn::MatrixX<T> dW = attn::MatrixX<T>::Zero(W.rows(), W.cols());
  Eigen::RowVectorX<T> db = Eigen::RowVectorX<T>::Zero(b.size());

  attn::MatrixX<T> operator()(const attn::MatrixX<T>& x) const {
    return (x * W.transpose()).rowwise() + b;
  }
  /// The gradient by x; adds those by W and b.
  attn::MatrixX<T> backward(const attn::MatrixX<T>& x, const attn::MatrixX<T>& dy) {
    dW += dy.transpose() * x;
    db += dy.colwise().sum();
    return dy * W;
  }
};

template <class T>
class MultiHead {
 public:
  explicit MultiHead(const Case& which) : which_(which) {
    Fields fields(which, which.text.at("pipeline"), "multi_head_attention");
    heads_ = static_cast<Index>(fields.number({"num_heads"}, 1));
    fields.expect({"embed_dim"}, static_cast<double>(which.input("out_proj.weight").shape.at(0)));
    fields.flag({"bias"}, true);
    fields.find({"kdim"}), fields.find({"vdim"});
    for (const Json& name : fields.need({"query_key_value"})) names_.push_back(name);
    const Json* mask = fields.find({"mask", "masks"});
    masks_ = read_masks(which, mask == nullptr ? Json() : *mask, bools_);
    fields.finish();
    for (std::size_t k = 0; k < 3; ++k) in_[k] = in_projection(k);
    out_ = linear(matrix_of<T>(which.input("out_proj.weight")), "out_proj.bias", 0);
  }

  /// Batch by batch; gradients of the parameters add up over the batches.
  Computed run() {
    for (const std::string& name : names_) gradients_[name] = zeros_like(which_.input(name));
    const Index batches = shape4(which_.input(names_[0]))[1];
    for (Index b = 0; b < batches; ++b) run_batch(b);
    Computed computed{{{"O", output_}, {"P", weights_}}, gradients_};
    add_parameters(computed.gradients);
    return computed;
  }

 private:
  static Linear<T> make(const attn::MatrixX<T>& W, const Eigen::RowVectorX<T>& b) { return {W, b}; }
  static Tensor zeros_like(Tensor tensor) {
    tensor.numbers.assign(tensor.numbers.size(), 0.0);
    return tensor;
  }

  /// With the rows of a bias from `first` on, or none.
  Linear<T> linear(const attn::MatrixX<T>& W, const std::string& bias, Index first) const {
    if (!which_.has_input(bias)) return make(W, Eigen::RowVectorX<T>::Zero(W.rows()));
    return make(W, vector_of<T>(which_.input(bias)).segment(first, W.rows()).transpose());
  }
  Linear<T> in_projection(std::size_t k) const {
    static const std::array<const char*, 3> separate = {"q_proj_weight", "k_proj_weight",
                                                        "v_proj_weight"};
    if (which_.has_input(separate[k])) {
      const attn::MatrixX<T> W = matrix_of<T>(which_.input(separate[k]));
      return linear(W, "in_proj_bias", Index(k) * W.rows());
    }
    const attn::MatrixX<T> all = matrix_of<T>(which_.input("in_proj_weight"));
    const Index rows = all.rows() / 3;
    return linear(all.middleRows(Index(k) * rows, rows), "in_proj_bias", Index(k) * rows);
  }

  attn::MatrixX<T> tokens(const std::string& name, Index b) const {
    const Tensor all = which_.input(name);
    const Shape shape = shape4(all);
    using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const double* first = all.numbers.data() + b * shape[2] * shape[3];
    return Eigen::Map<const Rows>(first, shape[2], shape[3]).template cast<T>();
  }

  static void append(Tensor& to, const Tensor& more) {
    to.numbers.insert(to.numbers.end(), more.numbers.begin(), more.numbers.end());
    to.shape = {static_cast<Index>(to.numbers.size())};
  }

  void run_batch(Index b) {
    std::array<attn::MatrixX<T>, 3> x, projected;
    for (std::size_t k = 0; k < 3; ++k) {
      x[k] = tokens(names_[k], b);
      projected[k] = in_[k](x[k]);
    }
    const auto& [Q, K, V] = projected;
    const Index length = masks_.padding ? masks_.padding->length(b) : K.rows();
    const attn::Attention mechanism{attn::Heads{heads_}, masks_.rest, attn::KeyPadding{length}};
    const auto forward = mechanism.forward(Q, K, V);
    append(output_, tensor_of(out_(forward.output)));
    append(weights_, tensor_of(mechanism.weights(Q, K)));
    const attn::MatrixX<T> d_attended = out_.backward(forward.output, tokens("dO", b));
    const auto gradient = mechanism.backward(Q, K, V, forward, d_attended);
    add_input(0, b, in_[0].backward(x[0], gradient.query));
    add_input(1, b, in_[1].backward(x[1], gradient.key));
    add_input(2, b, in_[2].backward(x[2], gradient.value));
  }

  void add_input(std::size_t k, Index b, const attn::MatrixX<T>& d) {
    const Tensor more = tensor_of(d);
    double* to = gradients_[names_[k]].numbers.data() + b * more.size();
    for (const double number : more.numbers) *to++ += number;
  }

  void add_parameters(std::map<std::string, Tensor>& to) const {
    Tensor weight, bias;
    for (const Linear<T>& projection : in_) {
      append(weight, tensor_of(projection.dW));
      append(bias, tensor_of(projection.db));
    }
    to["in_proj_weight"] = weight;
    to["in_proj_bias"] = bias;
    to["q_proj_weight"] = tensor_of(in_[0].dW);
    to["k_proj_weight"] = tensor_of(in_[1].dW);
    to["v_proj_weight"] = tensor_of(in_[2].dW);
    to["out_proj.weight"] = tensor_of(out_.dW);
    to["out_proj.bias"] = tensor_of(out_.db);
  }

  const Case& which_;
  Index heads_ = 1;
  std::vector<std::string> names_;
  Storage<bool> bools_;
  Masks masks_;
  std::array<Linear<T>, 3> in_;
  Linear<T> out_;
  Tensor output_, weights_;
  std::map<std::string, Tensor> gradients_;
};

template <class T>
Computed compute_multi_head(const Case& which) {
  return MultiHead<T>(which).run();
}

}  // namespace cases
