// SPDX-License-Identifier: Apache-2.0
// What the fuzzers share: their seeds, and what a reader may do with bytes that are no image.
//
// A reader takes the bytes or throws a DataError with a sentence; anything else that it throws, and
// anything that a sanitizer finds, ends the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "../../examples/support/data_error.hpp"

namespace fuzz {

/// Writes the seeds into the corpus, the folder among the fuzzer's arguments. Files among them are
/// inputs to run once more.
inline void write_seeds(int argc, char** argv, const std::vector<std::string>& seeds) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view folder = argv[i];
    if (folder.starts_with("-") || std::filesystem::is_regular_file(folder)) continue;
    std::filesystem::create_directories(folder);
    for (std::size_t s = 0; s < seeds.size(); ++s)
      std::ofstream(std::string(folder) + "/seed" + std::to_string(s), std::ios::binary)
          << seeds[s];
  }
}

inline void expect(bool holds) {
  if (!holds) std::abort();
}

template <class Read>
void read_or_refuse(const Read& read) {
  try {
    read();
  } catch (const examples::DataError& error) {
    const std::string sentence = error.what();
    expect(sentence.ends_with('.') && sentence.find('\n') == std::string::npos);
  }
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace fuzz
