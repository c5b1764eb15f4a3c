// SPDX-License-Identifier: Apache-2.0
// Learns from histories of users what each takes next, compares self-attention with recommenders
// that have none, and shows what it looks at. README.md has the commands; recommender.hpp has the
// model.
#include <cstddef>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/interrupt.hpp"
#include "../support/program.hpp"
#include "../support/progress.hpp"
#include "../support/text_file.hpp"
#include "attention_page.hpp"
#include "made_up_catalogue.hpp"
#include "options.hpp"
#include "ratings_file.hpp"
#include "report.hpp"
#include "saved_model.hpp"
#include "training.hpp"

namespace examples {
namespace {

class Program {
 public:
  explicit Program(Options options)
      : options_(std::move(options)), progress_(options_.quiet, "histories") {}

  int run() {
    Catalogue catalogue = read_catalogue();
    if (!options_.load.empty()) {
      SavedRecommender saved = load_model(options_.load);
      catalogue = renumbered(catalogue, saved.items, options_.load);
      model_.emplace(std::move(saved.model));
    }
    const History* user = options_.user.empty() ? nullptr : &history_of(catalogue);
    const Split split(catalogue, options_.min_ratings);
    for (const std::string& path : {options_.save, options_.metrics, options_.page})
      check_writable(path);
    describe(split);
    train_and_judge(split);
    if (!options_.save.empty()) save_model(options_.save, catalogue, *model_);
    if (!options_.metrics.empty())
      write_file(options_.metrics, metrics_json(report_).dump(2) + "\n");
    write_file(options_.page, attention_page(split, *model_, report_.results.front().test,
                                             options_.ratings.empty()));
    std::cout << "\nHistories shaded by attention: " << options_.page << '\n';
    if (user != nullptr) recommend(catalogue, *user);
    return interrupted() ? kInterruptedExitCode : 0;
  }

 private:
  Catalogue read_catalogue() const {
    if (options_.ratings.empty())
      return MadeUpCatalogue(options_.training.loop.seed).catalogue(options_.made_up_users);
    Catalogue catalogue = read_ratings(options_.ratings, options_.encoding);
    if (!options_.titles.empty()) read_titles(options_.titles, options_.encoding, catalogue);
    return catalogue;
  }

  const History& history_of(const Catalogue& catalogue) const {
    for (const History& history : catalogue.histories)
      if (history.user == options_.user) return history;
    throw DataError(catalogue.source,
                    "there is no user '" + options_.user + "', whom --user names.");
  }

  void describe(const Split& split) const {
    const Catalogue& catalogue = split.catalogue();
    if (options_.ratings.empty()) std::cout << "No file given: the catalogue is made up.\n";
    std::cout << catalogue.ratings() << " ratings by " << catalogue.histories.size() << " users of "
              << catalogue.items.size() << " items; " << split.judged().size() << " users have "
              << options_.min_ratings << " or more\n";
  }

  void train_and_judge(const Split& split) {
    const Index items = split.catalogue().items.size();
    if (!model_) {
      RecommenderShape shape = options_.shape;
      shape.items = items;
      model_.emplace(shape, popularity_scores(split.training(), items),
                     options_.training.loop.seed);
      report_.training = train(*model_, split, options_.training, progress_);
    }
    for (const Parameter& p : model_->parameters()) report_.parameters += p.value.size();
    report_.results = results_of(*model_, split, options_.ratings.empty());
    if (options_.ratings.empty()) report_.share = deciding_share(*model_, split);
    print_table(std::cout, report_);
    if (!report_.training) return;
    std::cout << "\nTrained " << report_.parameters << " parameters for "
              << report_.training->epochs << " epochs in " << fixed(report_.training->seconds, 1)
              << " s" << (report_.training->interrupted ? " (interrupted)" : "") << '\n';
  }

  /// What should come after the whole history, nothing of it held back.
  void recommend(const Catalogue& catalogue, const History& user) const {
    const auto map = history_heatmap(catalogue, *model_, user.items);
    std::cout << "\nUser " << user.user << " took (with the attention on each):\n";
    for (std::size_t i = 0; i < map.tokens.size(); ++i)
      std::cout << "  " << fixed(map.weights[static_cast<Index>(i)], 2) << "  " << map.tokens[i]
                << '\n';
    std::cout << "and may like:\n";
    for_each_scored(*model_, {{user.items, 0}}, [&](std::size_t, const auto& scores) {
      const std::vector<Index> best = best_items(scores, kListed);
      if (best.empty()) std::cout << "  nothing, having taken every item\n";
      Index place = 0;
      for (const Index item : best)
        std::cout << "  " << ++place << ". " << catalogue.titles[static_cast<std::size_t>(item)]
                  << '\n';
    });
  }

  Options options_;
  Progress progress_;
  std::optional<Recommender<float>> model_;
  Report report_;
};

}  // namespace
}  // namespace examples

int main(int argc, char** argv) {
  return examples::run_program("recommendation", [&] {
    examples::ParsedOptions parsed = examples::parse_options(argc, argv);
    return parsed.exit_code ? *parsed.exit_code
                            : examples::Program(std::move(parsed.options)).run();
  });
}
