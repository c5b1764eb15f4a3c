// SPDX-License-Identifier: Apache-2.0
// Fuzzes the reader of IDX files: a byte says where the file of labels ends and that of images
// begins.
#include "../../examples/support/idx_file.hpp"

#include "../support/image_bytes.hpp"
#include "fuzz.hpp"

namespace {

std::string pair(const std::string& labels, const std::string& images) {
  return std::string(1, static_cast<char>(labels.size())) + labels + images;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  using namespace support;
  fuzz::write_seeds(*argc, *argv,
                    {pair(idx_labels(2), idx_images(2, 3, 4)),
                     pair(gzip(idx_labels(12)), gzip(idx_images(12, 5, 5))),
                     pair(idx_labels(1), gzip(idx_images(1, 1, 1)) + gzip("")),
                     pair(idx_labels(3), idx_head({2051, 0x7FFFFFFF, 0x7FFFFFFF, 2}))});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text = fuzz::text_of(data + 1, size - 1);
  const std::size_t labels = std::min<std::size_t>(data[0], text.size());
  fuzz::read_or_refuse([&] {
    const examples::LabelledImages set =
        examples::parse_idx("images", text.substr(labels), "labels", text.substr(0, labels));
    fuzz::expect(set.images.size() == set.labels.size() && !set.images.empty());
    for (const examples::GreyImage& image : set.images)
      fuzz::expect(static_cast<examples::Index>(image.pixels.size()) == set.rows * set.columns);
  });
  return 0;
}
