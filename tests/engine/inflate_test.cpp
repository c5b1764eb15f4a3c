// SPDX-License-Identifier: Apache-2.0
// Unpacking deflated data of all three kinds, refusing what is damaged, and images that unpack.
#include <gtest/gtest.h>

#include <attn/engine/inflate.hpp>
#include <attn/engine/png.hpp>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using attn::engine::crc32;
using attn::engine::Inflater;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t k = 0; k + 1 < hex.size(); k += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(k, 2)), nullptr, 16));
  return bytes;
}

/// As zlib packs it, in a block with a code of its own.
const std::string squares_packed = bytes_of(
    "2592c901c43008035ba1042e73f4df5824f259b331884158c52465c54afc4994e44aa58c89a98a39ce4cdc22"
    "6391821c7f3867253c918f6ae465e29c94e72baf4b0a7985b3f1bff17d70bfc8dba22e0a4da1600629a3a639"
    "c42dd825d9eeb16f11a048d220b2493280d095144662d7150f4df15403192abc1835bf0d6f1779c18a803ea1"
    "411ed08b8472b04734bac5a06f2c0852c192a4ca005f2648b3c09ccd6939c653ccf38c030727c68d3ccefc9a"
    "d1e25b296e5165701315f5505b0d951ae8b53e9a838a464fe987bedd20e805cbd0fa71f04d721705e619d02f"
    "e740062250c24d4cb9a3b72b9aa57e712a0d2e64c066249bb1cecc8371d2472b5a6a4377fddf74d0737fb4df"
    "9b9bf0bda5dc7e22df2d885b8be502d3eade066b41c97886ab431d7e0346d879626f18d77daf604e5d7ed14a"
    "ebd3e9a4669f7e2f7bcdf5c5d2191fcf2ad9f638f71ec7921f33631657cee5da7c20f6bf90e01331fae02cc6"
    "73a13f1f");

/// "0 1 4 9 ... 22201 "
std::string squares() {
  std::string text;
  for (int i = 0; i < 150; ++i) text += std::to_string(i * i) + " ";
  return text;
}

std::optional<std::string> unpacked(std::string_view packed, std::size_t size) {
  return Inflater(packed, size).unpack();
}

TEST(Inflater, UnpacksAllKindsOfBlocks) {
  EXPECT_EQ(unpacked(bytes_of("010900f6ff617474656e74696f6e"), 9), "attention");
  EXPECT_EQ(unpacked(bytes_of("4b2c2949cd2bc9cccf5348c4640100"), 29),
            "attention attention attention");
  EXPECT_EQ(unpacked(squares_packed, squares().size()), squares());
  EXPECT_EQ(unpacked(bytes_of("0300"), 0), "");
  // a block that another one follows
  EXPECT_EQ(unpacked(bytes_of("000200fdff6869"
                              "010100feff21"),
                     3),
            "hi!");
}

TEST(Inflater, UnpacksToTheSizeThatIsStatedOrNotAtAll) {
  const std::size_t size = squares().size();
  EXPECT_FALSE(unpacked(squares_packed, size - 1));
  EXPECT_FALSE(unpacked(squares_packed, size + 1));
  EXPECT_FALSE(unpacked(bytes_of("010900f6ff617474656e74696f6e"), 8));
  EXPECT_FALSE(unpacked("", 0));
}

TEST(Inflater, RefusesWhatIsNoSuchData) {
  EXPECT_FALSE(unpacked(bytes_of("07"), 0)) << "a kind that there is not";
  EXPECT_FALSE(unpacked(bytes_of("010900f7ff617474656e74696f6e"), 9)) << "a length and no inverse";
  EXPECT_FALSE(unpacked(bytes_of("0f0000"), 300)) << "a copy of what is not there";
  for (std::size_t size = 0; size < squares_packed.size(); ++size)
    EXPECT_FALSE(unpacked(std::string_view(squares_packed).substr(0, size), squares().size()));
}

TEST(Inflater, EndsWhateverTheBytesAre) {
  const std::uint32_t sum = crc32(squares());
  for (std::size_t k = 0; k < squares_packed.size(); ++k)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = squares_packed;
      damaged[k] = static_cast<char>(damaged[k] ^ 1 << bit);
      const auto out = unpacked(damaged, squares().size());
      EXPECT_TRUE(!out || *out == squares() || crc32(*out) != sum) << k << " " << bit;
    }
}

TEST(Crc32, IsThatOfZip) {
  EXPECT_EQ(crc32(""), 0u);
  EXPECT_EQ(crc32("123456789"), 0xcbf43926u);  // the check value of the code
}

TEST(PngImage, Base64IsThatOfTheStandard) {
  // RFC 4648, section 10.
  const std::vector<std::string> encoded = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                            "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
  for (std::size_t size = 0; size < encoded.size(); ++size)
    EXPECT_EQ(attn::engine::base64(std::string_view("foobar").substr(0, size)), encoded[size]);
  EXPECT_EQ(attn::engine::base64("\xFF\xFE\xFD"), "//79");
}

TEST(PngImage, RowsCanBeUnpackedAgain) {
  std::string pixels;  // more than one stored block holds
  for (int k = 0; k < 300 * 250; ++k) pixels += static_cast<char>(k % 251);
  const std::string png = attn::engine::png_file(300, 250, attn::engine::PngColor::grey, pixels);
  const std::string_view text = png;
  EXPECT_EQ(text.substr(0, 16), std::string_view("\x89PNG\r\n\x1a\n\0\0\0\x0DIHDR", 16));
  EXPECT_EQ(text.substr(16, 13), std::string_view("\0\0\0\xFA\0\0\1\x2C\x08\0\0\0\0", 13));
  const std::size_t data = text.find("IDAT");
  const std::size_t size = text.find("IEND") - 8 - (data + 4);
  const std::string_view stream = text.substr(data + 4, size);
  std::string rows;
  for (std::size_t at = 0; at < pixels.size(); at += 250)
    rows += std::string(1, '\0') + pixels.substr(at, 250);
  EXPECT_EQ(Inflater(stream.substr(2, size - 6), rows.size()).unpack(), rows);
  EXPECT_EQ(attn::engine::adler32("Wikipedia"), 0x11E60398u);
  std::string sum;
  attn::engine::append_big(sum, attn::engine::adler32(rows));
  EXPECT_EQ(stream.substr(size - 4), sum);
  sum.clear();
  attn::engine::append_big(sum, crc32(text.substr(data, size + 4)));
  EXPECT_EQ(text.substr(data + 4 + size, 4), sum);
}

}  // namespace
