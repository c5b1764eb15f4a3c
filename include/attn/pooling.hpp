// SPDX-License-Identifier: Apache-2.0
// Attention pooling: many tokens become one, each weighted by how much it matters.
//
//     alpha = softmax_i(v . tanh(W x_i + b)),  output = sum_i alpha_i x_i
//
// It is additive attention with one query that holds nothing: K and V are both X.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <tuple>
#include <utility>

#include <attn/attention.hpp>
#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/initial.hpp>
#include <attn/engine/token_rows.hpp>
#include <attn/score.hpp>
#include <attn/tensor_view.hpp>

ATTN_BEGIN_NAMESPACE

struct AttentionPoolingOptions {
  Integer embed_dim = 0;      ///< d, the features of a token
  Integer attention_dim = 0;  ///< a, the width of the hidden layer
};

/// W a x d, b and v of size a; gradients have the same form.
template <class T>
struct AttentionPoolingParameters {
  MatrixX<T> W;
  VectorX<T> b;
  VectorX<T> v;

  template <class F>
  void for_each(F&& f) {
    f(std::string_view("W"), W), f(std::string_view("b"), b), f(std::string_view("v"), v);
  }
  template <class F>
  void for_each(F&& f) const {
    f(std::string_view("W"), W), f(std::string_view("b"), b), f(std::string_view("v"), v);
  }
};

/// What a forward pass gives and what backward needs of it.
template <class T, class... Parts>
struct AttentionPoolingForward {
  using Tokens = engine::TokenRows<T>;
  Tokens input;    ///< a copy of X
  Tokens output;   ///< batches x d
  Tokens weights;  ///< batches x tokens: alpha
  VectorX<Accumulator<T>> log_sum_exp;
  std::tuple<Parts...> parts;
};

template <class T>
struct AttentionPoolingBackward {
  engine::TokenRows<T> input;  ///< as Forward::input
  AttentionPoolingParameters<Accumulator<T>> parameters;
};

/// Pools n tokens into one.
///
/// Shapes  X n x d gives 1 x d; a TensorView {batch, 1, token, d} gives batch x d
/// Parts   masks (KeyPadding for padded batches), modifiers, Dropout, Threads, as in attention
/// Empty   a batch without visible tokens gives zeros
/// Throws  ShapeError where X does not have d features, ValueError for sizes below 1
/// Source  Yang et al. 2016 (hierarchical attention), eq. 5 to 7; Lin et al. 2017
template <class T>
class AttentionPooling {
 public:
  using Tokens = engine::TokenRows<T>;

  AttentionPoolingParameters<T> parameters;

  /// Xavier-uniform W and v, b = 0 (Glorot & Bengio 2010, eq. 16).
  explicit AttentionPooling(AttentionPoolingOptions options, Seed seed = 0) {
    const Index d = options.embed_dim, a = options.attention_dim;
    if (d < 1 || a < 1)
      engine::raise_value({"AttentionPooling: embed_dim is ", d, " and attention_dim is ", a,
                           "; both must be 1 or more"});
    std::mt19937_64 random{std::uint64_t(seed)};
    parameters.W = xavier(a, d, random);
    parameters.b = VectorX<T>::Zero(a);
    parameters.v = xavier(a, 1, random);
  }

  /// 1 x d from a matrix, batch x d from a view.
  template <class X, class... Parts>
  Tokens operator()(const X& x, Parts&&... parts) const {
    return forward(x, parts...).output;
  }

  /// The weights alone: 1 x n, or batch x token.
  template <class X, class... Parts>
  Tokens weights(const X& x, Parts&&... parts) const {
    return forward(x, parts...).weights;
  }

