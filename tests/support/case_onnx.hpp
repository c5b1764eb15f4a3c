// SPDX-License-Identifier: Apache-2.0
// Cases of the ONNX operators Attention, FlexAttention and LinearAttention, by way of attn::onnx.
//
// A slot of a case becomes a tensor of its type and rank, an attribute a member of the same name;
// what the library does not take of a case is told as unsupported, never left out unseen.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include <attn/onnx.hpp>

#include "support/case_compare.hpp"
#include "support/case_fields.hpp"
#include "support/case_folder.hpp"
#include "support/case_mod_reader.hpp"
#include "support/case_score_mod.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// The attributes of a node, defaults included; null where there is none.
class Attributes {
 public:
  Attributes(const Case& which, Names known) : values_(which.text.at("attributes")) {
    if (which.text.contains("attributes_with_defaults"))
      values_ = which.text["attributes_with_defaults"];
    for (const auto& [name, value] : values_.items())
      if (!value.is_null() && !is_one_of(name, known)) throw Unsupported("attribute " + name);
  }
  bool has(const char* name) const { return values_.contains(name) && !values_[name].is_null(); }
  Index integer(const char* name, Index otherwise) const {
    return find_integer(name).value_or(otherwise);
  }
  std::optional<Index> find_integer(const char* name) const {
    return has(name) ? std::optional(values_[name].get<Index>()) : std::nullopt;
  }
  std::optional<float> find_real(const char* name) const {
    return has(name) ? std::optional(values_[name].get<float>()) : std::nullopt;
  }
  std::string text(const char* name, const char* otherwise) const {
    return has(name) ? values_[name].get<std::string>() : otherwise;
  }

 private:
  Json values_;
};

/// The tensors of a node, in the types and shapes that its case states, and their memory.
class Slots {
 public:
  explicit Slots(const Case& which) : which_(which) {}

  /// Refuses a case with slots that nobody asks for.
  void expect(const char* list, Names known) const {
    for (const Json& item : which_.text.at(list))
      if (!item.at("tensor").is_null() && !is_one_of(item.at("name").get<std::string>(), known))
        throw Unsupported(std::string(list) + " " + item.at("name").get<std::string>());
  }

  template <class T>
  attn::onnx::Tensor<const T> input(const char* name) {
    const Json* item = which_.entry("inputs", name);
    if (item == nullptr) return {};
    const std::string type = item->at("tensor").at("dtype");
    if (!is_type<T>(type)) throw Unsupported(std::string(name) + " of type " + type);
    return copy<T>(*item);
  }

  /// attn_mask, of bool or of numbers, which the operator takes in the type of Q.
  template <class T>
  attn::onnx::Mask<T> mask(const char* name) {
    if (!which_.has_input(name)) return {};
    const std::string type = which_.type_of_input(name);
    if (type.find("int") != std::string::npos)
      throw Unsupported(std::string(name) + " of type " + type);
    if (type != "bool") return copy<T>(*which_.entry("inputs", name));
    const Tensor numbers = read(*which_.entry("inputs", name));
    bools_.emplace_back(numbers.numbers.size() + 1);  // one more: memory even where there is none
    for (std::size_t k = 0; k < numbers.numbers.size(); ++k)
      bools_.back()[k] = numbers.numbers[k] != 0;
    const auto* data = reinterpret_cast<const bool*>(bools_.back().data());
    return attn::onnx::Tensor<const bool>(data, numbers.shape);
  }

  /// Memory for a result of the recorded shape, filled with what no case expects.
  template <class T>
  attn::onnx::Tensor<T> output(const char* name) {
    const Json* item = which_.entry("outputs", name);
    if (item == nullptr) return {};
    const auto shape = item->at("tensor").at("shape").get<std::vector<Index>>();
    std::vector<T>& memory = store<T>(static_cast<std::size_t>(product(shape)));
    for (T& number : memory) number = static_cast<T>(-12345.f);
    return {memory.data(), shape};
  }

  /// Holds a result, contiguous as `output` made it, against the recorded one.
  template <class T>
  void check(const char* name, const attn::onnx::Tensor<T>& result, bool exact = false) const {
    const Json* item = which_.entry("outputs", name);
    if (item == nullptr) return;
    Tensor got{{result.shape.begin(), result.shape.begin() + result.rank}, {}};
    for (Index k = 0; k < product(got.shape); ++k)
      got.numbers.push_back(static_cast<double>(result.data[k]));
    const Tensor expected = read(*item);
    EXPECT_EQ(got.shape, expected.shape) << name;
    if (exact) return expect_same(name, got, expected);
    expect_close(name, got, expected, tolerance_of(which_.text.at("tolerances").at(name)));
  }

