// SPDX-License-Identifier: Apache-2.0
// A trained model of regions to and from a file; support/weights_file.hpp describes the layout.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../support/grey_image.hpp"
#include "../support/weights_file.hpp"
#include "region_model.hpp"
#include "region_shape.hpp"

namespace examples {

inline constexpr const char* kModelKind = "attn image regions 1";

inline void save_model(const std::string& path, RegionModel<float>& model) {
  const RegionModelShape& shape = model.shape();
  const RegionShape& regions = shape.regions;
  const nlohmann::json description = {{"rows", regions.rows},
                                      {"columns", regions.columns},
                                      {"features", name_of(kFeatureNames, regions.features)},
                                      {"stride", regions.stride},
                                      {"patch", regions.patch},
                                      {"channels", regions.channels},
                                      {"attention", name_of(kPoolingNames, shape.attention)},
                                      {"attention_dim", shape.attention_dim},
                                      {"pooled", shape.pooled},
                                      {"self_attention", shape.self_attention},
                                      {"heads", shape.heads},
                                      {"classes", shape.classes}};
  save_weights(path, kModelKind, description, model.parameters());
}

namespace detail {

template <typename Names>
auto named(const std::string& path, const nlohmann::json& description, const char* field,
           const Names& names) {
  const std::string name = description.at(field).get<std::string>();
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  if (found == names.end()) throw damaged(path, std::string("its ") + field + " is '" + name + "'");
  return found->second;
}

inline RegionModelShape described_shape(const std::string& path,
                                        const nlohmann::json& description) {
  const auto size = [&](const char* name) { return checked_size(path, description, name); };
  const RegionModelShape shape{
      .regions = {.rows = size("rows"),
                  .columns = size("columns"),
                  .features = named(path, description, "features", kFeatureNames),
                  .stride = size("stride"),
                  .patch = size("patch"),
                  .channels = size("channels")},
      .attention = named(path, description, "attention", kPoolingNames),
      .attention_dim = size("attention_dim"),
      .pooled = size("pooled"),
      .self_attention = description.at("self_attention").get<bool>(),
      .heads = size("heads"),
      .classes = size("classes")};
  const RegionShape& regions = shape.regions;
  if (regions.rows != regions.columns || regions.rows > kLargestCanvas)
    throw damaged(path, "its canvas is " + size_text(regions.rows, regions.columns) +
                            " pixels, and a square of at most " + std::to_string(kLargestCanvas) +
                            " rows and columns is possible");
  const std::string wrong = contradiction(shape);
  if (!wrong.empty()) throw damaged(path, wrong.substr(0, wrong.size() - 1));
  return shape;
}

}  // namespace detail

/// The model of a file; a file that is no model, or one that is damaged, is an error.
inline RegionModel<float> load_model(const std::string& path) {
  const WeightsFile file(path, kModelKind);
  try {
    RegionModel<float> model(detail::described_shape(path, file.description()), 0);
    std::vector<Parameter> parameters = model.parameters();
    file.copy_to(parameters);
    return model;
  } catch (const nlohmann::json::exception& error) {
    throw damaged(path, error.what());
  }
}

}  // namespace examples
