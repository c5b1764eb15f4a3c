// SPDX-License-Identifier: Apache-2.0
// Files that tests write: programs, and tests of one program, run side by side.
#pragma once

#include <string>

#include "../../bench/scratch_folder.hpp"

namespace support {

/// A path for a file or folder of this process alone, which goes when it ends.
inline std::string temporary_path(const std::string& name) {
  static const bench::ScratchFolder folder;
  return (folder.path() / name).string();
}

}  // namespace support
