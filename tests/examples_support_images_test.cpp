// SPDX-License-Identifier: Apache-2.0
// Image support of the examples: IDX, gzip, CSV and PNG with what each refuses; drawn symbols and
// cluttered canvases.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "../examples/support/cluttered_canvas.hpp"
#include "../examples/support/drawn_digits.hpp"
#include "../examples/support/grey_image.hpp"
#include "../examples/support/idx_file.hpp"
#include "../examples/support/image_csv.hpp"
#include "../examples/support/image_files.hpp"
#include "../examples/support/png_image.hpp"
#include "../examples/support/text_file.hpp"
#include "support/errors.hpp"
#include "support/image_bytes.hpp"
#include "support/temporary.hpp"

namespace examples {
namespace {

using support::temporary_path;

using support::gzip;
using support::idx_head;
using support::idx_images;
using support::idx_labels;

/// The sentence that a reader refuses its file with.
template <class Read>
std::string refusal(const Read& read) {
  return support::message_of<DataError>(read);
}

std::string idx_refusal(const std::string& images) {
  return refusal([&] { parse_idx_images("a.idx", images); });
}
std::string csv_refusal(const std::string& text) {
  return refusal([&] { parse_image_csv("a.csv", text); });
}
std::string png_refusal(const std::string& bytes) {
  return refusal([&] { parse_png("a.png", bytes); });
}

GreyImage ramp(Index rows, Index columns) {
  GreyImage image(rows, columns);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(7 * i);
  return image;
}

TEST(IdxFile, GivesImagesAndLabelsPackedOrNot) {
  const std::string images = idx_images(3, 2, 4), labels = idx_labels(3);
  for (const bool packed : {false, true}) {
    const LabelledImages set = parse_idx("i", packed ? gzip(images) : images,  //
                                         "l", packed ? gzip(labels) : labels);
    ASSERT_EQ(set.size(), 3);
    EXPECT_EQ(set.rows, 2);
    EXPECT_EQ(set.columns, 4);
    EXPECT_EQ(set.labels, (std::vector<Index>{0, 1, 2}));
    EXPECT_EQ(set.classes(), 3);
    EXPECT_EQ(set.images[1].pixels, (std::vector<std::uint8_t>{8, 9, 10, 11, 12, 13, 14, 15}));
    EXPECT_EQ(set.images[2].at(1, 2), 22);
  }
}

TEST(IdxFile, MayConsistOfSeveralGzipMembers) {
  const std::string images = idx_images(2, 2, 2);
  const std::string parts = gzip(images.substr(0, 10)) + gzip(images.substr(10));
  EXPECT_EQ(parse_idx_images("a.idx", parts), parse_idx_images("a.idx", images));
}

TEST(IdxFile, RefusesOtherKindsOfFiles) {
  EXPECT_EQ(idx_refusal(idx_labels(100)),
            "a.idx: the file starts with the number 2049, and IDX images start with 2051.");
  EXPECT_EQ(refusal([] { parse_idx_labels("b.idx", idx_images(1, 2, 2)); }),
            "b.idx: the file starts with the number 2051, and IDX labels start with 2049.");
  EXPECT_EQ(idx_refusal(""), "a.idx: the file has 0 bytes, and the header of IDX images takes 16.");
  EXPECT_EQ(idx_refusal(idx_head({2051, 1})),
            "a.idx: the file has 8 bytes, and the header of IDX images takes 16.");
}

TEST(IdxFile, RefusesWhatIsCutOffOrGoesOn) {
  const std::string whole = idx_images(2, 3, 3);
  EXPECT_EQ(
      idx_refusal(whole.substr(0, whole.size() - 1)),
      "a.idx: the file is cut off: 2 images of 3 x 3 pixels take 18 bytes, and 17 are there.");
  EXPECT_EQ(idx_refusal(whole + "x"),
            "a.idx: the file goes on behind 2 images of 3 x 3 pixels, which take 18 bytes.");
  EXPECT_EQ(refusal([] { parse_idx_labels("b.idx", idx_labels(5).substr(0, 10)); }),
            "b.idx: the file is cut off: 5 labels take 5 bytes, and 2 are there.");
  EXPECT_EQ(idx_refusal(gzip(whole + "x")),
            "a.idx: the file goes on behind 2 images of 3 x 3 pixels, which take 18 bytes.");
}

TEST(IdxFile, RefusesAbsurdSizesBeforeItTakesMemory) {
  EXPECT_EQ(idx_refusal(idx_head({2051, 4294967295u, 28, 28})),
            "a.idx: the header says 4294967295, and 1000000 is the limit.");
  EXPECT_EQ(idx_refusal(idx_head({2051, 1, 28, 100000})),
            "a.idx: the images are 28 x 100000 pixels; 1 to 4096 rows and columns are possible.");
  EXPECT_EQ(idx_refusal(idx_head({2051, 1, 0, 28})),
            "a.idx: the images are 0 x 28 pixels; 1 to 4096 rows and columns are possible.");
  EXPECT_EQ(idx_refusal(idx_head({2051, 1000000, 4096, 4096})),
            "a.idx: 1000000 images of 4096 x 4096 pixels are more than the limit of 1073741824 "
            "bytes.");
  EXPECT_EQ(idx_refusal(idx_head({2051, 0, 28, 28})),
            "a.idx: the file is empty: its header says 0.");
  // The header promises a gibibyte; there is nothing behind it.
  EXPECT_EQ(
      idx_refusal(gzip(idx_head({2051, 64, 4096, 4096}))),
      "a.idx: the file is cut off: 64 images of 4096 x 4096 pixels take 1073741824 bytes, and "
      "0 are there.");
}

TEST(IdxFile, RefusesDamagedGzip) {
  const std::string packed = gzip(idx_images(2, 3, 3));
  EXPECT_EQ(idx_refusal(packed.substr(0, packed.size() - 9)), "a.idx: the gzip file is cut off.");
  EXPECT_EQ(idx_refusal(packed + "more"),
            "a.idx: something else follows the end of the gzip file.");
  std::string damaged = packed;
  damaged[damaged.size() - 6] ^= 1;  // in the check sum
  EXPECT_EQ(idx_refusal(damaged), "a.idx: the gzip file is damaged.");
}

TEST(IdxFile, RefusesCountsThatDiffer) {
  EXPECT_EQ(refusal([] { parse_idx("a.idx", idx_images(3, 2, 2), "b.idx", idx_labels(4)); }),
            "b.idx: there are 4 labels, and a.idx holds 3 images; each image needs one.");
}

TEST(IdxFile, ReadsMnistWhereItIsThere) {
  const std::string data = ATTN_DATA_DIR;
  if (data.empty()) GTEST_SKIP() << "ATTN_DATA_DIR names no folder of data sets.";
  const LabelledImages test = read_idx(data + "/mnist/t10k-images-idx3-ubyte.gz",
                                       data + "/mnist/t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(test.size(), 10000);
  EXPECT_EQ(test.rows, 28);
  EXPECT_EQ(std::count(test.labels.begin(), test.labels.end(), 9), 1009);
}

TEST(ImageCsv, TakesTheSizeFromTheNumberOfColumns) {
  const LabelledImages set = parse_image_csv("a.csv", "0,16,8,4,7\r\n\n1, 2 ,3,4,0\n");
  ASSERT_EQ(set.size(), 2);
  EXPECT_EQ(set.rows, 2);
  EXPECT_EQ(set.columns, 2);
  EXPECT_EQ(set.labels, (std::vector<Index>{7, 0}));
  EXPECT_EQ(set.classes(), 8);
  EXPECT_EQ(set.images[0].pixels, (std::vector<std::uint8_t>{0, 255, 128, 64}));
}

TEST(ImageCsv, ScalesByTheLargestPixelThatTheFilesOfASetHave) {
  const auto first = [](const std::string& text) {
    return parse_image_csv("a.csv", text).images.front().pixels.front();
  };
  EXPECT_EQ(first("1,0\n"), 255);
  EXPECT_EQ(first("0.5,0\n"), 128);
  EXPECT_EQ(first("8,0\n"), 128);  // of 16, although no pixel of this file is darker
  EXPECT_EQ(first("17,0\n"), 17);
}

TEST(ImageCsv, RefusesRowsThatAreNoImages) {
  EXPECT_EQ(csv_refusal(""), "a.csv: the file holds no image.");
  EXPECT_EQ(csv_refusal("\"\"\n"), "a.csv: the file holds no image.");
  EXPECT_EQ(csv_refusal("1,2,3,4\n"),
            "a.csv:1: this row has 4 numbers; the pixels of a square image and its class are "
            "needed, such as 64 + 1.");
  EXPECT_EQ(csv_refusal("5\n"),
            "a.csv:1: this row has 1 numbers; the pixels of a square image and its class are "
            "needed, such as 64 + 1.");
  EXPECT_EQ(csv_refusal("1,2,3,4,0\n1,2,3,0\n"),
            "a.csv:2: this row has 4 numbers and the first has 5.");
  EXPECT_EQ(csv_refusal("1,x,3,4,0\n"), "a.csv:1: 'x' is not a number.");
  EXPECT_EQ(csv_refusal("1,\1" + std::string(70, 'x') + ",3,4,0\n"),
            "a.csv:1: '?" + std::string(59, 'x') + "...' is not a number.");
  EXPECT_EQ(csv_refusal("1,,3,4,0\n"), "a.csv:1: '' is not a number.");
  EXPECT_EQ(csv_refusal("1,256,3,4,0\n"), "a.csv:1: the pixel '256' is not between 0 and 255.");
  EXPECT_EQ(csv_refusal("1,nan,3,4,0\n"), "a.csv:1: the pixel 'nan' is not between 0 and 255.");
  EXPECT_EQ(csv_refusal("1,2,3,4,-1\n"), "a.csv:1: the class -1 is not between 0 and 999.");
  EXPECT_EQ(csv_refusal("1,2,3,4,0.5\n"), "a.csv:1: '0.5' is not a number.");
  EXPECT_EQ(csv_refusal("1,2,3,\"4,0\n"),
            "a.csv:1: a quoted field that starts here is never closed.");
  EXPECT_EQ(csv_refusal("1,0\n2,0\n3,\"0\n"),
            "a.csv:3: a quoted field that starts here is never closed.");
}

TEST(ImageCsv, ReadsOptdigitsWhereTheyAreThere) {
  const std::string data = ATTN_DATA_DIR;
  if (data.empty()) GTEST_SKIP() << "ATTN_DATA_DIR names no folder of data sets.";
  const LabelledImages test = read_image_csv(data + "/optdigits/optdigits.tes");
  EXPECT_EQ(test.size(), 1797);
  EXPECT_EQ(test.rows, 8);
  EXPECT_EQ(std::count(test.labels.begin(), test.labels.end(), 9), 180);
}

TEST(PngImage, ComesBackAsItWasWritten) {
  const GreyImage image = ramp(5, 3);
  EXPECT_EQ(parse_png("a.png", png_bytes(image)), image);
  const std::string path = temporary_path("ramp.png");
  write_png(path, image);
  EXPECT_EQ(read_png(path), image);
}

TEST(PngImage, OfColoursIsReadAsTheirLightness) {
  const ColourImage colours{1, 3, {255, 255, 255, 0, 255, 0, 0, 0, 255}};
  const GreyImage grey = parse_png("a.png", png_bytes(colours));
  ASSERT_EQ(grey.columns, 3);
  EXPECT_EQ(grey.at(0, 0), 255);
  EXPECT_GT(grey.at(0, 1), grey.at(0, 2));  // green is lighter than blue
  EXPECT_GT(grey.at(0, 2), 0);
}

TEST(PngImage, RefusesWhatIsNoneOrDamaged) {
  const std::string whole = png_bytes(ramp(8, 8));
  EXPECT_EQ(png_refusal("GIF89a"), "a.png: this is not a PNG image.");
  EXPECT_EQ(png_refusal(""), "a.png: this is not a PNG image.");
  for (std::size_t size = 8; size + 12 < whole.size(); ++size)  // the last 12 bytes say the end
    EXPECT_EQ(png_refusal(whole.substr(0, size)), "a.png: the PNG image is damaged or cut off.");
  EXPECT_EQ(refusal([] { write_png("missing/folder/a.png", ramp(2, 2)); }),
            "missing/folder/a.png: the file cannot be written.");
  EXPECT_EQ(refusal([] { png_bytes(GreyImage(0, 0)); }),
            "an image of 0 x 0 pixels cannot become a PNG.");
}

TEST(PngImage, RefusesAbsurdSizesBeforeItTakesMemory) {
  std::string large = png_bytes(ramp(8, 8));
  large[18] = 0x20;  // the width, with its highest byte at 16: 0x2008
  EXPECT_EQ(png_refusal(large),
            "a.png: the image is 8 x 8200 pixels, and 4096 rows and columns are the limit.");
}

TEST(ImageFiles, ContradictEachOtherInWords) {
  EXPECT_EQ(contradiction(ImageFiles{}), "");
  EXPECT_EQ(contradiction(ImageFiles{.images = "a"}), "--images and --labels need each other.");
  EXPECT_EQ(contradiction(ImageFiles{.images = "a", .labels = "b", .test_labels = "c"}),
            "--test-images and --test-labels need each other.");
  EXPECT_EQ(contradiction(ImageFiles{.images = "a", .labels = "b", .csv = "c"}),
            "only one of --images and --csv can be learnt from.");
  EXPECT_EQ(contradiction(ImageFiles{.test_images = "a", .test_labels = "b"}),
            "--test-images needs --images to learn from.");
  EXPECT_EQ(contradiction(ImageFiles{.test_csv = "a"}), "--test-csv needs --csv to learn from.");
}

TEST(ImageFiles, SplitOffASixthWhereNoFileTests) {
  const std::string csv = temporary_path("six.csv"), other = temporary_path("other.csv");
  write_file(csv, "1,0\n2,1\n3,2\n4,0\n5,1\n6,2\n7,0\n");
  const ImageData data = read_images({.csv = csv});
  EXPECT_EQ(data.train.size(), 6);
  ASSERT_EQ(data.test.size(), 1);
  EXPECT_EQ(data.test.labels.front(), 0);
  EXPECT_EQ(data.test.images.front().pixels.front(), 112);  // 7 of 16
  write_file(other, "1,2,3,4,0\n");
  EXPECT_EQ(refusal([&] { read_images({.csv = csv, .test_csv = other}); }),
            other + ": the images are 2 x 2 pixels, and those of " + csv +
                " are 1 x 1; both must have one size.");
  EXPECT_EQ(refusal([&] { read_images({.csv = other}); }),
            other +
                ": the file holds 1 images; 6 or more are needed where no file is there to "
                "test with.");
  write_file(other, "1,3\n");
  EXPECT_EQ(refusal([&] { read_images({.csv = csv, .test_csv = other}); }),
            other + ": the class 3 has no example in the training data.");
}

TEST(ImageFiles, TestWithFilesOfTheirOwn) {
  const auto path = [](const std::string& name) { return temporary_path(name); };
  write_file(path("i"), idx_images(4, 2, 2));
  write_file(path("l"), gzip(idx_labels(4)));
  write_file(path("ti"), gzip(idx_images(2, 2, 2)));
  write_file(path("tl"), idx_labels(2));
  const ImageData data = read_images({.images = path("i"),
                                      .labels = path("l"),
                                      .test_images = path("ti"),
                                      .test_labels = path("tl")});
  EXPECT_EQ(data.train.size(), 4);
  EXPECT_EQ(data.test.size(), 2);
}

TEST(DrawnImages, AreTheSameForASeedAndOthersForAnother) {
  const DrawnSet set{.count = 20, .size = 12};
  const LabelledImages first = drawn_images(set), again = drawn_images(set);
  EXPECT_EQ(first.images, again.images);
  EXPECT_EQ(first.labels[13], 3);
  // An image depends on its number, not on those before it.
  EXPECT_EQ(drawn_images({.count = 5, .size = 12}).images[4], first.images[4]);
  EXPECT_NE(drawn_images({.count = 20, .size = 12, .seed = 2}).images[4], first.images[4]);
}

TEST(DrawnImages, HaveInkOfEverySymbolAndNoTwoAlike) {
  const LabelledImages set = drawn_images({.count = 5 * kDrawnSymbols, .symbols = kDrawnSymbols});
  std::set<std::vector<std::uint8_t>> different;
  for (const GreyImage& image : set.images) {
    different.insert(image.pixels);
    const auto ink = std::count_if(image.pixels.begin(), image.pixels.end(),
                                   [](std::uint8_t pixel) { return pixel > 100; });
    EXPECT_GT(ink, 20);
    EXPECT_LT(ink, 400);
  }
  EXPECT_EQ(different.size(), set.images.size());
}

/// How often the nearest of the mean images of the classes, a linear classifier, is the right one.
double nearest_mean_accuracy(const LabelledImages& train, const LabelledImages& test) {
  Matrix means = Matrix::Zero(train.classes(), train.rows * train.columns);
  for (std::size_t i = 0; i < train.images.size(); ++i)
    means.row(train.labels[i]) += scaled_pixels(train.images[i]);
  means *= static_cast<float>(train.classes()) / static_cast<float>(train.size());
  double right = 0;
  for (std::size_t i = 0; i < test.images.size(); ++i) {
    Index nearest = 0;
    (means.rowwise() - scaled_pixels(test.images[i]).matrix())
        .rowwise()
        .squaredNorm()
        .minCoeff(&nearest);
    right += nearest == test.labels[i] ? 1 : 0;
  }
  return right / static_cast<double>(test.size());
}

TEST(DrawnImages, AreNeitherChaosNorTooEasyForALinearClassifier) {
  const double accuracy = nearest_mean_accuracy(drawn_images({.count = 600, .seed = 3}),
                                                drawn_images({.count = 300, .seed = 4}));
  EXPECT_GT(accuracy, 0.4);
  EXPECT_LT(accuracy, 0.92);
}

LabelledImages white_squares(Index count, Index size) {
  LabelledImages set{size, size, {}, {}};
  for (Index i = 0; i < count; ++i) {
    set.images.emplace_back(size, size);
    set.images.back().pixels.assign(set.images.back().pixels.size(), 200);
    set.labels.push_back(i % 3);
  }
  return set;
}

TEST(CanvasShape, IsThePublishedOneForMnist) {
  const CanvasShape mnist = canvas_shape_for(28), small = canvas_shape_for(8);
  EXPECT_EQ(mnist.size, 60);
  EXPECT_EQ(mnist.pieces, 4);
  EXPECT_EQ(mnist.piece_size, 8);
  EXPECT_NEAR(mnist.share(28, 28), 0.218, 5e-4);
  EXPECT_EQ(small.size, 24);
  EXPECT_EQ(small.piece_size, 4);
}

TEST(ClutteredCanvases, RememberWhereTheObjectIs) {
  const LabelledImages objects = white_squares(5, 6);
  const ClutteredCanvases canvases(objects, {.size = 14, .pieces = 0}, 1);
  std::set<Index> rows, columns;
  for (Index epoch = 0; epoch < 200; ++epoch) {
    const Canvas canvas = canvases.make(4, epoch);
    EXPECT_EQ(canvas.label, 1);
    ASSERT_EQ(canvas.image.rows, 14);
    for (Index r = 0; r < 14; ++r) {
      for (Index c = 0; c < 14; ++c) {
        const bool inside = canvas.box.contains(static_cast<double>(r) + .5,  //
                                                static_cast<double>(c) + .5);
        ASSERT_EQ(canvas.image.at(r, c), inside ? 200 : 0);
      }
    }
    rows.insert(canvas.box.row);
    columns.insert(canvas.box.column);
  }
  EXPECT_EQ(rows.size(), 9u);  // 0 to 8: every place that there is
  EXPECT_EQ(columns.size(), 9u);
}

TEST(ClutteredCanvases, AddPiecesOfOtherObjectsByTheDarkerPixel) {
  LabelledImages objects = white_squares(2, 4);
  objects.images[0].pixels.assign(16, 90);
  const ClutteredCanvases canvases(objects, {.size = 12, .pieces = 2, .piece_size = 3}, 7);
  bool overlapped = false;
  for (Index epoch = 0; epoch < 50; ++epoch) {
    const Canvas canvas = canvases.make(0, epoch);
    std::array<int, 256> count{};
    for (const std::uint8_t pixel : canvas.image.pixels) ++count[pixel];
    // The pieces come from the other object alone and hide what is lighter.
    EXPECT_EQ(count[0] + count[90] + count[200], 144);
    EXPECT_GE(count[200], 9);
    EXPECT_LE(count[200], 18);
    overlapped = overlapped || count[90] < 16;
  }
  EXPECT_TRUE(overlapped);
}

TEST(ClutteredCanvases, DependOnSeedNumberAndEpochAlone) {
  const LabelledImages objects = drawn_images({.count = 10, .size = 8});
  const CanvasShape shape = canvas_shape_for(8);
  const ClutteredCanvases canvases(objects, shape, 5), again(objects, shape, 5);
  const Canvas first = canvases.make(3, 2);
  again.make(7, 1);  // what was made before does not matter
  EXPECT_EQ(again.make(3, 2).image, first.image);
  EXPECT_NE(canvases.make(3, 3).image, first.image);
  EXPECT_NE(canvases.make(2, 3).image, first.image);
  EXPECT_NE(ClutteredCanvases(objects, shape, 6).make(3, 2).image, first.image);
}

TEST(ClutteredCanvases, RefuseWhatDoesNotFit) {
  const LabelledImages objects = white_squares(2, 6);
  EXPECT_EQ(refusal([&] { ClutteredCanvases(objects, {.size = 5}, 1); }),
            "a canvas of 5 x 5 pixels cannot hold an image of 6 x 6 pixels.");
  EXPECT_EQ(refusal([&] { ClutteredCanvases(objects, {.size = 20}, 1); }),
            "pieces of 8 x 8 pixels cannot be cut from images of 6 x 6 pixels.");
}

}  // namespace
}  // namespace examples
