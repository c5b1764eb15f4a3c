// SPDX-License-Identifier: Apache-2.0
// Trains a model that finds and reads a digit on a cluttered canvas by attention over regions,
// compares it with models without attention, and shows where it looked. README.md has the commands;
// region_model.hpp has the model.
#include <filesystem>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../support/console_table.hpp"
#include "../support/data_error.hpp"
#include "../support/interrupt.hpp"
#include "../support/png_image.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "attention_page.hpp"
#include "canvas_data.hpp"
#include "classification.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "overlay.hpp"
#include "region_model.hpp"
#include "report.hpp"
#include "saved_model.hpp"
#include "shown_canvas.hpp"

namespace examples {
namespace {

class Program {
 public:
  explicit Program(Options options)
      : options_(std::move(options)), progress_(options_.quiet, "canvases") {}

  int run() {
    if (!options_.load.empty()) {
      model_.emplace(load_model(options_.load));
      options_.shape = model_->shape();
    }
    const bool only_classifies = model_ && !options_.classify.empty() && !options_.files.any();
    for (const std::string& path : {options_.save, options_.metrics, options_.page})
      check_writable(path);
    for (const char* kind : {"right", "wrong", "classified"}) check_picture(kind);
    for (const std::string& path : options_.classify) read_png(path);  // one that cannot be read
    if (!only_classifies) train_and_test();
    if (!options_.classify.empty() && !interrupted()) {
      const std::vector<ShownCanvas> canvases = classify();
      write_picture("classified", canvases);
      if (only_classifies) write_page("image files", canvases);
    }
    return interrupted() ? kInterruptedExitCode : 0;
  }

 private:
  std::string picture(const std::string& kind) const {
    return options_.pictures + "_" + kind + ".png";
  }

  /// Asked before the training, so that its result is not lost to a wrong path; leaves no file.
  void check_picture(const std::string& kind) const {
    check_writable(picture(kind));
    std::error_code ignored;
    if (std::filesystem::file_size(picture(kind), ignored) == 0)
      std::filesystem::remove(picture(kind), ignored);
  }

  void train_and_test() {
    const CanvasData data(options_, model_.has_value());
    describe(data);
    const Experiment experiment(data, options_.training, progress_);
    if (model_) {
      report_.models.push_back(Experiment::described(*model_, model_name(model_->shape())));
    } else {
      model_.emplace(options_.shape, options_.training.seed);
      report_.models.push_back(experiment.train(*model_, model_name(model_->shape())));
    }
    report_.tested = data.test().size();
    report_.box_share = data.box_share();
    show(experiment.test(*model_, report_.models.front()), data);
    if (!options_.save.empty()) save_model(options_.save, *model_);
    if (options_.baselines) {
      for (ModelResult& result :
           experiment.baselines(model_->shape(), report_.models[0].parameters))
        report_.models.push_back(std::move(result));
    }
    finish();
  }

  void describe(const CanvasData& data) const {
    const CanvasShape& canvas = data.shape();
    const RegionGrid grid(options_.shape.regions);
    if (!options_.files.any()) std::cout << "No files given: the digits are drawn.\n";
    std::cout << data.train().size() << " images to train on, " << data.validation().size()
              << " to validate, " << data.test().size() << " to test; canvases of "
              << size_text(canvas.size, canvas.size) << " pixels with " << canvas.pieces
              << " pieces of " << size_text(canvas.piece_size, canvas.piece_size) << "; "
              << size_text(grid.rows(), grid.columns()) << " regions\n";
  }

  /// The page and the pictures: some answers that are wrong, some that are right.
  void show(const Evaluation& answers, const CanvasData& data) const {
    constexpr std::size_t kShown = 20;
    const RegionGrid grid(model_->shape().regions);
    auto canvases = shown_canvases(answers, data.test(), grid, false, kShown);
    write_picture("wrong", canvases);
    const auto right = shown_canvases(answers, data.test(), grid, true, kShown);
    write_picture("right", right);
    canvases.insert(canvases.end(), right.begin(), right.end());
    const ModelResult& chosen = report_.models.front();
    write_page(fixed(100 * chosen.accuracy, 2) + " % of " + std::to_string(report_.tested) +
                   " canvases right; " + fixed(100 * chosen.pointing->accuracy(), 2) +
                   " % with the highest weight inside the object's box",
               canvases);
  }

  void write_page(const std::string& what, std::span<const ShownCanvas> canvases) const {
    write_file(options_.page,
               attention_page({model_name(model_->shape()) + ": " + what + "."}, canvases));
  }

  /// Without canvases there is no picture, and none that an earlier run left.
  void write_picture(const std::string& kind, std::span<const ShownCanvas> canvases) const {
    std::error_code ignored;
    if (canvases.empty())
      std::filesystem::remove(picture(kind), ignored);
    else
      write_png(picture(kind), overlay_sheet(canvases));
  }

  void finish() const {
    print_table(std::cout, report_);
    if (!options_.metrics.empty())
      write_file(options_.metrics, metrics_json(report_).dump(2) + "\n");
    if (interrupted()) std::cout << "\nInterrupted: the results are those of a shorter training.\n";
    std::cout << "\nWhere it looked: " << options_.page << ", " << picture("right") << ", "
              << picture("wrong") << '\n';
  }

  std::vector<ShownCanvas> classify() const {
    std::vector<ShownCanvas> canvases;
    for (const std::string& path : options_.classify) {
      Classified answer = classified(*model_, path);
      print_answer(std::cout, answer, RegionGrid(model_->shape().regions));
      canvases.push_back(std::move(answer.shown));
    }
    return canvases;
  }

  Options options_;
  Progress progress_;
  std::optional<RegionModel<float>> model_;
  Report report_;
};

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  return examples::run_program("image_regions", [&] {
    examples::ParsedOptions parsed = examples::parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code
                            : examples::Program(std::move(parsed.options)).run();
  });
}
