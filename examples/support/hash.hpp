// SPDX-License-Identifier: Apache-2.0
// A number from a text that is the same everywhere: what is drawn by it is drawn again next time.
//
// Source: Fowler, Noll and Vo 1991 (FNV-1a, 64 bits).
#pragma once

#include <cstdint>
#include <string_view>

namespace examples {

constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace examples
