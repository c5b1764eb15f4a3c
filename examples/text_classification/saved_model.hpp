// SPDX-License-Identifier: Apache-2.0
// A trained text model to and from a file; support/weights_file.hpp describes the layout.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/weights_file.hpp"
#include "classifier.hpp"
#include "experiment.hpp"
#include "features.hpp"
#include "settings.hpp"

namespace examples {

inline constexpr const char* kModelKind = "attn text classifier 1";

inline void save_model(const std::string& path, TextModel& model) {
  const ClassifierShape& shape = model.classifier.shape();
  const nlohmann::json description = {{"attention", attention_name(shape.attention)},
                                      {"embed_dim", shape.embed_dim},
                                      {"attention_dim", shape.attention_dim},
                                      {"heads", shape.heads},
                                      {"window", shape.window},
                                      {"classes", model.classes},
                                      {"features", model.space.to_json()}};
  save_weights(path, kModelKind, description, model.classifier.parameters());
}

namespace detail {

/// A window of -1 is open.
inline Index checked_window(const std::string& path, const nlohmann::json& description) {
  const Index window = description.at("window").get<Index>();
  if (window >= -1) return window;
  throw damaged(path, "its window is " + std::to_string(window));
}

inline TextModel described_model(const std::string& path, const nlohmann::json& description) {
  const std::string name = description.at("attention").get<std::string>();
  const auto kind = std::find_if(kAttentionNames.begin(), kAttentionNames.end(),
                                 [&](const auto& entry) { return entry.first == name; });
  if (kind == kAttentionNames.end()) throw damaged(path, "its attention is '" + name + "'");
  auto classes = description.at("classes").get<std::vector<std::string>>();
  if (classes.size() < 2) throw damaged(path, "it knows fewer than two classes");
  FeatureSpace space(description.at("features"));
  const ClassifierShape shape{.attention = kind->second,
                              .embed_dim = checked_size(path, description, "embed_dim"),
                              .attention_dim = checked_size(path, description, "attention_dim"),
                              .heads = checked_size(path, description, "heads"),
                              .window = checked_window(path, description),
                              .classes = static_cast<Index>(classes.size())};
  if (shape.embed_dim % shape.heads != 0) {
    throw damaged(path, "its heads do not divide its embed_dim");
  }
  Matrix table(space.rows(), shape.embed_dim);
  return {std::move(classes), std::move(space), Classifier(shape, std::move(table), 0)};
}

}  // namespace detail

/// The model of a file; a file that is no model, or one that is damaged, is an error.
inline TextModel load_model(const std::string& path) {
  const WeightsFile file(path, kModelKind);
  try {
    TextModel model = detail::described_model(path, file.description());
    std::vector<Parameter> parameters = model.classifier.parameters();
    file.copy_to(parameters);
    return model;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(path, error.what());
  }
}

inline void check_shape(const std::string& path, const ClassifierShape& shape,
                        const WantedShape& wanted) {
  const auto check = [&](const char* name, const char* option, Index found,
                         std::optional<Index> asked) {
    if (!asked || *asked == found) return;
    throw DataError(path, 2,
                    std::string("the saved model has another shape: its ") + name + " is " +
                        std::to_string(found) + ", and " + option + " asks for " +
                        std::to_string(*asked) + ".");
  };
  check("embed_dim", "--embed-dim", shape.embed_dim, wanted.embed_dim);
  check("attention_dim", "--attention-dim", shape.attention_dim, wanted.attention_dim);
  check("head count", "--heads", shape.heads, wanted.heads);
  check("window", "--window", shape.window, wanted.window);
  if (!wanted.attention || *wanted.attention == shape.attention) return;
  throw DataError(path, 2,
                  "the saved model has another shape: its attention is '" +
                      std::string(attention_name(shape.attention)) +
                      "', and --attention asks for '" +
                      std::string(attention_name(*wanted.attention)) + "'.");
}

}  // namespace examples
