// SPDX-License-Identifier: Apache-2.0
// Cases with a `pipeline` and the gradients of every input and parameter, in one scalar.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include <attn/pooling.hpp>

#include "support/case_compare.hpp"
#include "support/case_folder.hpp"
#include "support/case_multi_head.hpp"
#include "support/case_pipeline.hpp"
#include "support/case_run.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// Compares every recorded output; one of an unknown name is reported, and the rest still counts.
template <class T>
void compare_outputs(const Case& which, const Computed& computed) {
  const char* scalar = std::is_same_v<T, double> ? "float64" : "float32";
  for (const Json& output : which.text.at("outputs")) {
    const std::string name = output.at("name");
    const bool is_gradient = output.contains("gradient_of");
    const auto& from = is_gradient ? computed.gradients : computed.results;
    const auto found = from.find(is_gradient ? output["gradient_of"].get<std::string>() : name);
    if (found == from.end())
      report_unsupported(which, "output " + name);
    else
      expect_close(name, found->second, which.read(output),
                   tolerance_of(output.at("tolerances").at(scalar)));
  }
}

/// log(exp(L) + exp(sink)), head by head: what a sink makes of L.
inline Tensor add_sink(const Tensor& log_sum_exp, const attn::SoftmaxWithSink& sink, Index n_q,
                       Index heads) {
  Tensor result = log_sum_exp;
  for (std::size_t k = 0; k < result.numbers.size(); ++k) {
    const double logit = sink.logits(static_cast<Index>(k) / n_q % heads), l = result.numbers[k];
    const double most = std::max(l, logit);
    result.numbers[k] = most + std::log(std::exp(l - most) + std::exp(logit - most));
  }
  return result;
}

/// Queries and keys as the score function sees them: turned, where the pipeline says so.
template <class T>
Problem<T> read_problem(const Case& which, const std::optional<Rotation<T>>& rotation,
                        Storage<T>& storage) {
  Problem<T> problem;
  const Tensor q = which.input("Q");
  const std::size_t rank = q.shape.size();
  if (rank != 2 && rank != 4) throw Unsupported("Q of rank " + std::to_string(rank));
  problem.is_matrix = rank == 2;
  const attn::TensorView<T> queries = storage.copy(q), keys = storage.copy(which.input("K"));
  if (rotation) {
    rotation->embedding.apply(queries, rotation->query_offset);
    rotation->embedding.apply(keys, rotation->key_offset);
  }
  problem.q = queries;
  problem.k = keys;
  problem.v = storage.copy(which.input("V"));
  if (which.has_input("dO")) problem.d_output = storage.copy(which.input("dO"));
  return problem;
}

/// The gradient by what was turned, given that by the result.
template <class T>
Tensor turn_back(const Tensor& gradient, const attn::RotaryEmbedding<T>& embedding, Index offset) {
  Storage<T> storage;
  const attn::TensorView<T> view = storage.copy(gradient);
  embedding.apply_backward(view, offset);
  return tensor_of(view);
}

template <class T>
Computed compute_attention(const Case& which) {
  Storage<T> storage;
  const Mechanism<T> mechanism = PipelineReader<T>(which).read(which.text.at("pipeline"));
  const Problem<T> problem = read_problem(which, mechanism.rotation, storage);
  const Results results = run_mechanism(problem, mechanism);
  Computed computed;
  computed.results = {{"O", results.output}, {"L", results.log_sum_exp}, {"P", results.weights}};
  if (const auto* sink = std::get_if<attn::SoftmaxWithSink>(&mechanism.normalizer))
    computed.results["L_with_sink"] =
        add_sink(results.log_sum_exp, *sink, problem.q.tokens(), problem.q.heads());
  if (problem.d_output.data == nullptr) return computed;
  computed.gradients = {{"Q", results.d_query}, {"K", results.d_key}, {"V", results.d_value}};
  if (const auto& turned = mechanism.rotation) {
    computed.results["Q_rotated"] = tensor_of(problem.q);
    computed.results["K_rotated"] = tensor_of(problem.k);
    computed.gradients["Q"] = turn_back(results.d_query, turned->embedding, turned->query_offset);
    computed.gradients["K"] = turn_back(results.d_key, turned->embedding, turned->key_offset);
  }
  for (const auto& [name, key] : mechanism.origins)
    add_gradient(name, results.parts.at(key), computed.gradients);
  return computed;
}

template <class T>
Computed compute_pooling(const Case& which) {
  Storage<T> storage;
  Storage<bool> bools;
  Fields fields(which, which.text.at("pipeline"), "pipeline");
  const Json* mask = fields.find({"mask", "masks"});
  fields.finish();
  const Masks masks = read_masks(which, mask == nullptr ? Json() : *mask, bools);
  const attn::TensorView<const T> X = batch_of(which.input("X"), storage);
  const attn::KeyPadding padding = masks.padding.value_or(attn::KeyPadding{X.tokens()});
  const Tensor W = which.input("W");
  attn::AttentionPooling<T> layer({.embed_dim = X.features(), .attention_dim = W.shape.at(0)});
  layer.parameters.W = matrix_of<T>(W);
  layer.parameters.b = which.has_input("b")
                           ? vector_of<T>(which.input("b"))
                           : Eigen::VectorX<T>(Eigen::VectorX<T>::Zero(W.shape.at(0)));
  layer.parameters.v = vector_of<T>(which.input("v"));
  const auto forward = layer.forward(X, masks.rest, padding);
  const auto gradient = layer.backward(forward, matrix_of<T>(which.input("dO")));
  return {{{"O", tensor_of(forward.output)},
           {"P", tensor_of(forward.weights)},
           {"L", tensor_of(forward.log_sum_exp)}},
          {{"X", tensor_of(gradient.input)},
           {"W", tensor_of(gradient.parameters.W)},
           {"b", tensor_of(gradient.parameters.b)},
           {"v", tensor_of(gradient.parameters.v)}}};
}

template <class T>
void check_pytorch(const Case& which) {
  const Json& pipeline = which.text.at("pipeline");
  const std::string kind =
      pipeline.contains("kind") ? plain_name(pipeline["kind"].get<std::string>()) : "";
  compare_outputs<T>(which, kind == "attentionpooling"     ? compute_pooling<T>(which)
                            : kind == "multiheadattention" ? compute_multi_head<T>(which)
                                                           : compute_attention<T>(which));
}

/// main() of a program that checks them in one scalar.
template <class T>
int run_pytorch_cases(int argc, char** argv) {
  return run(argc, argv,
             {"PyTorchCase", [](const Json& text) { return text.contains("pipeline"); },
              check_pytorch<T>});
}

}  // namespace cases
