// SPDX-License-Identifier: Apache-2.0
// Cases of the ONNX operators Attention and FlexAttention, expressed with parts of the library.
//
// The steps are those of the operators' definition: heads apart, cached keys first, then score,
// soft cap, bias, masks and softmax. Padding given by nonpad_kv_seqlen aligns the diagonal to the
// bottom right of each batch; a cache moves it by the keys that it holds.
#pragma once

#include <cstddef>
#include <limits>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include <attn/normalizer.hpp>
#include <attn/score.hpp>

#include "support/case_compare.hpp"
#include "support/case_fields.hpp"
#include "support/case_folder.hpp"
#include "support/case_mask.hpp"
#include "support/case_mod_reader.hpp"
#include "support/case_run.hpp"
#include "support/case_score_mod.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// The attributes of a node, defaults included; null where there is none.
class Attributes {
 public:
  explicit Attributes(const Case& which) : values_(which.text.at("attributes")) {
    if (which.text.contains("attributes_with_defaults"))
      values_ = which.text["attributes_with_defaults"];
    for (const auto& [name, value] : values_.items())
      if (!is_one_of(name, {"is_causal", "scale", "q_num_heads", "kv_num_heads", "softcap",
                            "softmax_precision", "qk_matmul_output_mode", "left_window_size",
                            "right_window_size"}))
        throw Unsupported("attribute " + name);
  }
  Index integer(const char* name, Index otherwise) const {
    return has(name) ? values_[name].get<Index>() : otherwise;
  }
  /// ONNX stores real attributes in float.
  double real(const char* name, double otherwise) const {
    return has(name) ? static_cast<double>(values_[name].get<float>()) : otherwise;
  }
  bool has(const char* name) const { return values_.contains(name) && !values_[name].is_null(); }

 private:
  Json values_;
};

/// [B, S, H D] or [B, H, S, D] as {B, H, S, D}, in place.
template <class T>
attn::TensorView<T> split_heads(const Tensor& tensor, Index heads, Storage<T>& storage) {
  const attn::TensorView<T> all = storage.copy(tensor);
  if (tensor.shape.size() == 4) return all;
  if (tensor.shape.size() != 3 || heads < 1)
    throw Unsupported("an input of rank " + std::to_string(tensor.shape.size()));
  return attn::bthd(all.data, tensor.shape[0], tensor.shape[1], heads, tensor.shape[2] / heads);
}

/// The cached tokens, then the new ones.
template <class T>
attn::TensorView<T> join_tokens(const attn::TensorView<T>& past, const attn::TensorView<T>& present,
                                Storage<T>& storage) {
  const Index old = past.tokens();
  const auto all = storage.make(
      {present.batches(), present.heads(), old + present.tokens(), present.features()});
  for (Index b = 0; b < all.batches(); ++b)
    for (Index h = 0; h < all.heads(); ++h)
      for (Index t = 0; t < all.tokens(); ++t)
        for (Index f = 0; f < all.features(); ++f)
          all(b, h, t, f) = t < old ? past(b, h, t, f) : present(b, h, t - old, f);
  return all;
}

/// A mask may end before the keys do: what is missing is filled up.
inline Tensor fill_last_axis(const Tensor& tensor, Index width, double fill) {
  if (tensor.shape.empty() || tensor.shape.back() >= width) return tensor;
  const Index short_width = tensor.shape.back();
  Tensor filled = tensor;
  filled.shape.back() = width;
  filled.numbers.clear();
  for (Index k = 0; k < product(filled.shape); ++k) {
    const Index row = k / width, j = k % width;
    filled.numbers.push_back(j < short_width ? tensor.numbers[std::size_t(row * short_width + j)]
                                             : fill);
  }
  return filled;
}

/// Everything a node says, as a problem and a mechanism.
template <class T>
struct Node {
  explicit Node(const Case& which) : source(which), attributes(which) {}

