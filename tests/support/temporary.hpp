// SPDX-License-Identifier: Apache-2.0
// Files that tests write: programs, and tests of one program, run side by side.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

namespace support {

/// A folder of this process alone, which goes when it ends.
class TemporaryFolder {
 public:
  TemporaryFolder()
      : path_(std::filesystem::path(testing::TempDir()) /
              ("attn_" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directories(path_);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A path for a file or folder of this process alone.
inline std::string temporary_path(const std::string& name) {
  static const TemporaryFolder folder;
  return (folder.path() / name).string();
}

}  // namespace support
