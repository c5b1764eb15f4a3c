// SPDX-License-Identifier: Apache-2.0
// Folders of recorded cases: where they are, what is in one, and a test for each.
//
// A set is a folder with a cases.txt, which names a folder a line; each has a case.json and .npy
// files. The sets are looked for in $ATTN_CASES_DIR (else the folder given when configuring) itself
// and in pytorch/ and onnx/ below it. Next: case_pipeline.hpp and case_onnx.hpp, which say what a
// case.json means.
#pragma once

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/npy.hpp"

namespace cases {

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// Thrown where a case asks for something that the library, or this reader, does not know.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One folder.
struct Case {
  fs::path folder;
  Json text;

  /// The entry of that name among the inputs or outputs; null where absent or without a tensor.
  const Json* entry(const char* list, const std::string& name) const {
    for (const Json& item : text.at(list))
      if (item.at("name") == name && !item.at("tensor").is_null()) return &item;
    return nullptr;
  }
  bool has_input(const std::string& name) const { return entry("inputs", name) != nullptr; }

  /// The float copy where there is one: its numbers are the same, and every reader knows them.
  Tensor read(const Json& item) const {
    const Json& tensor = item.at("tensor");
    const auto copy = tensor.find("file_f32");
    const Json& file = copy != tensor.end() && !copy->is_null() ? *copy : tensor.at("file");
    return read_npy(folder / file.get<std::string>());
  }
  Tensor input(const std::string& name) const {
    const Json* item = entry("inputs", name);
    if (item == nullptr) throw Unsupported("an input named " + name + " is missing");
    return read(*item);
  }
  std::string type_of_input(const std::string& name) const {
    const Json* item = entry("inputs", name);
    return item == nullptr ? "none" : item->at("tensor").at("dtype").get<std::string>();
  }
};

inline Case read_case(const fs::path& folder) {
  std::ifstream file(folder / "case.json");
  if (!file) throw std::runtime_error((folder / "case.json").string() + ": cannot be opened");
  return {folder, Json::parse(file)};
}

/// The directory of the cases, or nothing where nobody named one.
inline fs::path directory() {
  const char* named = std::getenv("ATTN_CASES_DIR");
  return named != nullptr && *named != '\0' ? fs::path(named) : fs::path(ATTN_CASES_DIR);
}

/// All folders that the sets of a directory list.
inline std::vector<fs::path> folders_in(const fs::path& directory) {
  std::vector<fs::path> folders;
  for (const fs::path& set : {directory, directory / "pytorch", directory / "onnx"}) {
    std::ifstream list(set / "cases.txt");
    for (std::string name; list >> name;) folders.push_back(set / name);
  }
  return folders;
}

/// What a run could not check, case by case, told once more at its end.
inline std::vector<std::string>& unsupported_list() {
  static std::vector<std::string> list;
  return list;
}

inline void report_unsupported(const Case& which, const std::string& what) {
  const std::string line = which.folder.filename().string() + ": " + what;
  std::cout << "unsupported: " << line << '\n';
  testing::Test::RecordProperty("unsupported", what);
  unsupported_list().push_back(line);
}

/// A test whose body is a function.
class FunctionTest : public testing::Test {
 public:
  explicit FunctionTest(std::function<void()> body) : body_(std::move(body)) {}
  void TestBody() override { body_(); }

 private:
  std::function<void()> body_;
};

inline void add_test(const char* suite, const std::string& name,
                     const std::function<void()>& body) {
  testing::RegisterTest(suite, name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [body]() -> testing::Test* { return new FunctionTest(body); });
}

/// A kind of case: how to tell it, and what to do with one.
struct Kind {
  const char* suite;
  std::function<bool(const Json&)> matches;
  std::function<void(const Case&)> check;
};

inline void check_case(const Kind& kind, const Case& which) {
  try {
    kind.check(which);
  } catch (const Unsupported& reason) {
    report_unsupported(which, reason.what());
  }
}

/// Whether a folder is of that kind; one that cannot be read is of every kind, and its test fails.
inline bool add_case(const Kind& kind, const fs::path& folder) {
  try {
    const Case which = read_case(folder);
    if (!kind.matches(which.text)) return false;
    add_test(kind.suite, folder.filename().string(), [=] { check_case(kind, which); });
  } catch (const std::exception& error) {
    const std::string text = error.what();
    add_test(kind.suite, folder.filename().string(), [=] { FAIL() << folder << ": " << text; });
  }
  return true;
}

/// A test for each case of one kind, or one test that says why there is none.
inline void add_cases(const Kind& kind) {
  const fs::path from = directory();
  const std::vector<fs::path> folders = folders_in(from);
  std::size_t count = 0;
  for (const fs::path& folder : folders) count += add_case(kind, folder) ? 1 : 0;
  if (count > 0) return;
  add_test(kind.suite, "NoCases", [=] {
    if (from.empty()) GTEST_SKIP() << "No recorded cases: ATTN_CASES_DIR names no directory.";
    if (folders.empty())
      FAIL() << "ATTN_CASES_DIR is " << from
             << ", and neither it nor its pytorch/ and onnx/ have a "
             << "cases.txt that names a folder.";
    GTEST_SKIP() << "No cases of this kind in " << from << ".";
  });
}

/// main() of a program that checks one kind of case.
inline int run(int argc, char** argv, const Kind& kind) {
  testing::InitGoogleTest(&argc, argv);
  add_cases(kind);
  const int result = RUN_ALL_TESTS();
  if (!unsupported_list().empty()) {
    std::cout << "\nNot checked, being unsupported:\n";
    for (const std::string& line : unsupported_list()) std::cout << "  " << line << '\n';
  }
  return result;
}

}  // namespace cases
