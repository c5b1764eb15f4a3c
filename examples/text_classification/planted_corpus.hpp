// SPDX-License-Identifier: Apache-2.0
// Notes to a shop, made up by a small grammar, in which the words that decide are known.
//
// A note tells of one matter (its class) with one or two key words. Half of the notes also name a
// word of another matter, and wave it aside: "the refund is fine". So the class can't be told from
// the words alone, and it shows where the attention falls.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../support/random.hpp"
#include "corpus.hpp"

namespace examples {

struct Matter {
  std::string_view name;
  std::array<std::string_view, 10> key_words;
};

inline constexpr std::array<Matter, 4> kMatters = {{
    {"account",
     {"password", "login", "username", "profile", "signup", "nickname", "lockout", "authenticator",
      "captcha", "avatar"}},
    {"delivery",
     {"parcel", "courier", "doorstep", "shipping", "postman", "tracking", "delay", "depot",
      "mailbox", "pickup"}},
    {"payment",
     {"refund", "invoice", "charge", "voucher", "receipt", "bank", "deposit", "discount", "card",
      "overpayment"}},
    {"quality",
     {"scratch", "dent", "leak", "crack", "stain", "rust", "tear", "noise", "fault", "breakage"}},
}};

class PlantedCorpus {
 public:
  explicit PlantedCorpus(std::uint64_t seed) : random_(seed) {}

  Texts texts(std::size_t count) {
    Texts texts;
    for (std::size_t i = 0; i < count; ++i) texts.push_back(note(i % kMatters.size(), i + 1));
    random_.shuffle(texts);
    return texts;
  }

 private:
  template <std::size_t N>
  std::string_view any(const std::array<std::string_view, N>& words) {
    return words[random_.below(N)];
  }

  /// Appends words that are divided by single blanks; all of them are single tokens.
  void say(std::string_view words) {
    for (std::size_t start = 0; start < words.size();) {
      const std::size_t end = std::min(words.find(' ', start), words.size());
      if (!note_.text.empty()) note_.text += ' ';
      note_.text += words.substr(start, end - start);
      ++tokens_;
      start = end + 1;
    }
  }

  void say_key_word(const Matter& matter) {
    say(any(matter.key_words));
    note_.key_tokens.push_back(tokens_ - 1);
  }

  void say_filler() {
    static constexpr std::array<std::string_view, 10> fillers = {
        "i have been a customer for years", "my neighbour told me about you",
        "it was a birthday present",        "we ordered it last week",
        "the website looks nice",           "i tried it twice today",
        "maybe someone can help",           "i am writing from my phone",
        "this is the second time",          "i do not mean to complain"};
    say(any(fillers));
  }

  void say_matter(const Matter& matter) {
    static constexpr std::array<std::string_view, 6> openings = {
        "please look into the", "there is trouble with the", "i am asking about the",
        "nobody explains the",  "it is all because of the",  "my question is about the"};
    say(any(openings));
    say_key_word(matter);
    if (random_.below(3) == 0) {
      say("and the");
      say_key_word(matter);
    }
  }

  void say_decoy(std::size_t matter) {
    static constexpr std::array<std::string_view, 4> dismissals = {
        "is fine", "is settled now", "is not my question", "was solved already"};
    const std::size_t other = (matter + 1 + random_.below(kMatters.size() - 1)) % kMatters.size();
    say("the");
    say(any(kMatters[other].key_words));
    say(any(dismissals));
  }

  LabelledText note(std::size_t matter, std::size_t number) {
    static constexpr std::array<std::string_view, 4> greetings = {"hello", "good morning",
                                                                  "dear team", "hi there"};
    note_ = {.label = std::string(kMatters[matter].name),
             .text = {},
             .file = "generated corpus",
             .line = number};
    tokens_ = 0;
    say(any(greetings));
    const bool decoy = random_.below(2) == 0;
    const bool decoy_first = random_.below(2) == 0;
    if (random_.below(3) != 0) say_filler();
    if (decoy && decoy_first) say_decoy(matter);
    say_matter(kMatters[matter]);
    if (decoy && !decoy_first) say_decoy(matter);
    if (random_.below(2) == 0) say_filler();
    if (random_.below(2) == 0) say("thank you");
    return note_;
  }

  Random random_;
  LabelledText note_;
  std::size_t tokens_ = 0;
};

}  // namespace examples
