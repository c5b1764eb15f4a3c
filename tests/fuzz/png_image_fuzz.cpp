// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of PNG images; what it accepts must survive being written and read again.
#include "../../examples/support/png_image.hpp"

#include "fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  examples::GreyImage grey(3, 5);
  for (std::size_t i = 0; i < grey.pixels.size(); ++i)
    grey.pixels[i] = static_cast<std::uint8_t>(17 * i);
  const examples::ColourImage colour{2, 2, std::vector<std::uint8_t>(12, 200)};
  const std::string whole = examples::png_bytes(grey);
  fuzz::write_seeds(*argc, *argv,
                    {whole, examples::png_bytes(colour), whole.substr(0, whole.size() - 20)});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read_or_refuse([&] {
    const examples::GreyImage image = examples::parse_png("file", fuzz::text_of(data, size));
    fuzz::expect(static_cast<examples::Index>(image.pixels.size()) == image.rows * image.columns);
    constexpr std::size_t kSmall = 4096;  // writing is slower than reading
    if (image.pixels.size() <= kSmall)
      fuzz::expect(examples::parse_png("again", examples::png_bytes(image)) == image);
  });
  return 0;
}
