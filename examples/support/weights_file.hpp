// SPDX-License-Identifier: Apache-2.0
// Saved models: a line that names the kind of file, a line of JSON that describes the model and its
// tensors, then the numbers.
//
//     <kind>\n {"description": ..., "tensors": [{"name", "rows", "columns"}, ...]}\n float32...
//
// Numbers are float32 in the order of the machine that wrote them; little-endian on all common
// ones.
#pragma once

#include <cstddef>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_error.hpp"
#include "parameter.hpp"
#include "text_file.hpp"

namespace examples {

inline nlohmann::json tensor_list(const std::vector<Parameter>& parameters) {
  nlohmann::json tensors = nlohmann::json::array();
  for (const Parameter& p : parameters) {
    tensors.push_back({{"name", p.name}, {"rows", p.rows}, {"columns", p.columns}});
  }
  return tensors;
}

inline void save_weights(const std::string& path, const std::string& kind,
                         const nlohmann::json& description,
                         const std::vector<Parameter>& parameters) {
  std::ofstream out(path, std::ios::binary);
  if (!out) throw DataError(path, "the file cannot be opened for writing.");
  const nlohmann::json head = {{"description", description}, {"tensors", tensor_list(parameters)}};
  out << kind << '\n' << head.dump() << '\n';
  for (const Parameter& p : parameters) {
    out.write(reinterpret_cast<const char*>(p.value.data()),
              static_cast<std::streamsize>(p.value.size()) * std::streamsize{sizeof(float)});
  }
  out.flush();
  if (!out) throw DataError(path, "writing failed; is the disk full?");
}

/// A saved model that has been read but not yet been put into a model.
class WeightsFile {
 public:
  WeightsFile(std::string path, std::string_view kind) : path_(std::move(path)) {
    bytes_ = read_bytes(path_);
    const std::size_t first_end = bytes_.find('\n');
    if (std::string_view(bytes_).substr(0, first_end) != kind) {
      throw DataError(path_, 1, "this is not a saved '" + std::string(kind) + "'.");
    }
    const std::size_t second_end = bytes_.find('\n', first_end + 1);
    if (second_end == std::string::npos) throw DataError(path_, 2, "the description is cut off.");
    const auto head = bytes_.begin() + static_cast<std::ptrdiff_t>(first_end) + 1;
    head_ = nlohmann::json::parse(head, bytes_.begin() + static_cast<std::ptrdiff_t>(second_end),
                                  nullptr, false);
    if (!head_.is_object() || !head_.contains("description") || !head_.contains("tensors")) {
      throw DataError(path_, 2, "the description of the saved model is damaged.");
    }
    numbers_ = second_end + 1;
  }

  const std::string& path() const { return path_; }
  const nlohmann::json& description() const { return head_["description"]; }

  /// Fills the tensors of a model. Another list of names or sizes, or another count of numbers, is
  /// an error, and then nothing has been written.
  void copy_to(std::vector<Parameter>& parameters) const {
    check_tensors(tensor_list(parameters));
    std::size_t wanted = 0;
    for (const Parameter& p : parameters) wanted += byte_count(p);
    if (bytes_.size() - numbers_ != wanted) {
      throw DataError(path_, 3,
                      "the saved model holds " + std::to_string(bytes_.size() - numbers_) +
                          " bytes of numbers and its tensors need " + std::to_string(wanted) + ".");
    }
    std::size_t at = numbers_;
    for (Parameter& p : parameters) {
      std::memcpy(p.value.data(), bytes_.data() + at, byte_count(p));
      at += byte_count(p);
    }
  }

 private:
  static std::size_t byte_count(const Parameter& p) {
    return static_cast<std::size_t>(p.value.size()) * sizeof(float);
  }

  void check_tensors(const nlohmann::json& wanted) const {
    const nlohmann::json& found = head_["tensors"];
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (i < found.size() && found[i] == wanted[i]) continue;
      throw DataError(path_, 2,
                      "the saved model has another shape: tensor " + std::to_string(i + 1) +
                          " is " + (i < found.size() ? found[i].dump() : "missing") + " and " +
                          wanted[i].dump() + " is needed.");
    }
    if (found.size() != wanted.size()) {
      throw DataError(path_, 2,
                      "the saved model has another shape: " + std::to_string(found.size()) +
                          " tensors where " + std::to_string(wanted.size()) + " are needed.");
    }
  }

  std::string path_;
  std::string bytes_;
  nlohmann::json head_;
  std::size_t numbers_ = 0;
};

/// What a description that cannot be is refused with.
inline DataError damaged(const std::string& path, const std::string& what) {
  return DataError(path, 2, "the description of the saved model is damaged: " + what + ".");
}

/// Sizes beyond these are damage, not models.
inline Index checked_size(const std::string& path, const nlohmann::json& description,
                          const char* name) {
  constexpr Index kLargest = 65536;
  const Index size = description.at(name).get<Index>();
  if (size >= 1 && size <= kLargest) return size;
  throw damaged(path, std::string("its ") + name + " is " + std::to_string(size));
}

}  // namespace examples