  template <class X, class... Parts>
  auto forward(const X& x, Parts&&... parts) const {
    static_assert(engine::diagnose_parts<T, Additive<T>, Parts...>());
    static_assert(
        (true && ... && (!PartOf<Parts, role::heads> && !PartOf<Parts, role::workspace>)),
        "attn::AttentionPooling: Heads and Workspace have no place here. Leave them out.");
    AttentionPoolingForward<T, std::decay_t<Parts>...> result{
        engine::token_rows<T>("AttentionPooling", "X", x), {}, {}, {}, {parts...}};
    const Index batches = engine::batches_of(x);
    const TensorView<const T> tokens = tokens_of(result.input, batches);
    if (tokens.features() != parameters.W.cols())
      engine::raise_shape({"AttentionPooling: X has ", tokens.features(), " columns and W is ",
                           engine::size_text(parameters.W.rows(), parameters.W.cols()),
                           "; a token needs the same d features"});
    result.output.resize(batches, tokens.features());
    result.weights.resize(batches, tokens.tokens());
    result.log_sum_exp.resize(batches);
    const engine::WeightedOutputs<T, Accumulator<T>> outputs{
        {output_view(result.output.data(), result.output),
         {result.log_sum_exp.data(), {batches, 1, 1, 1}, {1, 0, 0, 0}}},
        output_view(result.weights.data(), result.weights)};
    const auto score = additive();
    engine::forward_call("AttentionPooling", engine::Inputs<T>{no_query(batches), tokens, tokens},
                         outputs, score, parts...);
    return result;
  }

  /// Gradients by X and by the parameters, given dO (1 x d, or batch x d).
  template <class... Parts, class DO>
  AttentionPoolingBackward<T> backward(const AttentionPoolingForward<T, Parts...>& forward,
                                       const DO& d_output) const {
    const Index batches = forward.output.rows();
    const TensorView<const T> tokens = tokens_of(forward.input, batches);
    const Tokens d_out = d_output;
    Tokens d_keys(forward.input.rows(), forward.input.cols()), d_values = d_keys;
    engine::BackwardViews<T, Accumulator<T>> views;
    views.output = output_view(forward.output.data(), forward.output);
    views.log_sum_exp = {forward.log_sum_exp.data(), {batches, 1, 1, 1}, {1, 0, 0, 0}};
    views.d_output = output_view(d_out.data(), d_out);
    views.d_query = {nullptr, {batches, 1, 1, 0}, {0, 0, 0, 0}};
    views.d_key = tokens_of(d_keys, batches);
    views.d_value = tokens_of(d_values, batches);
    const auto score = additive();
    const auto gradients = std::apply(
        [&](const auto&... parts) {
          return engine::backward_call("AttentionPooling",
                                       engine::Inputs<T>{no_query(batches), tokens, tokens}, views,
                                       score, parts...);
        },
        forward.parts);
    const auto& g = gradients.template of<Additive>();
    return {d_keys + d_values, {g.Wk.transpose(), g.b, g.v}};
  }

 private:
  static MatrixX<T> xavier(Index rows, Index cols, std::mt19937_64& random) {
    return engine::uniform_matrix<T>(rows, cols, engine::xavier_bound(cols, rows), random);
  }

  /// The mechanism: Wk = W^T, and a query without features.
  Additive<T> additive() const {
    using TransposedMap = Eigen::Map<const MatrixX<T>, Eigen::Unaligned,
                                     Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
    const MatrixX<T>& W = parameters.W;
    const TransposedMap Wk(W.data(), W.cols(), W.rows(), {1, W.rows()});
    return {.Wq = MatrixX<T>(0, W.rows()),
            .Wk = Wk,
            .v = Eigen::Map<const VectorX<T>>(parameters.v.data(), parameters.v.size()),
            .b = Eigen::Map<const VectorX<T>>(parameters.b.data(), parameters.b.size())};
  }
  static TensorView<const T> no_query(Index batches) {
    return {nullptr, {batches, 1, 1, 0}, {0, 0, 0, 0}};
  }

  template <class Rows>
  static auto tokens_of(Rows& rows, Index batches) {
    const Index tokens = batches > 0 ? rows.rows() / batches : 0;
    return bhtd(rows.data(), batches, 1, tokens, rows.cols());
  }
  template <class U>
  static TensorView<U> output_view(U* data, const Tokens& rows) {
    return bhtd(data, rows.rows(), 1, 1, rows.cols());
  }
};

ATTN_END_NAMESPACE
