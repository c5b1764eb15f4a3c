// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of images in CSV files.
#include "../../examples/support/image_csv.hpp"

#include "fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  fuzz::write_seeds(*argc, *argv,
                    {"0,16,5,2,1\n9,0,0,0,0\n", "255,7\r\n0,3\n", "\"1\", 0.5,1,0,2\n",
                     "1,2,3,4,5,6,7,8,9,0\n\n1,2,3,4,5,6,7,8,9,12\n", "1e2,3\n"});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::read_or_refuse([&] {
    const examples::LabelledImages set =
        examples::parse_image_csv("file", fuzz::text_of(data, size));
    fuzz::expect(set.images.size() == set.labels.size() && set.classes() > 0);
    for (const examples::GreyImage& image : set.images)
      fuzz::expect(static_cast<examples::Index>(image.pixels.size()) == set.rows * set.columns);
  });
  return 0;
}
