// SPDX-License-Identifier: Apache-2.0
// PNG files in and out, through stb_image and stb_image_write.
#pragma once

#include <string>
#include <string_view>

#include "grey_image.hpp"

namespace examples {

/// A PNG that has been read, colours as their lightness; `name` stands in errors. An image that
/// is no PNG, damaged, cut off or larger than kLargestImageSide is a DataError.
GreyImage parse_png(const std::string& name, std::string_view bytes);
GreyImage read_png(const std::string& path);

/// The bytes of a PNG file.
std::string png_bytes(const GreyImage& image);
std::string png_bytes(const ColourImage& image);

void write_png(const std::string& path, const GreyImage& image);
void write_png(const std::string& path, const ColourImage& image);

}  // namespace examples
