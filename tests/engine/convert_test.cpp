// SPDX-License-Identifier: Apache-2.0
// Conversions: every half and bfloat16 forth and back, as Eigen converts them one by one.
#include <gtest/gtest.h>

#include <attn/engine/convert.hpp>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace {

using attn::Index;
using attn::engine::Pack;

/// The float of a number, as 32 bits; one value for all NaN of a sign.
std::uint32_t comparable(float x) {
  if (std::isnan(x)) return std::signbit(x) ? 0xffc00000u : 0x7fc00000u;
  return std::bit_cast<std::uint32_t>(x);
}

template <class T>
T from_bits(unsigned bits) {
  const auto narrow = static_cast<std::uint16_t>(bits);
  T result;
  std::memcpy(static_cast<void*>(&result), &narrow, sizeof(narrow));
  return result;
}

template <class T>
std::vector<T> all_numbers() {
  std::vector<T> all;
  for (unsigned bits = 0; bits < 65536; ++bits) all.push_back(from_bits<T>(bits));
  return all;
}

/// Every narrow number, the floats half way between neighbours and just beside them, and others.
template <class T>
std::vector<float> telling_floats() {
  std::vector<float> floats;
  for (const T number : all_numbers<T>()) {
    const std::uint32_t bits = comparable(static_cast<float>(number));
    const std::uint32_t half = std::is_same_v<T, Eigen::half> ? 0x1000u : 0x8000u;
    for (const std::uint32_t near : {bits, bits + half - 1, bits + half, bits + half + 1})
      floats.push_back(std::bit_cast<float>(near));
  }
  std::mt19937 random(7);
  for (int k = 0; k < 100000; ++k) {
    floats.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
    // where halves are no longer normal: 2^-26 to 2^-13
    const float small = std::ldexp(static_cast<float>(random()), -45 - static_cast<int>(k % 14));
    floats.push_back(k % 2 == 0 ? small : -small);
  }
  return floats;
}

template <class T>
class Conversion : public testing::Test {};
using NarrowTypes = testing::Types<Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(Conversion, NarrowTypes);

TYPED_TEST(Conversion, WidensEveryNumberAsEigenDoes) {
  const std::vector<TypeParam> all = all_numbers<TypeParam>();
  std::vector<float> wide(all.size());
  attn::engine::convert_run(all.data(), Index(all.size()), wide.data());
  for (std::size_t k = 0; k < all.size(); ++k) {
    const std::uint32_t expected = comparable(static_cast<float>(all[k]));
    ASSERT_EQ(comparable(wide[k]), expected) << "bits " << k;
    const std::uint32_t plain = attn::engine::widened<TypeParam>(static_cast<std::uint16_t>(k));
    ASSERT_EQ(comparable(std::bit_cast<float>(plain)), expected) << "bits " << k << ", portable";
  }
}

TYPED_TEST(Conversion, NarrowsFloatsAsEigenDoes) {
  const std::vector<float> floats = telling_floats<TypeParam>();
  std::vector<TypeParam> narrow(floats.size());
  attn::engine::convert_run(floats.data(), Index(floats.size()), narrow.data());
  for (std::size_t k = 0; k < floats.size(); ++k) {
    const auto expected = comparable(static_cast<float>(static_cast<TypeParam>(floats[k])));
    ASSERT_EQ(comparable(static_cast<float>(narrow[k])), expected) << floats[k];
    const auto bits = std::bit_cast<std::uint32_t>(floats[k]);
    const TypeParam plain = from_bits<TypeParam>(attn::engine::narrowed<TypeParam>(bits));
    ASSERT_EQ(comparable(static_cast<float>(plain)), expected) << floats[k] << ", portable";
  }
}

TYPED_TEST(Conversion, WidensToDoubleLaneByLane) {
  const std::vector<TypeParam> numbers(16, TypeParam(1.5f));
  double lanes[Pack<double>::width];
  attn::engine::load_as<double>(numbers.data()).store(lanes);
  for (const double lane : lanes) EXPECT_EQ(lane, 1.5);
}

/// Eight bits are whole numbers, in runs of any length; exactly as long, for the sanitizer's sake.
TEST(EightBits, WidenToTheirNumbers) {
  for (Index count = 0; count <= 256; ++count) {
    std::vector<std::int8_t> whole(static_cast<std::size_t>(count));
    for (Index k = 0; k < count; ++k)
      whole[static_cast<std::size_t>(k)] = static_cast<std::int8_t>(127 - k);
    for (Index k = 0; k < count; k += Pack<float>::width) {
      float lanes[Pack<float>::width];
      attn::engine::load_first_as<float>(whole.data() + k, count - k).store(lanes);
      for (Index l = 0; l < Pack<float>::width; ++l)
        ASSERT_EQ(lanes[l], k + l < count ? static_cast<float>(127 - k - l) : 0.F);
    }
  }
}

template <class T>
class Run : public testing::Test {};
using AllTypes = testing::Types<float, double, Eigen::half, Eigen::bfloat16>;
TYPED_TEST_SUITE(Run, AllTypes);

TYPED_TEST(Run, OfAnyLengthReadsAndWritesNothingBehindIt) {
  using A = std::conditional_t<std::is_same_v<TypeParam, double>, double, float>;
  constexpr Index width = Pack<A>::width;
  for (Index count = 0; count <= 2 * width + 1; ++count) {
    const auto size = static_cast<std::size_t>(count);
    std::vector<TypeParam> from(size);  // exactly as long: the sanitizer sees reads behind the end
    for (std::size_t k = 0; k < size; ++k) from[k] = TypeParam(static_cast<float>(k) + 1.0f);
    std::vector<A> wide(size + 1, A(-7));
    attn::engine::convert_run(from.data(), count, wide.data());
    for (std::size_t k = 0; k < size; ++k) EXPECT_EQ(wide[k], A(k + 1));
    EXPECT_EQ(wide[size], A(-7));
    std::vector<TypeParam> back(size + 1, TypeParam(-7.0f));
    attn::engine::convert_run(wide.data(), count, back.data());
    for (std::size_t k = 0; k < size; ++k) EXPECT_EQ(static_cast<A>(back[k]), A(k + 1));
    EXPECT_EQ(static_cast<A>(back[size]), A(-7));
  }
}

TYPED_TEST(Run, FirstLanesComeWithZerosBehindThem) {
  using A = std::conditional_t<std::is_same_v<TypeParam, double>, double, float>;
  constexpr Index width = Pack<A>::width;
  for (Index count = 0; count <= width; ++count) {
    const std::vector<TypeParam> from(static_cast<std::size_t>(count), TypeParam(2.0f));
    A lanes[width];
    attn::engine::load_first_as<A>(from.data(), count).store(lanes);
    for (Index l = 0; l < width; ++l) EXPECT_EQ(lanes[l], l < count ? A(2) : A(0));
  }
}

}  // namespace
