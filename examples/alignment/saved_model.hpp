// SPDX-License-Identifier: Apache-2.0
// A trained translator to and from a file; support/weights_file.hpp describes the layout.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/weights_file.hpp"
#include "language.hpp"
#include "translator.hpp"

namespace examples {

inline constexpr const char* kModelKind = "attn translator 1";

/// A model with the tokens that its numbers mean.
struct TranslatorModel {
  Language language;
  Translator<float> translator;
};

namespace detail {

inline const char* unit_name(Unit unit) { return unit == Unit::kWords ? "words" : "characters"; }

inline Unit described_unit(const std::string& path, const nlohmann::json& description,
                           const char* side) {
  const std::string name = description.at(side).get<std::string>();
  if (name == "words") return Unit::kWords;
  if (name == "characters") return Unit::kCharacters;
  throw damaged(path, std::string("its ") + side + " is '" + name + "'");
}

inline TokenNumbering described_tokens(const std::string& path, const nlohmann::json& description,
                                       const char* side) {
  const auto tokens = description.at(side).get<std::vector<std::string>>();
  TokenNumbering numbering(tokens);
  if (numbering.size() <= kUnknownToken || numbering.size() != static_cast<Index>(tokens.size()))
    throw damaged(path, std::string("its ") + side + " are too few or not all different");
  return numbering;
}

}  // namespace detail

inline void save_model(const std::string& path, TranslatorModel& model) {
  const TranslatorShape& shape = model.translator.shape();
  const Language& language = model.language;
  const nlohmann::json description = {{"source_unit", detail::unit_name(language.units.source)},
                                      {"target_unit", detail::unit_name(language.units.target)},
                                      {"source_tokens", language.source.tokens()},
                                      {"target_tokens", language.target.tokens()},
                                      {"embed_dim", shape.embed_dim},
                                      {"hidden", shape.hidden}};
  save_weights(path, kModelKind, description, model.translator.parameters());
}

/// The model of a file; a file that is no model, or one that is damaged, is an error.
inline TranslatorModel load_model(const std::string& path) {
  const WeightsFile file(path, kModelKind);
  const nlohmann::json& description = file.description();
  try {
    Language language{{detail::described_unit(path, description, "source_unit"),
                       detail::described_unit(path, description, "target_unit")},
                      detail::described_tokens(path, description, "source_tokens"),
                      detail::described_tokens(path, description, "target_tokens")};
    const TranslatorShape shape{.attention = true,
                                .source_tokens = language.source.size(),
                                .target_tokens = language.target.size(),
                                .embed_dim = checked_size(path, description, "embed_dim"),
                                .hidden = checked_size(path, description, "hidden")};
    if (shape.hidden % 2 != 0) throw damaged(path, "its hidden is odd");
    TranslatorModel model{std::move(language), Translator<float>(shape, 0)};
    std::vector<Parameter> parameters = model.translator.parameters();
    file.copy_to(parameters);
    return model;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(path, error.what());
  }
}

}  // namespace examples