  const Case& source;
  Attributes attributes;
  Problem<T> problem;
  attn::ScaledDotProduct score;
  ScoreMods<T> cap;   ///< what comes before the bias
  ScoreMods<T> bias;  ///< the bias
  Masks masks;
  ProbMods probs;
  Storage<T> numbers;
  Storage<bool> bools;
  Storage<double> patterns;

  attn::KeyPadding padding() const {
    return masks.padding.value_or(attn::KeyPadding{problem.k.tokens()});
  }
  attn::Extent extent(Index batch) const { return {problem.q.tokens(), padding().length(batch)}; }
};

template <class T>
void read_inputs(Node<T>& node) {
  const auto read = [&](const char* name, const char* heads) {
    return split_heads<T>(node.source.input(name), node.attributes.integer(heads, 0), node.numbers);
  };
  attn::TensorView<T> k = read("K", "kv_num_heads"), v = read("V", "kv_num_heads");
  if (node.source.has_input("past_key")) {
    k = join_tokens(node.numbers.copy(node.source.input("past_key")), k, node.numbers);
    v = join_tokens(node.numbers.copy(node.source.input("past_value")), v, node.numbers);
  }
  node.problem.q = read("Q", "q_num_heads");
  node.problem.k = k;
  node.problem.v = v;
  if (node.attributes.has("scale")) node.score.scale = node.attributes.real("scale", 0);
}

/// Causal rule and window, along the diagonal where the first query of this call stands.
template <class T>
void read_positions(Node<T>& node) {
  Alignment place;
  if (node.source.has_input("past_key")) place.offset = shape4(node.source.input("past_key"))[2];
  if (node.source.has_input("nonpad_kv_seqlen")) {
    node.masks.padding = attn::KeyPadding{integers_of(node.source.input("nonpad_kv_seqlen"))};
    place.bottom_right = true;
  }
  if (node.attributes.integer("is_causal", 0) != 0)
    node.masks.rest = node.masks.rest & attn::Causal{place.offset, place.bottom_right};
  const Index left = node.attributes.integer("left_window_size", -1);
  const Index right = node.attributes.integer("right_window_size", -1);
  node.masks.rest =
      node.masks.rest & attn::SlidingWindow{left, right, place.offset, place.bottom_right};
}

template <class T>
void read_attention_mask(Node<T>& node) {
  const double softcap = node.attributes.real("softcap", 0);
  if (softcap != 0) node.cap.list.push_back(attn::Softcap{softcap});
  if (!node.source.has_input("attn_mask")) return;
  const bool is_bool = node.source.type_of_input("attn_mask") == "bool";
  const double fill = is_bool ? 0 : -std::numeric_limits<double>::infinity();
  Tensor mask = node.source.input("attn_mask");
  const bool broadcasts = mask.shape.back() == 1 && node.source.text.at("opset_version") < 24;
  if (!broadcasts) mask = fill_last_axis(mask, node.problem.k.tokens(), fill);
  if (is_bool)
    node.masks.rest = node.masks.rest & attn::DenseMask{node.bools.copy(mask)};
  else
    node.bias.list.push_back(
        attn::DenseBias<T>{attn::TensorView<const T>(node.numbers.copy(mask))});
}

/// FlexAttention's modifiers: {"kind": ..., "params": {...}}.
template <class T>
void read_modifiers(Node<T>& node) {
  const Json modifiers = node.source.text.value("modifiers", Json::object());
  for (const auto& [name, modifier] : modifiers.items()) {
    if (modifier.is_null()) continue;
    Json object = modifier.value("params", Json::object());
    object["kind"] = modifier.at("kind");
    Fields fields(node.source, object, name);
    if (fields.kind() == "identity") continue;
    Origins origins;
    if (name == "score_mod")
      node.cap.list.push_back(ModReader<T>(node.numbers, origins).read(fields, "modifiers.0"));
    else if (name == "prob_mod")
      read_prob_mod(fields, node.patterns, node.probs);
    else
      throw Unsupported("modifier " + name);
  }
}

