// SPDX-License-Identifier: Apache-2.0
// One object of a case's pipeline, such as {"kind": "softcap", "cap": 2.5}, read field by field.
//
// A field that nobody reads would change the meaning of a case unseen, so `finish` refuses it.
#pragma once

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/case_folder.hpp"

namespace cases {

/// "Scaled Dot-Product" and "scaled_dot_product" are the same name.
inline std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name)
    if (std::isalnum(static_cast<unsigned char>(c)))
      plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return plain;
}

inline bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using Names = std::initializer_list<const char*>;

class Fields {
 public:
  /// A name alone stands for {"kind": name}, null for {}.
  Fields(const Case& source, const Json& object, std::string role)
      : source_(source), object_(object), role_(std::move(role)) {
    if (object.is_string()) object_ = Json{{"kind", object}};
    if (object_.is_null()) object_ = Json::object();
    if (!object_.is_object()) throw Unsupported(role_ + " " + object.dump());
    read_ = {"kind", "note", "notes", "words", "name"};
    if (object_.contains("kind")) kind_ = plain_name(object_["kind"].get<std::string>());
  }

  const Case& source() const { return source_; }
  const std::string& kind() const { return kind_; }
  const Json& object() const { return object_; }
  /// The name of the field that `find` found last: what a gradient by a number written here is
  /// called.
  const std::string& found() const { return found_; }

  /// The value under the first of these names that is there and not null.
  const Json* find(Names names) {
    const Json* value = nullptr;
    for (const char* name : names) {
      const auto at = object_.find(name);
      if (at == object_.end()) continue;
      read_.insert(name);
      if (value == nullptr && !at->is_null()) value = &*at, found_ = name;
    }
    return value;
  }
  const Json& need(Names names) {
    const Json* value = find(names);
    if (value == nullptr) throw Unsupported(describe() + " without \"" + *names.begin() + "\"");
    return *value;
  }

  /// The tensor that a field names, or the numbers that it lists.
  Tensor tensor(Names names) { return to_tensor(need(names)); }
  std::optional<Tensor> optional_tensor(Names names) {
    const Json* value = find(names);
    return value ? std::optional(to_tensor(*value)) : std::nullopt;
  }

  /// A number, or the name of an input that holds one.
  std::optional<double> optional_number(Names names) {
    const Json* value = find(names);
    if (value == nullptr) return std::nullopt;
    const Tensor one = to_tensor(*value);
    if (one.size() != 1)
      throw Unsupported(describe() + " with " + std::to_string(one.size()) + " numbers as \"" +
                        found_ + "\"");
    return one.numbers[0];
  }
  double number(Names names, double otherwise) {
    return optional_number(names).value_or(otherwise);
  }
  bool flag(Names names, bool otherwise) {
    const Json* value = find(names);
    if (value == nullptr) return otherwise;
    return value->is_boolean() ? value->get<bool>() : to_tensor(*value).numbers.at(0) != 0;
  }

  /// Takes a field that says again what is known.
  void expect(Names names, double known) {
    const auto stated = optional_number(names);
    if (stated && *stated != known) throw Unsupported(describe() + " with another " + found_);
  }

  /// The input that a field names, or the field's own name: what a gradient is recorded under.
  std::string origin(Names names) {
    const Json& value = need(names);
    return value.is_string() ? value.get<std::string>() : found_;
  }

  [[noreturn]] void unknown() const {
    throw Unsupported(role_ + " " +
                      (object_.contains("kind") ? object_["kind"].dump() : "without kind"));
  }

  /// Refuses fields that have not been read.
  void finish() const {
    for (const auto& [name, value] : object_.items())
      if (!read_.contains(name) && !value.is_null())
        throw Unsupported(describe() + " with \"" + name + "\": " + value.dump());
  }

  std::string describe() const { return kind_.empty() ? role_ : role_ + " " + kind_; }

 private:
  Tensor to_tensor(const Json& value) const {
    if (value.is_string()) return source_.input(value.get<std::string>());
    if (value.is_number()) return {{}, {value.get<double>()}};
    if (value.is_boolean()) return {{}, {value.get<bool>() ? 1.0 : 0.0}};
    if (!value.is_array()) throw Unsupported(describe() + " with " + value.dump());
    Tensor list;
    for (const Json& item : value) {
      const Tensor part = to_tensor(item);
      list.shape = part.shape;
      list.numbers.insert(list.numbers.end(), part.numbers.begin(), part.numbers.end());
    }
    list.shape.insert(list.shape.begin(), static_cast<Index>(value.size()));
    return list;
  }

  const Case& source_;
  Json object_;
  std::string role_;
  std::string kind_;
  std::string found_;
  std::set<std::string> read_;
};

}  // namespace cases
