// SPDX-License-Identifier: Apache-2.0
// Pairs from a file, gzip or not: a pronouncing dictionary, or sentences with tabs between them.
//
//     cmudict    abacus AE1 B AH0 K AH0 S # comment        word(2) is a further pronunciation
//     tabs       Go.<tab>Gaa.<tab>whatever follows
#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../support/data_error.hpp"
#include "../support/gzip.hpp"
#include "../support/random.hpp"
#include "../support/text_file.hpp"
#include "pair_data.hpp"

namespace examples {

enum class PairFormat { kCmudict, kTabs };

struct PairOptions {
  std::string path{};
  PairFormat format = PairFormat::kTabs;
  Unit unit = Unit::kCharacters;  // of both sides, where there are tabs
  std::size_t limit = 20000;      // sources that are taken; 0: all
  std::size_t longest = 400;      // tokens of a source or target that is taken; 0: any
  Encoding encoding = Encoding::kUtf8;
};

namespace detail {

/// Items in the order of their sources' first appearance.
class ItemList {
 public:
  void add(const std::string& source, Tokens source_tokens, Tokens target) {
    const auto [place, is_new] = places_.try_emplace(source, items_.size());
    if (is_new) items_.push_back({std::move(source_tokens), {}});
    std::vector<Tokens>& targets = items_[place->second].targets;
    if (std::find(targets.begin(), targets.end(), target) == targets.end())
      targets.push_back(std::move(target));
  }

  std::vector<Item> take() { return std::move(items_); }

 private:
  std::unordered_map<std::string, std::size_t> places_;
  std::vector<Item> items_;
};

/// Phonemes without the stress, a digit behind a vowel.
inline Tokens phonemes(std::string_view text) {
  Tokens tokens;
  while (!(text = trimmed(text)).empty()) {
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    std::string phoneme(text.substr(0, end));
    while (!phoneme.empty() && phoneme.back() >= '0' && phoneme.back() <= '9') phoneme.pop_back();
    if (!phoneme.empty()) tokens.push_back(std::move(phoneme));
    text.remove_prefix(end);
  }
  return tokens;
}

/// In lower case and without "(2)".
inline std::string dictionary_word(std::string_view text) {
  std::string word(text.substr(0, text.find('(')));
  for (char& c : word)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return word;
}

/// Words of other characters than letters are abbreviations, or have an apostrophe.
inline bool is_spelt_with_letters(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

/// The lines of a file, gzip or not. So many bytes are more than anybody means to learn from.
inline std::vector<Line> pair_lines(const std::string& path, Encoding encoding,
                                    std::size_t largest = std::size_t{1} << 28) {
  std::string bytes = unpacked(path, read_bytes(path), largest + 1);
  if (bytes.size() > largest)
    throw DataError(path, "there are more than " + std::to_string(largest) + " bytes in it.");
  return split_lines(checked_text(path, std::move(bytes), encoding));
}

inline std::vector<Item> read_dictionary(const std::string& path, Encoding encoding) {
  ItemList items;
  for (const Line& line : pair_lines(path, encoding)) {
    const std::string_view text =
        trimmed(std::string_view(line.text).substr(0, line.text.find('#')));
    if (text.empty() || text.starts_with(";;;")) continue;
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    Tokens target = phonemes(text.substr(end));
    if (target.empty())
      throw DataError(path, line.number,
                      "the word '" + shown(text.substr(0, end)) +
                          "' has no phonemes; a line is a word, then its phonemes.");
    const std::string word = dictionary_word(text.substr(0, end));
    if (is_spelt_with_letters(word))
      items.add(word, split_tokens(word, Unit::kCharacters), std::move(target));
  }
  return items.take();
}

inline std::vector<Item> read_tabs(const std::string& path, Unit unit, Encoding encoding) {
  ItemList items;
  for (const Line& line : pair_lines(path, encoding)) {
    if (trimmed(line.text).empty()) continue;
    const std::size_t tab = line.text.find('\t');
    if (tab == std::string::npos)
      throw DataError(path, line.number, "this line has no tab between a source and its target.");
    const std::string_view rest = std::string_view(line.text).substr(tab + 1);
    const std::string source(trimmed(std::string_view(line.text).substr(0, tab)));
    const std::string_view target = trimmed(rest.substr(0, rest.find('\t')));
    Tokens source_tokens = split_tokens(source, unit), target_tokens = split_tokens(target, unit);
    if (source_tokens.empty() || target_tokens.empty())
      throw DataError(path, line.number,
                      std::string("the ") + (source_tokens.empty() ? "source" : "target") +
                          " of this line is empty.");
    items.add(source, std::move(source_tokens), std::move(target_tokens));
  }
  return items.take();
}

/// Targets that are too long go, and so do sources that are, or that have no target left.
inline void drop_long(std::vector<Item>& items, std::size_t longest) {
  if (longest == 0) return;
  const auto is_long = [&](const Tokens& tokens) { return tokens.size() > longest; };
  for (Item& item : items) std::erase_if(item.targets, is_long);
  std::erase_if(items,
                [&](const Item& item) { return is_long(item.source) || item.targets.empty(); });
}

/// Draws `limit` items by a number that is made from the source alone; the order stays.
inline void draw(std::vector<Item>& items, std::size_t limit, Unit unit) {
  if (limit == 0 || items.size() <= limit) return;
  // The division into parts uses the hash itself; another number keeps the two independent.
  const auto ticket = [&](const Item& item) {
    return Random(fnv1a(join_tokens(item.source, unit))).bits();
  };
  std::vector<std::uint64_t> tickets;
  for (const Item& item : items) tickets.push_back(ticket(item));
  const auto last = tickets.begin() + static_cast<std::ptrdiff_t>(limit) - 1;
  std::nth_element(tickets.begin(), last, tickets.end());
  std::erase_if(items, [&](const Item& item) { return ticket(item) > *last; });
}

}  // namespace detail

/// The pairs of a file, divided by their sources.
inline PairData read_pairs(const PairOptions& options) {
  const bool dictionary = options.format == PairFormat::kCmudict;
  const Units units =
      dictionary ? Units{Unit::kCharacters, Unit::kWords} : Units{options.unit, options.unit};
  std::vector<Item> items = dictionary
                                ? detail::read_dictionary(options.path, options.encoding)
                                : detail::read_tabs(options.path, options.unit, options.encoding);
  const std::size_t found = items.size();
  detail::drop_long(items, options.longest);
  const std::size_t too_long = found - items.size();
  detail::draw(items, options.limit, units.source);
  PairData data = divided(std::move(items), units);
  data.too_long = too_long;
  if (data.train.empty() || data.validation.empty() || data.test.empty())
    throw DataError(options.path, "the pairs are too few: " + std::to_string(data.train.size()) +
                                      " train, " + std::to_string(data.validation.size()) +
                                      " validate and " + std::to_string(data.test.size()) +
                                      " test; each needs one or more.");
  return data;
}

}  // namespace examples
