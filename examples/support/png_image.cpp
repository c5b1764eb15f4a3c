// SPDX-License-Identifier: Apache-2.0
// The one place where stb is compiled: only PNG, only from memory, and with a limit on memory.
#include "png_image.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data_error.hpp"
#include "text_file.hpp"

namespace examples {
namespace {

/// A few bytes of deflate can stand for a thousand times as many, so that the size of a file is no
/// limit. The largest image that is accepted takes 4096 x 4096 x 4 channels x 2 bytes = 128 MiB.
constexpr std::size_t kLargestAllocation = std::size_t{192} << 20;

void* limited_realloc(void* old, std::size_t size) {
  return size > kLargestAllocation ? nullptr : std::realloc(old, size);
}

}  // namespace
}  // namespace examples

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MALLOC(size) examples::limited_realloc(nullptr, size)
#define STBI_REALLOC(old, size) examples::limited_realloc(old, size)
#define STBI_FREE(pointer) std::free(pointer)
#include <stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace examples {
namespace {

std::string encoded(Index rows, Index columns, int channels,
                    const std::vector<std::uint8_t>& pixels) {
  const auto cannot = [&] {
    return DataError("an image of " + size_text(rows, columns) + " pixels cannot become a PNG.");
  };
  if (rows < 1 || columns < 1 ||
      pixels.size() != static_cast<std::size_t>(rows * columns * channels))
    throw cannot();
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data),
                                          static_cast<std::size_t>(size));
  };
  const int width = static_cast<int>(columns);
  if (stbi_write_png_to_func(append, &bytes, width, static_cast<int>(rows), channels, pixels.data(),
                             width * channels) == 0)
    throw cannot();
  return bytes;
}

}  // namespace

GreyImage parse_png(const std::string& name, std::string_view bytes) {
  const std::string_view signature = "\x89PNG\r\n\x1A\n";
  if (!bytes.starts_with(signature)) throw DataError(name, "this is not a PNG image.");
  if (bytes.size() > kLargestAllocation)
    throw DataError(name, "the file has " + std::to_string(bytes.size()) + " bytes, and " +
                              std::to_string(kLargestAllocation) +
                              " is the limit for a PNG image.");
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  int columns = 0, rows = 0, channels = 0;
  if (stbi_info_from_memory(data, size, &columns, &rows, &channels) == 0)
    throw DataError(name, "the PNG image is damaged or cut off.");
  if (rows > kLargestImageSide || columns > kLargestImageSide)
    throw DataError(name, "the image is " + size_text(rows, columns) + " pixels, and " +
                              std::to_string(kLargestImageSide) +
                              " rows and columns are the limit.");
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      stbi_load_from_memory(data, size, &columns, &rows, &channels, STBI_grey), &std::free);
  if (!pixels) throw DataError(name, "the PNG image is damaged or cut off.");
  GreyImage image(rows, columns);
  image.pixels.assign(pixels.get(), pixels.get() + image.pixels.size());
  return image;
}

GreyImage read_png(const std::string& path) { return parse_png(path, read_bytes(path)); }

std::string png_bytes(const GreyImage& image) {
  return encoded(image.rows, image.columns, 1, image.pixels);
}
std::string png_bytes(const ColourImage& image) {
  return encoded(image.rows, image.columns, 3, image.pixels);
}

void write_png(const std::string& path, const GreyImage& image) {
  write_file(path, png_bytes(image));
}
void write_png(const std::string& path, const ColourImage& image) {
  write_file(path, png_bytes(image));
}

}  // namespace examples