 private:
  template <class T>
  static bool is_type(const std::string& name) {
    if (std::is_same_v<T, float>) return name == "float32" || name == "float";
    if (std::is_same_v<T, double>) return name == "float64" || name == "double";
    if (std::is_same_v<T, Eigen::half>) return name == "float16";
    if (std::is_same_v<T, Eigen::bfloat16>) return name == "bfloat16";
    return name == "int64";
  }

  template <class T>
  attn::onnx::Tensor<const T> copy(const Json& item) {
    const Tensor numbers = read(item);
    std::vector<T>& memory = store<T>(numbers.numbers.size());
    for (std::size_t k = 0; k < memory.size(); ++k) memory[k] = static_cast<T>(numbers.numbers[k]);
    return {memory.data(), numbers.shape};
  }

  /// NumPy has no bfloat16: a file may hold its bits as whole numbers.
  Tensor read(const Json& item) const {
    Tensor tensor = which_.read(item);
    const Json& about = item.at("tensor");
    const std::string in_file = about.value("file_dtype", "");
    const bool has_copy = about.contains("file_f32") && !about.at("file_f32").is_null();
    if (about.at("dtype") != "bfloat16" || has_copy || in_file.starts_with("float")) return tensor;
    for (double& number : tensor.numbers)
      number = static_cast<double>(
          Eigen::numext::bit_cast<Eigen::bfloat16>(static_cast<std::uint16_t>(number)));
    return tensor;
  }

  static void expect_same(const char* name, const Tensor& got, const Tensor& expected) {
    for (std::size_t k = 0; k < expected.numbers.size(); ++k) {
      const double a = got.numbers[k], b = expected.numbers[k];
      const bool same =
          std::isnan(b) ? std::isnan(a) : a == b && std::signbit(a) == std::signbit(b);
      ASSERT_TRUE(same) << name << " at " << place_text(expected, k) << " is " << a
                        << " and should be " << b << ", bit for bit";
    }
  }

  /// Numbers that stay where they are as long as the case lasts.
  template <class T>
  std::vector<T>& store(std::size_t count) {
    auto& arrays = std::get<std::deque<std::vector<T>>>(memory_);
    arrays.emplace_back();
    arrays.back().reserve(count + 1);  // memory even where there is no number
    arrays.back().resize(count);
    return arrays.back();
  }

  const Case& which_;
  std::tuple<std::deque<std::vector<float>>, std::deque<std::vector<double>>,
             std::deque<std::vector<Eigen::half>>, std::deque<std::vector<Eigen::bfloat16>>,
             std::deque<std::vector<std::int64_t>>>
      memory_;
  std::deque<std::vector<std::uint8_t>> bools_;
};

template <class T>
void check_attention(const Case& which) {
  const Attributes a(
      which, {"is_causal", "scale", "q_num_heads", "kv_num_heads", "softcap", "softmax_precision",
              "qk_matmul_output_mode", "left_window_size", "right_window_size"});
  Slots slots(which);
  slots.expect("inputs",
               {"Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen"});
  slots.expect("outputs", {"Y", "present_key", "present_value", "qk_matmul_output"});
  attn::onnx::AttentionAttributes attributes;
  attributes.is_causal = a.integer("is_causal", 0) != 0;
  attributes.scale = a.find_real("scale");
  attributes.q_num_heads = a.find_integer("q_num_heads");
  attributes.kv_num_heads = a.find_integer("kv_num_heads");
  attributes.softcap = a.find_real("softcap").value_or(0.f);
  attributes.softmax_precision = a.find_integer("softmax_precision");
  attributes.qk_matmul_output_mode = a.integer("qk_matmul_output_mode", 0);
  attributes.left_window_size = a.integer("left_window_size", -1);
  attributes.right_window_size = a.integer("right_window_size", -1);
  const attn::onnx::AttentionInputs<T> in{
      .Q = slots.input<T>("Q"),
      .K = slots.input<T>("K"),
      .V = slots.input<T>("V"),
      .attn_mask = slots.mask<T>("attn_mask"),
      .past_key = slots.input<T>("past_key"),
      .past_value = slots.input<T>("past_value"),
      .nonpad_kv_seqlen = slots.input<std::int64_t>("nonpad_kv_seqlen")};
  const attn::onnx::AttentionOutputs<T> out{
      .Y = slots.output<T>("Y"),
      .present_key = slots.output<T>("present_key"),
      .present_value = slots.output<T>("present_value"),
      .qk_matmul_output = slots.output<T>("qk_matmul_output")};
  attn::onnx::attention(out, in, attributes, which.text.at("opset_version").get<Index>());
  slots.check("Y", out.Y);
  slots.check("present_key", out.present_key, true);
  slots.check("present_value", out.present_value, true);
  slots.check("qk_matmul_output", out.qk_matmul_output);
}

