// SPDX-License-Identifier: Apache-2.0
// Errors: the exception types, the cold functions that raise them, and the sentences.
//
// A message names the function, the argument, the sizes and the rule. Without exceptions the same
// text goes to a handler that the user may set and that prints and aborts by default.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE

/// Sizes of arguments that do not fit each other.
class ShapeError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A value outside its range: a dropout p of 1, a window of -2, overlapping arrays.
class ValueError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A file that cannot be read or written, or that does not hold what it should.
class FileError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Receives the text of an error when exceptions are disabled; must not return.
using ErrorHandler = void (*)(const char* message);

namespace engine {

inline void print_and_abort(const char* message) {
  std::fprintf(stderr, "%s\n", message);
  std::abort();
}

inline std::atomic<ErrorHandler>& error_handler() {
  static std::atomic<ErrorHandler> handler{&print_and_abort};
  return handler;
}

}  // namespace engine

/// Sets what happens to errors when exceptions are disabled; returns the handler before.
/// With exceptions enabled it is never called. Threads: may be called from any.
inline ErrorHandler set_error_handler(ErrorHandler handler) {
  return engine::error_handler().exchange(handler ? handler : &engine::print_and_abort);
}

namespace engine {

/// One piece of a message: text or a number.
struct Word {
  std::string text;
  Word(const char* t) : text(t) {}                      // NOLINT(google-explicit-constructor)
  Word(std::string t) : text(std::move(t)) {}           // NOLINT(google-explicit-constructor)
  Word(std::string_view t) : text(t) {}                 // NOLINT(google-explicit-constructor)
  Word(Index number) : text(std::to_string(number)) {}  // NOLINT(google-explicit-constructor)
  Word(double number) {                                 // NOLINT(google-explicit-constructor)
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", number);
    text = digits;
  }
};

template <class Error>
[[noreturn]] ATTN_NOINLINE void raise(std::initializer_list<Word> words) {
  std::string message = "attn::";
  for (const Word& word : words) message += word.text;
#if ATTN_EXCEPTIONS
  throw Error(message);
#else
  error_handler().load()(message.c_str());
  std::abort();  // a handler that returns would let the caller go on with wrong sizes
#endif
}

[[noreturn]] inline void raise_shape(std::initializer_list<Word> words) {
  raise<ShapeError>(words);
}

[[noreturn]] inline void raise_value(std::initializer_list<Word> words) {
  raise<ValueError>(words);
}

/// "3 x 4", as it stands in messages.
inline std::string size_text(Index rows, Index cols) {
  return std::to_string(rows) + " x " + std::to_string(cols);
}

}  // namespace engine

ATTN_END_NAMESPACE
