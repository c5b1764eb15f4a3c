// SPDX-License-Identifier: Apache-2.0
// A trained recommender to and from a file; support/weights_file.hpp describes the layout.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/matrix.hpp"
#include "../support/vocabulary.hpp"
#include "../support/weights_file.hpp"
#include "catalogue.hpp"
#include "recommender.hpp"
#include "settings.hpp"

namespace examples {

inline constexpr const char* kModelKind = "attn recommender 1";

inline void save_model(const std::string& path, const Catalogue& catalogue,
                       Recommender<float>& model) {
  const RecommenderShape& shape = model.shape();
  const nlohmann::json description = {{"items", catalogue.items.words()},
                                      {"layers", shape.layers},
                                      {"embed_dim", shape.embed_dim},
                                      {"heads", shape.heads},
                                      {"context", shape.context}};
  save_weights(path, kModelKind, description, model.parameters());
}

/// A model with the items that its numbers mean.
struct SavedRecommender {
  Vocabulary items;
  Recommender<float> model;
};

/// The model of a file; a file that is no model, or one that is damaged, is an error.
inline SavedRecommender load_model(const std::string& path) {
  const WeightsFile file(path, kModelKind);
  try {
    const nlohmann::json& description = file.description();
    const auto size = [&](const char* name) { return checked_size(path, description, name); };
    Vocabulary items(description.at("items").get<std::vector<std::string>>());
    const RecommenderShape shape{.items = items.size(),
                                 .layers = size("layers"),
                                 .embed_dim = size("embed_dim"),
                                 .heads = size("heads"),
                                 .context = size("context")};
    if (shape.items < 1) throw damaged(path, "it knows no item");
    if (!contradiction(shape).empty()) throw damaged(path, "its heads do not divide its embed_dim");
    SavedRecommender saved{std::move(items), {shape, Vector::Zero(shape.items), 0}};
    std::vector<Parameter> parameters = saved.model.parameters();
    file.copy_to(parameters);
    return saved;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(path, error.what());
  }
}

/// The catalogue with its items numbered as the model numbers them, and those of the model that
/// nobody rated in it behind no history.
inline Catalogue renumbered(const Catalogue& catalogue, const Vocabulary& items,
                            const std::string& model_path) {
  Catalogue result{catalogue.source, items, items.words(), catalogue.histories};
  std::vector<Index> numbers;
  for (Index i = 0; i < catalogue.items.size(); ++i) {
    const auto number = items.find(catalogue.items.word(i));
    if (!number)
      throw DataError(catalogue.source, "the model in " + model_path + " does not know the item '" +
                                            catalogue.items.word(i) +
                                            "', which it did not learn from.");
    result.titles[static_cast<std::size_t>(*number)] =
        catalogue.titles[static_cast<std::size_t>(i)];
    numbers.push_back(*number);
  }
  for (History& history : result.histories)
    for (Index& item : history.items) item = numbers[static_cast<std::size_t>(item)];
  return result;
}

}  // namespace examples
