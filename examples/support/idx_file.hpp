// SPDX-License-Identifier: Apache-2.0
// IDX files, the format of MNIST, plain or packed with gzip.
//
//     images  2051, count, rows, columns  (4 numbers of 4 bytes, the highest first), then a byte a
//             pixel, row by row
//     labels  2049, count, then a byte a label
//
// Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits", file formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data_error.hpp"
#include "grey_image.hpp"
#include "gzip.hpp"
#include "text_file.hpp"

namespace examples {

/// Sets of more images or bytes than this are taken for damage.
inline constexpr std::uint64_t kMostImages = 1'000'000;
inline constexpr std::uint64_t kMostImageBytes = std::uint64_t{1} << 30;

namespace detail {

inline constexpr std::uint32_t kIdxImages = 2051;
inline constexpr std::uint32_t kIdxLabels = 2049;

/// The number that starts at byte `at`, which must be there.
inline std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i)
    number = (number << 8) | static_cast<unsigned char>(bytes[at + i]);
  return number;
}

/// The header's numbers behind the magic one, which must be `magic`.
inline std::vector<std::uint32_t> idx_header(const std::string& name, std::string_view bytes,
                                             std::uint32_t magic, std::size_t numbers) {
  const std::size_t size = 4 * (numbers + 1);
  const std::string head = unpacked(name, bytes, size);
  const std::string kind = magic == kIdxImages ? "images" : "labels";
  if (head.size() >= 4 && big_endian(head, 0) != magic)
    throw DataError(name, "the file starts with the number " + std::to_string(big_endian(head, 0)) +
                              ", and IDX " + kind + " start with " + std::to_string(magic) + ".");
  if (head.size() < size)
    throw DataError(name, "the file has " + std::to_string(head.size()) +
                              " bytes, and the header of IDX " + kind + " takes " +
                              std::to_string(size) + ".");
  std::vector<std::uint32_t> header;
  for (std::size_t i = 0; i < numbers; ++i) header.push_back(big_endian(head, 4 * (i + 1)));
  return header;
}

/// What follows the header: exactly `size` bytes, `what` in the error.
inline std::string idx_body(const std::string& name, std::string_view bytes, std::size_t header,
                            std::size_t size, const std::string& what) {
  // One more is asked for, so that bytes behind the end are noticed.
  std::string body = unpacked(name, bytes, header + size + 1);
  body.erase(0, header);
  if (body.size() < size)
    throw DataError(name, "the file is cut off: " + what + " take " + std::to_string(size) +
                              " bytes, and " + std::to_string(body.size()) + " are there.");
  if (body.size() > size)
    throw DataError(name, "the file goes on behind " + what + ", which take " +
                              std::to_string(size) + " bytes.");
  return body;
}

inline void check_image_count(const std::string& name, std::uint64_t count) {
  if (count == 0) throw DataError(name, "the file is empty: its header says 0.");
  if (count > kMostImages)
    throw DataError(name, "the header says " + std::to_string(count) + ", and " +
                              std::to_string(kMostImages) + " is the limit.");
}

}  // namespace detail

/// The images of a file that has been read; `name` stands in errors.
inline std::vector<GreyImage> parse_idx_images(const std::string& name, std::string_view bytes) {
  const auto header = detail::idx_header(name, bytes, detail::kIdxImages, 3);
  const std::uint64_t count = header[0];
  const Index rows = header[1], columns = header[2];
  detail::check_image_count(name, count);
  if (rows < 1 || columns < 1 || rows > kLargestImageSide || columns > kLargestImageSide)
    throw DataError(name, "the images are " + size_text(rows, columns) + " pixels; 1 to " +
                              std::to_string(kLargestImageSide) +
                              " rows and columns are possible.");
  const auto size = static_cast<std::size_t>(rows * columns);
  if (count * size > kMostImageBytes)
    throw DataError(name, std::to_string(count) + " images of " + size_text(rows, columns) +
                              " pixels are more than the limit of " +
                              std::to_string(kMostImageBytes) + " bytes.");
  const std::string what =
      std::to_string(count) + " images of " + size_text(rows, columns) + " pixels";
  const std::string body = detail::idx_body(name, bytes, 16, count * size, what);
  std::vector<GreyImage> images(count, GreyImage(rows, columns));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::string_view pixels = std::string_view(body).substr(i * size, size);
    images[i].pixels.assign(pixels.begin(), pixels.end());
  }
  return images;
}

inline std::vector<Index> parse_idx_labels(const std::string& name, std::string_view bytes) {
  const std::uint64_t count = detail::idx_header(name, bytes, detail::kIdxLabels, 1)[0];
  detail::check_image_count(name, count);
  const std::string body =
      detail::idx_body(name, bytes, 8, count, std::to_string(count) + " labels");
  std::vector<Index> labels;
  for (const char label : body) labels.push_back(static_cast<unsigned char>(label));
  return labels;
}

/// Images and their labels, which must be as many.
inline LabelledImages parse_idx(const std::string& images_name, std::string_view image_bytes,
                                const std::string& labels_name, std::string_view label_bytes) {
  LabelledImages set;
  set.labels = parse_idx_labels(labels_name, label_bytes);
  set.images = parse_idx_images(images_name, image_bytes);
  if (set.images.size() != set.labels.size())
    throw DataError(labels_name, "there are " + std::to_string(set.labels.size()) +
                                     " labels, and " + images_name + " holds " +
                                     std::to_string(set.images.size()) +
                                     " images; each image needs one.");
  set.rows = set.images.front().rows;
  set.columns = set.images.front().columns;
  return set;
}

inline LabelledImages read_idx(const std::string& images_path, const std::string& labels_path) {
  return parse_idx(images_path, read_bytes(images_path), labels_path, read_bytes(labels_path));
}

}  // namespace examples
