// SPDX-License-Identifier: Apache-2.0
// The text to learn from: a file, or made up; the last tenth is kept from the training to judge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "../support/data_error.hpp"
#include "../support/text_file.hpp"
#include "../support/utf8.hpp"
#include "made_up_text.hpp"

namespace examples {

struct Corpus {
  std::string source;  // what errors call it
  std::string train;
  std::string validation;
  std::optional<double> best_loss{};  // that anybody could have, where it is known
};

inline Corpus made_up_corpus(std::uint64_t seed) {
  constexpr std::size_t kTrainLines = 6000, kValidationLines = 600;
  Random random(seed);
  Corpus corpus;
  corpus.source = "the made-up text";
  corpus.train = made_up_text(kTrainLines, random);
  corpus.validation = made_up_text(kValidationLines, random);
  corpus.best_loss = best_made_up_loss();
  return corpus;
}

/// Nine tenths train and the rest validates; the cut falls between two characters.
inline Corpus file_corpus(const std::string& path, Encoding encoding) {
  const std::string text = read_text(path, encoding);
  std::size_t cut = text.size() / 10 * 9;
  while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0u) == 0x80u) ++cut;
  return {.source = path, .train = text.substr(0, cut), .validation = text.substr(cut)};
}

}  // namespace examples
