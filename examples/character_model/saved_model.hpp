// SPDX-License-Identifier: Apache-2.0
// A trained character model to and from a file; support/weights_file.hpp describes the layout.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/weights_file.hpp"
#include "alphabet.hpp"
#include "decoder.hpp"
#include "settings.hpp"

namespace examples {

inline constexpr const char* kModelKind = "attn character model 1";

/// A model with the characters that its numbers mean.
struct CharacterModel {
  Alphabet alphabet;
  Decoder<float> decoder;
};

inline void save_model(const std::string& path, CharacterModel& model) {
  const DecoderShape& shape = model.decoder.shape();
  const nlohmann::json description = {{"characters", model.alphabet.characters()},
                                      {"layers", shape.layers},
                                      {"embed_dim", shape.embed_dim},
                                      {"heads", shape.heads},
                                      {"kv_heads", shape.kv_heads},
                                      {"hidden", shape.hidden},
                                      {"context", shape.context}};
  save_weights(path, kModelKind, description, model.decoder.parameters());
}

namespace detail {

inline DecoderShape described_shape(const std::string& path, const nlohmann::json& description) {
  const auto size = [&](const char* name) { return checked_size(path, description, name); };
  const DecoderShape shape{.layers = size("layers"),
                           .embed_dim = size("embed_dim"),
                           .heads = size("heads"),
                           .kv_heads = size("kv_heads"),
                           .hidden = size("hidden"),
                           .context = size("context")};
  if (!contradiction(shape).empty()) throw damaged(path, "its heads do not fit its embed_dim");
  return shape;
}

}  // namespace detail

/// The model of a file; a file that is no model, or one that is damaged, is an error.
inline CharacterModel load_model(const std::string& path) {
  const WeightsFile file(path, kModelKind);
  try {
    Alphabet alphabet(file.description().at("characters").get<std::vector<std::string>>());
    if (alphabet.size() < 1) throw damaged(path, "it knows no character");
    DecoderShape shape = detail::described_shape(path, file.description());
    shape.characters = alphabet.size();
    CharacterModel model{std::move(alphabet), Decoder<float>(shape, 0)};
    std::vector<Parameter> parameters = model.decoder.parameters();
    file.copy_to(parameters);
    return model;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(path, error.what());
  }
}

}  // namespace examples