/// Y in the layout of Q: heads side by side again where Q has rank 3.
template <class T>
Tensor merge_heads(const attn::TensorView<T>& y, bool side_by_side) {
  if (!side_by_side) return tensor_of(y);
  const attn::TensorView<T> swapped(y.data, {y.shape[0], y.shape[2], y.shape[1], y.shape[3]},
                                    {y.strides[0], y.strides[2], y.strides[1], y.strides[3]});
  return tensor_of(swapped);
}

/// Output 3 before the softmax: 0 the scaled products, 1 capped, 2 with bias and hidden keys at
/// -inf. Only the last step may hide anything, so the call that is listened to has no masks.
template <class T>
Tensor scores_at(const Node<T>& node, Index mode) {
  Storage<double> storage;
  const auto scores = storage.make(node.problem.scores());
  ScoreMods<T> mods;
  const auto append = [&](const ScoreMods<T>& more) {
    mods.list.insert(mods.list.end(), more.list.begin(), more.list.end());
  };
  if (mode >= 1) append(node.cap);
  if (mode >= 2) append(node.bias);
  mods.list.push_back(Recorder{scores});
  forward_views(node.problem, node.score, mods, no_mask(),
                attn::KeyPadding{node.problem.k.tokens()}, node.probs);
  if (mode < 2) return tensor_of(scores);
  for (Index b = 0; b < scores.batches(); ++b)
    for (Index h = 0; h < scores.heads(); ++h)
      for (Index i = 0; i < scores.tokens(); ++i)
        for (Index j = 0; j < scores.features(); ++j)
          if (!node.masks.permits({b, h, i, j}, node.extent(b)))
            scores(b, h, i, j) = -std::numeric_limits<double>::infinity();
  return tensor_of(scores);
}

template <class T>
std::map<std::string, Tensor> outputs_of(const Node<T>& node) {
  ScoreMods<T> mods = node.cap;
  mods.list.insert(mods.list.end(), node.bias.list.begin(), node.bias.list.end());
  const auto forward =
      forward_views(node.problem, node.score, mods, node.masks.rest, node.padding(), node.probs);
  const bool side_by_side = node.source.input("Q").shape.size() == 3;
  const Index mode = node.attributes.integer("qk_matmul_output_mode", 0);
  return {{"Y", merge_heads(forward.output, side_by_side)},
          {"present_key", tensor_of(node.problem.k)},
          {"present_value", tensor_of(node.problem.v)},
          {"qk_matmul_output", mode == 3 ? tensor_of(forward.weights) : scores_at(node, mode)}};
}

template <class T>
void check_node(const Case& which) {
  Node<T> node(which);
  read_inputs(node);
  read_positions(node);
  read_attention_mask(node);
  read_modifiers(node);
  const auto computed = outputs_of(node);
  for (const Json& output : which.text.at("outputs")) {
    if (output.at("tensor").is_null()) continue;
    const std::string name = output.at("name");
    const auto found = computed.find(name);
    if (found == computed.end())
      report_unsupported(which, "output " + name);
    else
      expect_close(name, found->second, which.read(output),
                   tolerance_of(which.text.at("tolerances").at(name)));
  }
}

inline void check_onnx(const Case& which) {
  const std::string op = which.text.at("op");
  if (!is_one_of(op, {"Attention", "FlexAttention"})) throw Unsupported("operator " + op);
  const std::string type = which.type_of_input("Q");
  if (type == "float32")
    check_node<float>(which);
  else if (type == "float64")
    check_node<double>(which);
  else if (type == "float16")
    check_node<Eigen::half>(which);
  else if (type == "bfloat16")
    check_node<Eigen::bfloat16>(which);
  else
    throw Unsupported("Q of type " + type);
}

}  // namespace cases