/// FlexAttention's graphs: {"kind": ..., "params": {...}}, or null.
template <class T>
struct Graphs {
  ScoreMods<T> score_mods;
  ProbMods prob_mods;
  Storage<T> numbers;
  Storage<double> patterns;

  explicit Graphs(const Case& which) {
    const Json modifiers = which.text.value("modifiers", Json::object());
    for (const auto& [name, modifier] : modifiers.items()) {
      if (modifier.is_null()) continue;
      Json object = modifier.value("params", Json::object());
      object["kind"] = modifier.at("kind");
      Fields fields(which, object, name);
      Origins origins;
      if (fields.kind() == "identity") continue;
      if (name == "score_mod")
        score_mods.list.push_back(ModReader<T>(numbers, origins).read(fields, name));
      else if (name == "prob_mod")
        read_prob_mod(fields, patterns, prob_mods);
      else
        throw Unsupported("modifier " + name);
    }
  }
};

template <class T>
void check_flex_attention(const Case& which) {
  const Attributes a(which, {"scale", "softmax_precision"});
  Slots slots(which);
  slots.expect("inputs", {"Q", "K", "V"});
  slots.expect("outputs", {"Y"});
  const attn::onnx::FlexAttentionAttributes attributes{
      .scale = a.find_real("scale"), .softmax_precision = a.find_integer("softmax_precision")};
  const attn::onnx::FlexAttentionInputs<T> in{
      .Q = slots.input<T>("Q"), .K = slots.input<T>("K"), .V = slots.input<T>("V")};
  const attn::onnx::FlexAttentionOutputs<T> out{.Y = slots.output<T>("Y")};
  const Graphs<T> graphs(which);
  attn::onnx::flex_attention(out, in, attributes, graphs.score_mods, graphs.prob_mods);
  slots.check("Y", out.Y);
}

template <class T, class S>
void check_linear_attention(const Case& which) {
  const Attributes a(which, {"update_rule", "scale", "q_num_heads", "kv_num_heads", "chunk_size"});
  Slots slots(which);
  slots.expect("inputs", {"query", "key", "value", "past_state", "decay", "beta"});
  slots.expect("outputs", {"output", "present_state"});
  const std::string rule = a.text("update_rule", "gated_delta");
  attn::onnx::LinearAttentionAttributes attributes;
  attributes.update_rule = rule;
  attributes.q_num_heads = a.find_integer("q_num_heads");
  attributes.kv_num_heads = a.find_integer("kv_num_heads");
  attributes.scale = a.find_real("scale").value_or(0.f);
  attributes.chunk_size = a.integer("chunk_size", 64);
  const attn::onnx::LinearAttentionInputs<T, S> in{.query = slots.input<T>("query"),
                                                   .key = slots.input<T>("key"),
                                                   .value = slots.input<T>("value"),
                                                   .past_state = slots.input<S>("past_state"),
                                                   .decay = slots.input<T>("decay"),
                                                   .beta = slots.input<T>("beta")};
  const attn::onnx::LinearAttentionOutputs<T, S> out{
      .output = slots.output<T>("output"), .present_state = slots.output<S>("present_state")};
  attn::onnx::linear_attention(out, in, attributes);
  slots.check("output", out.output);
  slots.check("present_state", out.present_state);
}

/// f(T()) with the scalar that ONNX calls by this name.
template <class F>
void with_scalar(const std::string& type, F&& f) {
  if (type == "float32" || type == "float") return f(float());
  if (type == "float16") return f(Eigen::half());
  if (type == "bfloat16") return f(Eigen::bfloat16());
  if (type == "float64" || type == "double") return f(double());
  throw Unsupported("tensors of type " + type);
}

/// A case of LinearAttention: tokens of one type, states of theirs or another.
inline void check_linear_attention(const Case& which) {
  const std::string tokens = which.type_of_input("query");
  const std::string states =
      which.has_input("past_state") ? which.type_of_input("past_state") : tokens;
  with_scalar(tokens, [&]<class T>(T) {
    with_scalar(states, [&]<class S>(S) {
      if constexpr (std::is_same_v<T, double> || std::is_same_v<S, double>)
        throw Unsupported("LinearAttention in double, which the operator does not have");
      else
        check_linear_attention<T, S>(which);
    });
  });
}

inline void check_onnx(const Case& which) {
  const std::string op = which.text.at("op");
  if (op == "LinearAttention") return check_linear_attention(which);
  if (!is_one_of(op, {"Attention", "FlexAttention"})) throw Unsupported("operator " + op);
  with_scalar(which.type_of_input("Q"), [&]<class T>(T) {
    op == "Attention" ? check_attention<T>(which) : check_flex_attention<T>(which);
  });
}

}  // namespace cases
