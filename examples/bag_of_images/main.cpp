// SPDX-License-Identifier: Apache-2.0
// Learns from bags of images that have one label each, by attention, max and mean pooling, and
// shows which image of a bag decided. README.md has the commands; bag_model.hpp has the model.
#include <cstdint>
#include <iostream>
#include <string>
#include <utility>

#include "../support/image_files.hpp"
#include "../support/interrupt.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "bag_page.hpp"
#include "experiment.hpp"
#include "options.hpp"
#include "report.hpp"

namespace examples {
namespace {

/// Enough that no image need come twice in the bags of a training.
ImageData drawn_data(std::uint64_t seed) {
  return {drawn_images({.count = 4000, .seed = seed_of_part(seed, 1)}),
          drawn_images({.count = 1000, .seed = seed_of_part(seed, 2)})};
}

int run(const Options& options) {
  for (const std::string& path : {options.metrics, options.page}) check_writable(path);
  const ExperimentOptions& experiment = options.experiment;
  if (!options.files.any()) std::cout << "No files given: the digits are drawn.\n";
  const ImageData data =
      options.files.any() ? read_images(options.files) : drawn_data(experiment.training.seed);
  std::cout << data.train.size() << " images to fill bags with, " << data.test.size()
            << " for test bags, " << size_text(data.train.rows, data.train.columns) << " pixels\n";
  Progress progress(options.quiet, "trainings");
  const Findings findings = Experiment(experiment, data, progress).run();
  print_findings(std::cout, findings);
  if (interrupted()) std::cout << "\nInterrupted: the results are those of a shorter training.\n";
  if (!options.metrics.empty()) write_file(options.metrics, metrics_json(findings).dump(2) + "\n");
  if (!options.page.empty() && !findings.last_model.empty()) {
    write_file(options.page, bag_page(findings, data.test, experiment.rules.target));
    std::cout << "\nBags shaded by attention: " << options.page << '\n';
  }
  return interrupted() ? kInterruptedExitCode : 0;
}

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  using namespace examples;
  return run_program("bag_of_images", [&] {
    const ParsedOptions parsed = parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code : run(parsed.options);
  });
}
