// SPDX-License-Identifier: Apache-2.0
// Dates as people write them, and as ISO 8601 does: one on a line, a series, or an interval.
//
//     Wed 3 Mar 1999                                        1999-03-03
//     the third of March 1999; 4/17/2021 and Jan 7, 1998    1999-03-03,2021-04-17,1998-01-07
//     from May 1st, 1986 to 2.6.1987                        1986-05-01/1987-06-02
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "../support/random.hpp"
#include "pair_data.hpp"

namespace examples {

/// A sixth of the training lines more are made up to test, and a 24th to validate.
struct DateOptions {
  std::size_t lines = 12000;   // to train on
  std::size_t most_dates = 4;  // on a line
  std::uint64_t seed = 1;
};

namespace detail {

inline constexpr std::array<const char*, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
inline constexpr std::array<const char*, 7> kWeekdays = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
inline constexpr std::array<const char*, 20> kOrdinals = {
    "",           "first",     "second",    "third",       "fourth",     "fifth",     "sixth",
    "seventh",    "eighth",    "ninth",     "tenth",       "eleventh",   "twelfth",   "thirteenth",
    "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth"};
inline constexpr std::array<const char*, 20> kNumbers = {
    "",         "one",     "two",     "three",     "four",     "five",    "six",
    "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
inline constexpr std::array<const char*, 10> kTens = {
    "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};

/// 1 to 99.
inline std::string number_in_words(std::size_t n) {
  if (n < 20) return kNumbers[n];
  return kTens[n / 10] + (n % 10 == 0 ? std::string() : std::string("-") + kNumbers[n % 10]);
}

/// 1 to 31.
inline std::string ordinal_in_words(std::size_t n) {
  if (n < 20) return kOrdinals[n];
  if (n % 10 == 0) return n == 20 ? "twentieth" : "thirtieth";
  return std::string(kTens[n / 10]) + "-" + kOrdinals[n % 10];
}

/// As years are read out: nineteen ninety-nine, two thousand and one, twenty twenty-six.
inline std::string year_in_words(std::size_t year) {
  if (year == 2000) return "two thousand";
  if (year > 2000 && year < 2010) return "two thousand and " + number_in_words(year - 2000);
  const std::string rest = year % 100 == 0 ? "hundred" : number_in_words(year % 100);
  return number_in_words(year / 100) + " " + rest;
}

inline std::string ordinal(std::size_t n) {
  const bool teen = n % 100 / 10 == 1;
  const char* suffix = teen          ? "th"
                       : n % 10 == 1 ? "st"
                       : n % 10 == 2 ? "nd"
                       : n % 10 == 3 ? "rd"
                                     : "th";
  return std::to_string(n) + suffix;
}

}  // namespace detail

/// A day between 1950 and 2049, in all its spellings.
class WrittenDate {
 public:
  WrittenDate(int year, unsigned month, unsigned day)
      : year_(static_cast<std::size_t>(year)), month_(month), day_(day) {
    using namespace std::chrono;
    const sys_days days =
        std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
    weekday_ = detail::kWeekdays[weekday(days).c_encoding()];
    month_name_ = detail::kMonths[month - 1];
  }

  static WrittenDate random(Random& random) {
    using namespace std::chrono;
    const sys_days first = year(1950) / January / 1;
    const sys_days last = year(2050) / January / 1;
    const auto days = static_cast<std::size_t>((last - first).count());
    const year_month_day date = first + std::chrono::days(static_cast<int>(random.below(days)));
    return {static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
            static_cast<unsigned>(date.day())};
  }

  std::string iso() const {
    char text[32];
    std::snprintf(text, sizeof text, "%04zu-%02zu-%02zu", year_, month_, day_);
    return text;
  }

  static constexpr std::size_t kSpellings = 16;

  /// 0 to kSpellings - 1. With slashes the month comes first, with points the day; two digits of a
  /// year mean 1950 to 2049.
  std::string spelling(std::size_t kind) const {
    const std::string year = std::to_string(year_), day = std::to_string(day_);
    const std::string short_month = month_name_.substr(0, 3), short_day = weekday_.substr(0, 3);
    const std::string short_year = year.substr(2);
    switch (kind) {
      case 0:
        return day + " " + month_name_ + " " + year;
      case 1:
        return month_name_ + " " + day + ", " + year;
      case 2:
        return short_month + " " + day + ", " + year;
      case 3:
        return detail::ordinal(day_) + " of " + month_name_ + " " + year;
      case 4:
        return "the " + detail::ordinal(day_) + " of " + month_name_ + ", " + year;
      case 5:
        return weekday_ + ", " + month_name_ + " " + detail::ordinal(day_) + ", " + year;
      case 6:
        return short_day + " " + day + " " + short_month + " " + year;
      case 7:
        return std::to_string(month_) + "/" + day + "/" + year;
      case 8:
        return day + "." + std::to_string(month_) + "." + year;
      case 9:
        return day + "-" + short_month + "-" + short_year;
      case 10:
        return short_month + " " + day + " '" + short_year;
      case 11:
        return year + ", " + month_name_ + " " + day;
      case 12:
        return weekday_ + " the " + detail::ordinal(day_) + " of " + month_name_ + " " + year;
      case 13:
        return "the " + detail::ordinal_in_words(day_) + " of " + month_name_ + " " + year;
      case 14:
        return weekday_ + ", the " + detail::ordinal_in_words(day_) + " of " + month_name_ + " " +
               year;
      default:
        return month_name_ + " the " + detail::ordinal_in_words(day_) + ", " +
               detail::year_in_words(year_);
    }
  }

 private:
  std::size_t year_;
  std::size_t month_;
  std::size_t day_;
  std::string weekday_;
  std::string month_name_;
};

/// One to `most` dates on a line.
inline Item date_line(std::size_t most, Random& random) {
  const std::size_t count = 1 + random.below(most);
  const bool interval = count == 2 && random.below(2) == 0;
  std::string source = interval ? "from " : "", target;
  for (std::size_t i = 0; i < count; ++i) {
    const WrittenDate date = WrittenDate::random(random);
    if (i > 0) source += interval ? " to " : i + 1 == count ? " and " : "; ";
    if (i > 0) target += interval ? "/" : ",";
    source += date.spelling(random.below(WrittenDate::kSpellings));
    target += date.iso();
  }
  return {split_tokens(source, Unit::kCharacters), {split_tokens(target, Unit::kCharacters)}};
}

inline PairData date_data(const DateOptions& options) {
  Random random(options.seed);
  const auto lines = [&](std::size_t count) {
    std::vector<Item> items;
    for (std::size_t i = 0; i < count; ++i) items.push_back(date_line(options.most_dates, random));
    return items;
  };
  PairData data;
  data.train = lines(options.lines);
  data.validation = lines(options.lines / 24 + 1);
  data.test = lines(options.lines / 6 + 1);
  return data;
}

}  // namespace examples
