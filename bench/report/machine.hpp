// SPDX-License-Identifier: Apache-2.0
// What the report says of the machine and the build, and what sizes depend on it.
#pragma once

#include <string>

#include <Eigen/Core>

namespace bench::report {

std::string processor_name();
std::string instruction_set();  ///< of this build
std::string compiler_name();

/// 0 where the system does not tell.
Eigen::Index last_level_cache_bytes();
Eigen::Index memory_bytes();

/// What a decode rotates its keys and values through, so that they come from memory: twice the
/// last-level cache, if a sixth of the memory is enough for that.
struct Rotation {
  Eigen::Index bytes;
  std::string note;  ///< says whether memory is measured or a cache
};
Rotation rotation(bool quick);

}  // namespace bench::report
