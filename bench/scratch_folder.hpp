// SPDX-License-Identifier: Apache-2.0
// A folder for temporary files that disappears with its owner.
#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace bench {

/// A new folder of a name that no other process has.
class ScratchFolder {
 public:
  ScratchFolder()
      : path_(std::filesystem::temp_directory_path() /
              ("attn_" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directories(path_);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
