// SPDX-License-Identifier: Apache-2.0
// Training and testing of the chosen model and of those without attention that it is compared with:
// mean pooling over the same regions, and an MLP on all pixels with as many parameters.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "../support/interrupt.hpp"
#include "../support/progress.hpp"
#include "../support/training_loop.hpp"
#include "canvas_data.hpp"
#include "pixel_mlp.hpp"
#include "region_grid.hpp"
#include "region_model.hpp"
#include "report.hpp"
#include "training.hpp"

namespace examples {

/// As tables and JSON call it.
inline std::string model_name(const RegionModelShape& shape) {
  std::string name = "mean pooling";
  if (shape.attention == PoolingKind::kAdditive) name = "additive attention";
  if (shape.attention == PoolingKind::kScaledDot) name = "scaled dot-product attention";
  return shape.self_attention ? name + " + self-attention" : name;
}

class Experiment {
 public:
  Experiment(const CanvasData& data, const TrainingLoopOptions& training, Progress& progress)
      : data_(data), training_(training), progress_(progress) {}

  /// Names the model, counts its parameters, and trains it.
  template <typename Model>
  ModelResult train(Model& model, const std::string& name) const {
    ModelResult result = described(model, name);
    result.training =
        train_on_canvases(model, name, data_.train(), data_.validation(), training_, progress_);
    return result;
  }

  template <typename Model>
  static ModelResult described(Model& model, const std::string& name) {
    ModelResult result{.name = name};
    for (const Parameter& p : model.parameters()) result.parameters += p.value.size();
    return result;
  }

  /// Adds what the test says to the result, and returns the answers.
  Evaluation test(const RegionModel<float>& model, ModelResult& result) const {
    const RegionGrid grid(model.shape().regions);
    Evaluation answers = evaluate(model, data_.test(), grid.size(), training_.threads);
    result.accuracy = answers.accuracy();
    result.pointing = pointing_of(answers, data_.test(), grid);
    return answers;
  }

  /// For a model of this shape with so many parameters. Ctrl-C leaves out what is to come.
  std::vector<ModelResult> baselines(const RegionModelShape& shape, Index parameters) const {
    std::vector<ModelResult> results;
    if (shape.attention != PoolingKind::kNone && !interrupted()) {
      RegionModelShape mean = shape;
      mean.attention = PoolingKind::kNone;
      RegionModel<float> model(mean, training_.seed);
      results.push_back(train(model, model_name(mean)));
      test(model, results.back());
    }
    if (interrupted()) return results;
    const Index pixels = shape.regions.rows * shape.regions.columns;
    PixelMlp<float> mlp(pixels, PixelMlp<float>::hidden_for(parameters, pixels, shape.classes),
                        shape.classes, training_.seed);
    results.push_back(train(mlp, "MLP on pixels"));
    results.back().accuracy = evaluate(mlp, data_.test(), 0, training_.threads).accuracy();
    return results;
  }

 private:
  const CanvasData& data_;
  TrainingLoopOptions training_;
  Progress& progress_;
};

}  // namespace examples
