// SPDX-License-Identifier: Apache-2.0
// What a call throws, as a text to compare.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace support {

/// The text of the exception that f throws.
template <class Error, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& other) {
    return std::string("another exception: ") + other.what();
  }
  return "no exception";
}

template <class Error, class F>
void expect_error(const std::string& sentence, F&& f) {
  EXPECT_EQ(message_of<Error>(f), sentence);
}

}  // namespace support
