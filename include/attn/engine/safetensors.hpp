// SPDX-License-Identifier: Apache-2.0
// The .safetensors format.
//
//     length of the header (8 bytes), the header (JSON), the numbers of all tensors, without gaps
//     {"in_proj_weight": {"dtype": "F32", "shape": [96, 32], "data_offsets": [0, 12288]}, ...}
//
// Source: the format's description, github.com/huggingface/safetensors, section "Format".
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/file.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

class SafetensorsFile {
 public:
  explicit SafetensorsFile(FilePlace place) : file_(std::move(place)) { read_header(); }

  const FilePlace& place() const { return file_.place(); }
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& [name, entry] : entries_) list.push_back(name);
    return list;
  }

  StoredTensor read(const std::string& name, std::uint64_t) {
    const Entry& e = entries_.at(name);
    const std::optional<NumberType> type = type_of(e.type);
    if (!type)
      place().bad({"holds tensor '", name, "' as ", e.type,
                   "; only floating-point numbers can be read: F16, BF16, F32, F64"});
    const std::uint64_t bytes = e.end - e.begin;
    if (!fills(e.shape, size_of(*type), bytes))
      place().bad({"is damaged: tensor '", name, "' has the shape ", shape_text(e.shape), " and ",
                   std::to_string(bytes), " bytes of ", e.type, ", which do not fit"});
    return {*type, e.shape, false, file_.read(data_ + e.begin, bytes, "a tensor")};
  }

  static const char* type_name(NumberType type) {
    constexpr std::array<const char*, 4> names = {"F16", "BF16", "F32", "F64"};
    return names[static_cast<std::size_t>(type)];
  }

 private:
  struct Entry {
    std::string type;
    StoredShape shape;
    std::uint64_t begin, end;
  };

  static std::optional<NumberType> type_of(std::string_view name) {
    for (const NumberType type :
         {NumberType::half, NumberType::bfloat16, NumberType::single, NumberType::twice})
      if (name == type_name(type)) return type;
    return std::nullopt;
  }

  void read_header() {
    constexpr std::uint64_t longest = 100'000'000;  // the format's own limit
    const auto length = read_little<std::uint64_t>(file_.read(0, 8, "the header's length"), 0);
    if (length > longest || length > file_.size() - 8)
      place().bad({"is no .safetensors file, or it is cut off: its header would have ",
                   std::to_string(length), " bytes"});
    const auto header = nlohmann::json::parse(file_.read(8, length, "the header"), nullptr, false);
    if (!header.is_object()) place().bad({"is damaged: its header is no JSON object"});
    data_ = 8 + length;
    for (const auto& [name, value] : header.items())
      if (name != "__metadata__") entries_.emplace(name, entry_of(name, value));
    check_gapless();
  }

  Entry entry_of(const std::string& name, const nlohmann::json& value) const {
    const auto has = [&](const char* key) { return value.is_object() && value.contains(key); };
    const auto numbers = [](const nlohmann::json& list) {
      return list.is_array() && std::all_of(list.begin(), list.end(),
                                            [](const auto& n) { return n.is_number_unsigned(); });
    };
    const bool good = has("dtype") && value["dtype"].is_string() && has("shape") &&
                      numbers(value["shape"]) && has("data_offsets") &&
                      numbers(value["data_offsets"]) && value["data_offsets"].size() == 2;
    if (!good)
      place().bad({"is damaged: tensor '", name,
                   "' has no dtype, shape and data_offsets as they should be"});
    return {value["dtype"].get<std::string>(), value["shape"].get<StoredShape>(),
            value["data_offsets"][0].get<std::uint64_t>(),
            value["data_offsets"][1].get<std::uint64_t>()};
  }

  /// Tensors fill the file, one behind the other.
  void check_gapless() const {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const auto& [name, e] : entries_) ranges.emplace_back(e.begin, e.end);
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t at = 0;
    for (const auto& [begin, end] : ranges) {
      if (begin != at || end < begin)
        place().bad({"is damaged: its tensors overlap or leave gaps at byte ", std::to_string(at)});
      at = end;
    }
    if (at != file_.size() - data_)
      place().bad({"is damaged or cut off: its tensors have ", std::to_string(at),
                   " bytes and the file has ", std::to_string(file_.size() - data_), " for them"});
  }

  InputFile file_;
  std::uint64_t data_ = 0;
  std::map<std::string, Entry> entries_;
};

inline std::string format_safetensors(
    const std::vector<std::pair<std::string, StoredTensor>>& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};  // laid out as in PyTorch
  std::string numbers;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = numbers.size();
    numbers += tensor.bytes;
    header[name] = {{"dtype", SafetensorsFile::type_name(tensor.type)},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, numbers.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the numbers are aligned
  std::string bytes;
  append_little(bytes, static_cast<std::uint64_t>(text.size()));
  return bytes + text + numbers;
}

}  // namespace engine
ATTN_END_NAMESPACE
