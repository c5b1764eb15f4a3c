// SPDX-License-Identifier: Apache-2.0
// Files of weights: bytes at any place of a file, never beyond its end, and files written whole.
//
// Integers are little-endian in all formats here, whatever the machine is. Next: npy.hpp, zip.hpp,
// safetensors.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <ios>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <attn/check.hpp>
#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The integer that begins at `at`; the caller has made sure that it is there.
template <std::unsigned_integral U>
U read_little(std::string_view bytes, std::size_t at) {
  std::uint64_t value = 0;
  for (std::size_t k = sizeof(U); k-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[at + k]);
  return static_cast<U>(value);
}

template <std::unsigned_integral U>
void append_little(std::string& bytes, U value) {
  for (std::size_t k = 0; k < sizeof(U); ++k)
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * k) & 0xff);
}

/// Which file what function works on: the subject of every sentence about it.
struct FilePlace {
  const char* function;
  std::filesystem::path path;

  [[noreturn]] void bad(std::initializer_list<Word> words) const {
    std::string text;
    for (const Word& word : words) text += word.text;
    raise<FileError>({function, ": ", path.string(), " ", text});
  }
};

/// A file that is read piece by piece.
class InputFile {
 public:
  explicit InputFile(FilePlace place)
      : place_(std::move(place)), stream_(place_.path, std::ios::binary) {
    std::error_code failed;
    size_ = std::filesystem::file_size(place_.path, failed);
    if (!stream_ || failed) place_.bad({"cannot be opened"});
  }

  const FilePlace& place() const { return place_; }
  std::uint64_t size() const { return size_; }

  /// `what` begins the sentence for bytes that are not there.
  std::string read(std::uint64_t first, std::uint64_t count, const char* what) {
    if (first > size_ || count > size_ - first)
      place_.bad({"is cut off: ", what, " would end at byte ", std::to_string(first), " + ",
                  std::to_string(count), " and the file has ", std::to_string(size_)});
    std::string bytes(static_cast<std::size_t>(count), '\0');
    stream_.clear();
    stream_.seekg(static_cast<std::streamoff>(first));
    stream_.read(bytes.data(), static_cast<std::streamsize>(count));
    if (!stream_) place_.bad({"cannot be read"});
    return bytes;
  }

 private:
  FilePlace place_;
  std::ifstream stream_;
  std::uint64_t size_ = 0;
};

/// Writes beside the file first, so that a failure leaves the old one as it was.
inline void write_file(const FilePlace& place, std::string_view bytes) {
  std::filesystem::path part = place.path;
  part += ".part";
  std::ofstream stream(part, std::ios::binary);
  if (!stream) place.bad({"cannot be opened for writing"});
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  stream.close();
  std::error_code failed, ignored;
  if (stream) std::filesystem::rename(part, place.path, failed);
  if (stream && !failed) return;
  std::filesystem::remove(part, ignored);
  place.bad({"could not be written; is the disk full?"});
}

/// How numbers are stored.
enum class NumberType : std::uint8_t { half, bfloat16, single, twice };

constexpr std::uint64_t size_of(NumberType type) {
  return type == NumberType::twice ? 8 : type == NumberType::single ? 4 : 2;
}

using StoredShape = std::vector<std::uint64_t>;

/// A tensor as a file has it: bytes that fit its shape, in C order unless by_columns.
struct StoredTensor {
  NumberType type = NumberType::single;
  StoredShape shape;
  bool by_columns = false;
  std::string bytes;
};

/// "[3, 4]"
inline std::string shape_text(const StoredShape& shape) {
  std::string text = "[";
  for (const std::uint64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

/// Whether numbers of `size` bytes in this shape fill `bytes` exactly; no product overflows.
inline bool fills(const StoredShape& shape, std::uint64_t size, std::uint64_t bytes) {
  constexpr std::uint64_t largest = std::uint64_t{1} << 48;  // of a dimension, even beside a 0
  if (std::any_of(shape.begin(), shape.end(), [](std::uint64_t n) { return n > largest; }))
    return false;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return bytes == 0;
  std::uint64_t rest = bytes;
  for (const std::uint64_t n : shape) {
    if (rest % n != 0) return false;
    rest /= n;
  }
  return rest == size;
}

}  // namespace engine
ATTN_END_NAMESPACE
