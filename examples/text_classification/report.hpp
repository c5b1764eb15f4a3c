// SPDX-License-Identifier: Apache-2.0
// What a run brought, gathered over folds: results of the models, words, shown texts; as tables for
// the console and as JSON.
#pragma once

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "../support/console_table.hpp"
#include "attention_page.hpp"
#include "corpus.hpp"
#include "experiment.hpp"
#include "word_attention.hpp"

namespace examples {

struct Report {
  std::vector<ModelResult> models;  // the chosen one first
  WordAttention words;
  KeyWordShare key_words;
  std::vector<ShownText> shown;
  std::size_t tested = 0;

  /// Adds a fold's result to that of the folds before it.
  void add(const ModelResult& result) {
    const auto same = std::find_if(models.begin(), models.end(), [&](const ModelResult& model) {
      return model.name == result.name;
    });
    if (same == models.end()) return models.push_back(result);
    same->confusion.add(result.confusion);
    same->train_seconds += result.train_seconds;
    same->interrupted = same->interrupted || result.interrupted;
  }

  /// Takes note of what the chosen model attends to in the test texts.
  void add_attention(const TextModel& model, const Texts& texts, const Evaluation& evaluation) {
    constexpr std::size_t kShown = 100;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::vector<Token> tokens = model.space.tokens(texts[i].text);
      if (tokens.empty()) continue;
      const std::vector<float>& weights = evaluation.weights[i];
      const Index predicted = evaluation.predictions[i];
      const std::string& answer = model.classes[static_cast<std::size_t>(predicted)];
      words.add(answer, tokens, weights);
      key_words.add(texts[i], weights);
      ++tested;
      if (shown.size() == kShown) continue;
      shown.push_back({texts[i].text, texts[i].label, answer,
                       static_cast<double>(evaluation.probabilities[i](predicted)),
                       std::move(tokens), weights, texts[i].key_tokens});
    }
  }
};

inline void print_results(std::ostream& out, const Report& report) {
  ConsoleTable table({"model", "accuracy %", "macro-F1 %", "training s"});
  for (const ModelResult& model : report.models) {
    table.add({model.name + (model.interrupted ? " (interrupted)" : ""),
               fixed(100 * model.confusion.accuracy(), 2),
               fixed(100 * model.confusion.macro_f1(), 2), fixed(model.train_seconds, 2)});
  }
  out << "\nTest set\n";
  table.print(out);
}

inline void print_words(std::ostream& out, const Report& report) {
  out << "\nWords with the highest mean attention, by the class that was answered "
         "(1 = an even share of the text)\n";
  for (const auto& [label, words] : report.words.top(10)) {
    out << "  " << label << ':';
    for (const AttendedWord& word : words) {
      out << "  " << word.word << ' ' << fixed(word.attention, 1);
    }
    out << '\n';
  }
}

inline void print_key_word_share(std::ostream& out, const Report& report) {
  if (!report.key_words.is_known()) return;
  out << "\nShare of the attention on the planted key words: "
      << fixed(100 * report.key_words.attention(), 1) << " % (they are "
      << fixed(100 * report.key_words.words(), 1) << " % of the words)\n";
}

/// Accuracy and macro-F1 are fractions of 1.
inline nlohmann::json metrics_json(const Report& report) {
  nlohmann::json models = nlohmann::json::array();
  for (const ModelResult& model : report.models) {
    models.push_back({{"name", model.name},
                      {"accuracy", model.confusion.accuracy()},
                      {"macro_f1", model.confusion.macro_f1()},
                      {"train_seconds", model.train_seconds},
                      {"test_texts", model.confusion.total()},
                      {"interrupted", model.interrupted}});
  }
  nlohmann::json metrics = {{"models", std::move(models)}};
  if (report.key_words.is_known()) {
    metrics["key_word_share"] = {{"attention", report.key_words.attention()},
                                 {"words", report.key_words.words()}};
  }
  return metrics;
}

}  // namespace examples
