// SPDX-License-Identifier: Apache-2.0
// What the system tells of itself, where it does.
#include "machine.hpp"

#include <algorithm>
#include <fstream>

#if defined(__unix__)
#include <unistd.h>
#endif

namespace bench::report {
namespace {

using Eigen::Index;
constexpr Index MiB = Index(1) << 20;

std::string mebibytes(Index bytes) { return std::to_string(bytes / MiB) + " MiB"; }

/// "491520K" as Linux writes it.
Index cache_bytes(int index) {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size");
  Index number = 0;
  char unit = 0;
  file >> number >> unit;
  return unit == 'K' ? number << 10 : unit == 'M' ? number << 20 : number;
}

}  // namespace

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::string instruction_set() {
#if defined(EIGEN_DONT_VECTORIZE)
  return "no vectors";
#elif defined(__AVX512F__)
  return "AVX-512";
#elif defined(__AVX2__) && defined(__FMA__)
  return "AVX2 and FMA";
#elif defined(__AVX__)
  return "AVX";
#elif defined(__SSE2__)
  return "SSE2";
#elif defined(__ARM_NEON)
  return "NEON";
#else
  return "the compiler's default";
#endif
}

std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown compiler";
#endif
}

Index last_level_cache_bytes() {
  Index largest = 0;
  for (int index = 0; index < 8; ++index) largest = std::max(largest, cache_bytes(index));
  return largest;
}

Index memory_bytes() {
#if defined(__unix__)
  return Index(sysconf(_SC_PHYS_PAGES)) * Index(sysconf(_SC_PAGE_SIZE));
#else
  return 0;
#endif
}

Rotation rotation(bool quick) {
  const Index cache = last_level_cache_bytes(), memory = memory_bytes();
  const Index unknown = 256 * MiB;
  const Index wanted = cache > 0 ? 2 * cache : 2 * unknown;
  const Index bytes = quick        ? 4 * MiB
                      : memory > 0 ? std::clamp(wanted, 64 * MiB, std::max(memory / 6, 64 * MiB))
                                   : wanted;
  const std::string through = mebibytes(bytes);
  if (cache == 0) return {bytes, "through " + through + ", a last-level cache of unknown size"};
  const char* measured = bytes > cache ? "memory: " : "the CACHE alone: ";
  return {bytes, measured + ("through " + through) + ", last-level cache " + mebibytes(cache)};
}

}  // namespace bench::report
