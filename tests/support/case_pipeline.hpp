// SPDX-License-Identifier: Apache-2.0
// From the `pipeline` of a case.json to the parts of a call.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <attn/normalizer.hpp>
#include <attn/rotary.hpp>
#include <attn/score.hpp>

#include "support/case_fields.hpp"
#include "support/case_mask.hpp"
#include "support/case_mod_reader.hpp"
#include "support/case_score_mod.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// What turns queries and keys before they meet.
template <class T>
struct Rotation {
  attn::RotaryEmbedding<T> embedding;
  Index query_offset = 0;
  Index key_offset = 0;
};

/// {"pairing": "interleaved", "base": 10000, "query_offset": 7}
template <class T>
Rotation<T> read_rotation(const Case& source, const Json& object) {
  Fields fields(source, object, "rope");
  attn::RotaryEmbeddingOptions options;
  if (const Json* pairing = fields.find({"pairing"})) {
    const std::string name = plain_name(pairing->get<std::string>());
    if (is_one_of(name, {"halfsplit", "half", "rotatehalf", "neox"}))
      options.pairing = attn::RotaryPairing::half_split;
    else if (name != "interleaved")
      throw Unsupported("rope with pairing " + name);
  }
  options.base = fields.number({"base", "theta"}, 10000.0);
  options.dim = static_cast<Index>(fields.number({"dim", "rotary_dim"}, 0));
  const double shared = fields.number({"offset"}, 0);
  const Rotation<T> rotation = {attn::RotaryEmbedding<T>(options),
                                static_cast<Index>(fields.number({"query_offset"}, shared)),
                                static_cast<Index>(fields.number({"key_offset"}, shared))};
  fields.finish();
  return rotation;
}

/// Parts chosen at run time, and the memory that they refer to.
template <class T>
struct Mechanism {
  std::variant<attn::ScaledDotProduct, attn::DotProduct, attn::CosineSimilarity, attn::Bilinear<T>,
               attn::Additive<T>>
      score;
  ScoreMods<T> mods;
  Masks masks;
  std::variant<attn::Softmax, attn::SoftmaxWithSink, attn::Sigmoid, attn::Sparsemax, attn::Entmax15>
      normalizer;
  ProbMods probs;
  std::optional<Rotation<T>> rotation;
  Origins origins;  ///< input or number -> "score.Wq", "modifiers.0.cap", "normaliser.logits"
  Storage<T> numbers;
  Storage<bool> bools;
  Storage<double> patterns;
};

template <class T>
class PipelineReader {
 public:
  explicit PipelineReader(const Case& source) : source_(source) {}

  Mechanism<T> read(const Json& pipeline) {
    Fields fields(source_, pipeline, "pipeline");
    if (!fields.kind().empty()) fields.unknown();
    if (const Json* score = fields.find({"score", "score_function"})) read_score(*score);
    if (const Json* mods = fields.find({"modifiers", "score_modifiers", "score_mods"}))
      read_mods(*mods);
    if (const Json* masks = fields.find({"mask", "masks"}))
      result_.masks = read_masks(source_, *masks, result_.bools);
    if (const Json* normaliser = fields.find({"normaliser", "normalizer"}))
      read_normaliser(*normaliser);
    if (const Json* probs = fields.find({"prob_modifiers", "prob_mods", "probability_modifiers"}))
      read_probs(*probs);
    if (const Json* rotation = fields.find({"rope", "rotary"}))
      result_.rotation = read_rotation<T>(source_, *rotation);
    fields.finish();
    return std::move(result_);
  }

 private:
  void read_score(const Json& object) {
    Fields fields(source_, object, "score");
    const std::string& kind = fields.kind();
    if (is_one_of(kind, {"dotproduct", "dot"})) {
      result_.score = attn::DotProduct{};
    } else if (is_one_of(kind, {"scaleddotproduct", "scaleddot"})) {
      result_.score = attn::ScaledDotProduct{scale(fields)};
    } else if (is_one_of(kind, {"cosine", "cosinesimilarity"})) {
      result_.score = attn::CosineSimilarity{scale(fields).value_or(1.0)};
    } else if (is_one_of(kind, {"bilinear", "general", "multiplicative"})) {
      result_.score = attn::Bilinear<T>{matrix_of<T>(parameter(fields, {"W", "weight"}, "W"))};
    } else if (is_one_of(kind, {"additive", "bahdanau", "concat"})) {
      result_.score = additive(fields);
    } else {
      fields.unknown();
    }
    fields.finish();
  }

  attn::Additive<T> additive(Fields& fields) {
    attn::Additive<T> part;
    part.Wq = matrix_of<T>(parameter(fields, {"Wq", "W_q", "wq"}, "Wq"));
    part.Wk = matrix_of<T>(parameter(fields, {"Wk", "W_k", "wk"}, "Wk"));
    part.v = vector_of<T>(parameter(fields, {"v"}, "v"));
    if (fields.find({"b", "bias"}) != nullptr)
      part.b = vector_of<T>(parameter(fields, {"b", "bias"}, "b"));
    return part;
  }

  /// A parameter of the score function, whose gradient is recorded under its input's name.
  Tensor parameter(Fields& fields, Names names, const char* member) {
    result_.origins.emplace(fields.origin(names), std::string("score.") + member);
    return fields.tensor(names);
  }
  std::optional<double> scale(Fields& fields) {
    const auto value = fields.optional_number({"scale"});
    if (value) result_.origins.emplace(fields.origin({"scale"}), "score.scale");
    return value;
  }

  void read_mods(const Json& objects) {
    ModReader<T> reader(result_.numbers, result_.origins);
    for (const Json& object : objects) {
      Fields fields(source_, object, "modifier");
      const std::string part = "modifiers." + std::to_string(result_.mods.list.size());
      result_.mods.list.push_back(reader.read(fields, part));
    }
  }

  void read_probs(const Json& objects) {
    for (const Json& object : objects) {
      Fields fields(source_, object, "probability modifier");
      read_prob_mod(fields, result_.patterns, result_.probs);
    }
  }

  void read_normaliser(const Json& object) {
    Fields fields(source_, object, "normaliser");
    const std::string& kind = fields.kind();
    if (kind == "softmax") {
      result_.normalizer = attn::Softmax{};
    } else if (is_one_of(kind, {"softmaxwithsink", "softmaxsink", "sink", "sinksoftmax"})) {
      result_.normalizer = sink(fields);
    } else if (kind == "sigmoid") {
      result_.normalizer = attn::Sigmoid{fields.number({"bias", "b"}, 0)};
      if (fields.find({"bias", "b"}) != nullptr)
        result_.origins.emplace(fields.origin({"bias", "b"}), "normaliser.bias");
    } else if (kind == "sparsemax") {
      result_.normalizer = attn::Sparsemax{};
    } else if (is_one_of(kind, {"entmax15", "entmax"})) {
      fields.expect({"alpha"}, 1.5);
      result_.normalizer = attn::Entmax15{};
    } else {
      fields.unknown();
    }
    fields.finish();
  }

  attn::SoftmaxWithSink sink(Fields& fields) {
    const Names names = {"sink", "sinks", "logits", "logit"};
    result_.origins.emplace(fields.origin(names), "normaliser.logits");
    const Tensor logits = fields.tensor(names);
    if (logits.size() == 1) return {logits.numbers[0]};
    return {vector_of<double>(logits)};
  }

  const Case& source_;
  Mechanism<T> result_;
};

}  // namespace cases
