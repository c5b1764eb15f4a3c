// SPDX-License-Identifier: Apache-2.0
// A text that the program makes up, whose second halves of lines can be known by looking back.
//
//     ada 27, tom 90: tom 90, ada 27.
//
// Two people, a number each; then the same again in another order. Who is first, the numbers and
// the order are drawn with equal chances, the rest follows: the best possible loss is known.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/random.hpp"

namespace examples {

inline constexpr std::array<std::string_view, 8> kPeople = {"ada", "bob", "eva", "ida",
                                                            "kim", "leo", "max", "tom"};
/// Three letters, a blank, two digits and two characters between: four times a line.
inline constexpr std::size_t kMadeUpLine = 32;

/// The mean loss, in nats a character, of someone who knows the rules: what is drawn, as logarithms
/// of the number of outcomes. Nobody can expect less.
inline double best_made_up_loss() {
  const double people = std::log(8.0 * 7), numbers = 2 * std::log(100.0), order = std::log(2.0);
  return (people + numbers + order) / static_cast<double>(kMadeUpLine);
}

inline std::string made_up_line(Random& random) {
  std::array<std::size_t, kPeople.size()> drawn{0, 1, 2, 3, 4, 5, 6, 7};
  random.shuffle(drawn);
  std::array<std::string, 2> facts;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    facts[i] = std::string(kPeople[drawn[i]]) + ' ';
    for (int digit = 0; digit < 2; ++digit)
      facts[i] += static_cast<char>('0' + static_cast<int>(random.below(10)));
  }
  std::string line = facts[0] + ", " + facts[1] + ": ";
  random.shuffle(facts);
  return line + facts[0] + ", " + facts[1] + ".\n";
}

inline std::string made_up_text(std::size_t lines, Random& random) {
  std::string text;
  for (std::size_t i = 0; i < lines; ++i) text += made_up_line(random);
  return text;
}

}  // namespace examples
