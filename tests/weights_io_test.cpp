// SPDX-License-Identifier: Apache-2.0
// Weight files: what is written is read, in every format and number type; and whatever is damaged,
// cut off, missing or too much is one sentence and changes nothing.
#include <gtest/gtest.h>

#include <attn/multi_head.hpp>
#include <attn/pooling.hpp>
#include <attn/weights_io.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/compare.hpp"
#include "support/random.hpp"
#include "support/temporary.hpp"

namespace {

namespace fs = std::filesystem;
using attn::Index;
using attn::load_weights;
using attn::save_weights;
using Eigen::MatrixXd;
template <class T>
using Layer = attn::MultiHeadAttention<T>;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A folder for each test.
class WeightFiles : public testing::Test {
 protected:
  WeightFiles() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder = support::temporary_path(test->name());
    fs::remove_all(folder);
    fs::create_directories(folder / "folder");
  }
  ~WeightFiles() override {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }

  /// The sentence of a call, with the folder's name left out.
  template <class Call>
  std::string message(Call&& call) const {
    try {
      call();
    } catch (const attn::FileError& error) {
      std::string text = error.what();
      const std::string place = (folder / "").string();
      for (std::size_t at; (at = text.find(place)) != std::string::npos;)
        text.erase(at, place.size());
      return text;
    }
    return "no error";
  }
  /// That of loading a file of these bytes into a small layer, which must stay as it is.
  std::string message_of(const char* name, std::string_view bytes) {
    write(folder / name, bytes);
    Layer<float> layer(small, 9);
    const Layer<float> before = layer;
    const std::string text = message([&] { load_weights(layer, folder / name); });
    if (text != "no error") expect_same(layer, before);
    return text;
  }

  template <class A, class B>
  static void expect_same(const A& a, const B& b) {
    std::map<std::string, MatrixXd> tensors;
    a.parameters.for_each([&](std::string_view name, const auto& tensor) {
      tensors[std::string(name)] = tensor.template cast<double>();
    });
    b.parameters.for_each([&](std::string_view name, const auto& tensor) {
      EXPECT_EQ(tensors.at(std::string(name)), MatrixXd(tensor.template cast<double>())) << name;
    });
  }

  /// Writes a layer of T, and reads it as one of another start.
  template <class T>
  void expect_round_trip(const char* name, const attn::MultiHeadAttentionOptions& options) {
    const Layer<T> layer(options, 1);
    save_weights(layer, folder / name, "a.");
    Layer<T> other(options, 2);
    load_weights(other, folder / name, "a.");
    expect_same(layer, other);
    Layer<double> wide(options, 3);
    load_weights(wide, folder / name, "a.");
    expect_same(layer, wide);
  }

  fs::path folder;
  attn::MultiHeadAttentionOptions small{.embed_dim = 2, .bias = false};
};

TEST_F(WeightFiles, AreReadAsTheyAreWritten) {
  const attn::MultiHeadAttentionOptions apart{
      .embed_dim = 6, .num_heads = 3, .num_kv_heads = 1, .kdim = 5, .vdim = 4, .qk_norm = true};
  for (const char* name : {"file.npz", "file.safetensors", "folder"}) {
    SCOPED_TRACE(name);
    expect_round_trip<float>(name, {.embed_dim = 6, .num_heads = 2});
    expect_round_trip<double>(name, {.embed_dim = 6, .num_heads = 2});
    expect_round_trip<Eigen::half>(name, {.embed_dim = 6, .num_heads = 2});
    expect_round_trip<Eigen::bfloat16>(name, {.embed_dim = 6, .num_heads = 2});
    fs::remove_all(folder);
    fs::create_directories(folder / "folder");
    expect_round_trip<float>(name, apart);
  }
}

TEST_F(WeightFiles, ServeEveryLayer) {
  const attn::AttentionPooling<float> pooling({.embed_dim = 4, .attention_dim = 3}, 1);
  attn::AttentionPooling<float> other({.embed_dim = 4, .attention_dim = 3}, 2);
  save_weights(pooling, folder / "file.npz");
  load_weights(other, folder / "file.npz");
  expect_same(pooling, other);
}

TEST_F(WeightFiles, AreWrittenWhereTensorsLie) {
  Layer<float> layer(small, 1);
  save_weights(layer, folder / "file.npz");
  const float* first = layer.parameters.in_proj_weight.data();
  load_weights(layer, folder / "file.npz");
  EXPECT_EQ(layer.parameters.in_proj_weight.data(), first);
}

TEST_F(WeightFiles, AreTheBytesOfTheirFormats) {
  Layer<float> layer(small);
  layer.parameters.in_proj_weight.setZero();
  layer.parameters.out_proj.weight << 1, 2, 3, 4;
  save_weights(layer, folder / "file.safetensors");
  const std::string bytes = read(folder / "file.safetensors");
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"in_proj_weight":{"data_offsets":[0,48],"dtype":"F32",)"
      R"("shape":[6,2]},"out_proj.weight":{"data_offsets":[48,64],"dtype":"F32","shape":[2,2]}})";
  EXPECT_EQ(bytes.substr(8, header.size()), header);
  EXPECT_EQ(bytes.substr(bytes.size() - 16),
            std::string("\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 16));
  attn::save_tensor(layer.parameters.out_proj.weight, folder / "file.npy");
  const std::string npy = read(folder / "file.npy");
  EXPECT_EQ(npy.size(), 128u + 16u);
  EXPECT_EQ(npy.substr(0, 10), std::string("\x93NUMPY\x01\0\x76\0", 10));
  EXPECT_EQ(npy.substr(10, 59), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }");
  EXPECT_EQ(npy.substr(128), bytes.substr(bytes.size() - 16));
}

TEST_F(WeightFiles, HoldSingleTensors) {
  const Eigen::MatrixXf m = support::random<float>(3, 4, 1);
  attn::save_tensor(m, folder / "m.npy");
  EXPECT_EQ(attn::load_tensor<float>(folder / "m.npy"), m);
  EXPECT_EQ(attn::load_tensor<double>(folder / "m.npy"), m.cast<double>());
  attn::save_tensor(m.row(1).transpose() * 2, folder / "v.npy");
  EXPECT_EQ(attn::load_tensor<float>(folder / "v.npy"), m.row(1).transpose() * 2);
  attn::save_tensor(Eigen::MatrixXf(0, 4), folder / "empty.npy");
  EXPECT_EQ(attn::load_tensor<float>(folder / "empty.npy").cols(), 4);
}

/// A .npy file of version 1 with this header.
std::string npy(std::string_view header, std::string_view numbers = {}) {
  std::string bytes = "\x93NUMPY\x01";
  bytes += '\0';
  attn::engine::append_little(bytes, static_cast<std::uint16_t>(header.size()));
  return bytes.append(header).append(numbers);
}

TEST_F(WeightFiles, AreReadInFortranOrderAndOfLaterVersions) {
  const std::string six("\x01\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40", 24);
  write(folder / "f.npy", npy("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }\n", six));
  const Eigen::MatrixXf by_columns = attn::load_tensor<float>(folder / "f.npy");
  EXPECT_EQ(by_columns(2, 0), 1.F);
  EXPECT_EQ(by_columns(0, 1), 2.F);
  EXPECT_EQ(by_columns(2, 1), 4.F);
  std::string later =
      npy("{'shape':(2,),'fortran_order':False,'descr':'<f2'}", std::string("\0\x3c\0\xc0", 4));
  later[6] = 3;
  later.insert(10, 2, '\0');
  write(folder / "later.npy", later);
  EXPECT_EQ(attn::load_tensor<float>(folder / "later.npy"), Eigen::Vector2f(1, -2));
}

/// What numpy.savez_compressed of NumPy 2.4 wrote: in_proj_weight 1, 2, 3 and out_proj.weight -4.
constexpr std::string_view by_numpy =
    "504b03042d00000008000000210044ff47e2ffffffffffffffff12001400696e5f70726f6a5f7765696768742e6e"
    "707901001000980000000000000052000000000000009bec17ea1b10c9c850c650ad9e925a9c5ca46ea5a06e9366"
    "a1aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91ac63a0a869a3a0ab50a64032e06"
    "30f8600fa1191c2014870300504b03042d000000080000002100db796212ffffffffffffffff130014006f75745f"
    "70726f6a2e7765696768742e6e707901001000820000000000000048000000000000009bec17ea1b10c9c850c650"
    "ad9e925a9c5ca46ea5a06e9366a4aea3a09e965f54529498179f5f94920a12774bcc294e058a17672416a402f91a"
    "863a0a869a3a0ab50a64032e862300504b01022d032d00000008000000210044ff47e25200000098000000120000"
    "000000000000000000800100000000696e5f70726f6a5f7765696768742e6e7079504b01022d032d000000080000"
    "002100db79621248000000820000001300000000000000000000008001960000006f75745f70726f6a2e77656967"
    "68742e6e7079504b0506000000000200020081000000230100000000";

TEST_F(WeightFiles, OfNumPyAreRead) {
  std::string bytes;
  for (std::size_t k = 0; k < by_numpy.size(); k += 2)
    bytes += static_cast<char>(std::stoi(std::string(by_numpy.substr(k, 2)), nullptr, 16));
  write(folder / "file.npz", bytes);
  Layer<float> layer({.embed_dim = 1, .bias = false});
  load_weights(layer, folder / "file.npz");
  EXPECT_EQ(layer.parameters.in_proj_weight, Eigen::Vector3f(1, 2, 3));
  EXPECT_EQ(layer.parameters.out_proj.weight(0), -4.F);
}

/// A model of two layers.
struct TwoLayers {
  struct {
    Layer<float>* first;
    Layer<float>* second;
    template <class F>
    void for_each(F&& f) const {
      first->parameters.for_each(
          [&](std::string_view name, auto& tensor) { f("first." + std::string(name), tensor); });
      second->parameters.for_each(
          [&](std::string_view name, auto& tensor) { f("second." + std::string(name), tensor); });
    }
  } parameters;
};

TEST_F(WeightFiles, OfAWholeModelServeOneLayerByItsPrefix) {
  Layer<float> first(small, 1), second(small, 2), layer(small, 3);
  for (const char* name : {"file.npz", "file.safetensors", "folder"}) {
    save_weights(TwoLayers{{&first, &second}}, folder / name);
    load_weights(layer, folder / name, "first.");
    expect_same(layer, first);
    load_weights(layer, folder / name, "second.");
    expect_same(layer, second);
  }
}

TEST_F(WeightFiles, OfOtherKindsAreNamed) {
  Layer<float> layer(small);
  EXPECT_EQ(message([&] { load_weights(layer, folder / "weights.bin"); }),
            "attn::load_weights: weights.bin ends in neither .npz nor .safetensors, and it is no "
            "folder");
  EXPECT_EQ(message([&] { save_weights(layer, folder / "weights.npy"); }),
            "attn::save_weights: weights.npy is one tensor, for load_tensor and save_tensor; a "
            "layer takes .npz, .safetensors, or a folder of .npy files");
  EXPECT_EQ(message([&] { load_weights(layer, folder / "none.npz"); }),
            "attn::load_weights: none.npz cannot be opened");
  EXPECT_EQ(message([&] { save_weights(layer, folder / "none" / "file.npz"); }),
            "attn::save_weights: none/file.npz cannot be opened for writing");
}

TEST_F(WeightFiles, MustHoldWhatTheLayerHas) {
  const Layer<float> larger({.embed_dim = 4, .bias = false}), biased({.embed_dim = 2});
  Layer<float> layer(small);
  for (const char* name : {"file.npz", "file.safetensors", "folder"}) {
    const std::string start = std::string("attn::load_weights: ") + name;
    save_weights(larger, folder / name);
    EXPECT_EQ(message([&] { load_weights(layer, folder / name, "x."); }),
              start + " holds no tensor 'x.in_proj_weight', which the layer has");
    EXPECT_EQ(message([&] { load_weights(layer, folder / name); }),
              start + " holds tensor 'in_proj_weight' of shape [12, 4]; in the layer it is [6, 2]");
    save_weights(biased, folder / name);
    EXPECT_EQ(message([&] { load_weights(layer, folder / name); }),
              start + " holds a tensor 'in_proj_bias', which the layer does not have");
  }
}

TEST_F(WeightFiles, OfOneTensorSayWhatIsWrong) {
  const auto of = [&](std::string_view bytes) {
    write(folder / "t.npy", bytes);
    return message([&] { attn::load_tensor<float>(folder / "t.npy"); });
  };
  const std::string bad = "attn::load_tensor: t.npy is damaged: its tensor ";
  EXPECT_EQ(of("\x93NUMPX\x01"), bad + "does not begin as a .npy file does");
  EXPECT_EQ(of(npy("{}").substr(0, 11)), bad + "does not begin as a .npy file does");
  EXPECT_EQ(of(npy("{'descr': }").substr(0, 14)),
            bad + "has a header of 11 bytes, of which not all are there");
  const std::string no_dictionary =
      bad + "has a header that is no dictionary of 'descr', 'fortran_order' and 'shape'";
  for (const char* header :
       {"{}", "[]", "{'descr': '<f4', 'fortran_order': False, }",
        "{'descr': '<f4', 'fortran_order': None, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000000000,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", "{'descr': '<f4"})
    EXPECT_EQ(of(npy(header, "1234")), no_dictionary) << header;
  EXPECT_EQ(of(npy("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "1234")),
            "attn::load_tensor: t.npy holds its tensor as '>f4'; only little-endian floating-point "
            "numbers can be read: <f2, <f4, <f8");
  EXPECT_EQ(of(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234")),
            bad + "has the shape [2] and 4 bytes of '<f4', which do not fit");
  // 2^62 numbers of 4 bytes would be 2^64 = 0 bytes
  EXPECT_EQ(
      of(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 2147483648), }")),
      bad + "has the shape [2147483648, 2147483648] and 0 bytes of '<f4', which do not fit");
  EXPECT_EQ(of(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 999999999999999), }")),
            bad + "has the shape [0, 999999999999999] and 0 bytes of '<f4', which do not fit");
  EXPECT_EQ(of(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1), }", "1234")),
            "attn::load_tensor: t.npy holds a tensor of shape [1, 1, 1]; a matrix has two "
            "dimensions, or one");
}

/// A .safetensors file of this header.
std::string safetensors(std::string_view header, std::size_t numbers = 64) {
  std::string bytes;
  attn::engine::append_little(bytes, std::uint64_t{header.size()});
  return bytes.append(header).append(numbers, '\1');
}

TEST_F(WeightFiles, OfSafetensorsSayWhatIsWrong) {
  const auto of = [&](const std::string& bytes) { return message_of("f.safetensors", bytes); };
  const std::string bad = "attn::load_weights: f.safetensors is ";
  EXPECT_EQ(of("1234"),
            bad + "cut off: the header's length would end at byte 0 + 8 and the file has 4");
  EXPECT_EQ(of("\xff\xff\xff\xff\xff\xff\xff\xff{}"),
            bad +
                "no .safetensors file, or it is cut off: its header would have "
                "18446744073709551615 bytes");
  EXPECT_EQ(of(safetensors("{\"a\"")), bad + "damaged: its header is no JSON object");
  EXPECT_EQ(of(safetensors("[1]")), bad + "damaged: its header is no JSON object");
  for (const char* entry : {"1", "{}", R"({"dtype":1,"shape":[],"data_offsets":[0,64]})",
                            R"({"dtype":"F32","shape":[-1],"data_offsets":[0,64]})",
                            R"({"dtype":"F32","shape":[16],"data_offsets":[0,64,1]})",
                            R"({"dtype":"F32","shape":[16.5],"data_offsets":[0,64]})"})
    EXPECT_EQ(of(safetensors(std::string("{\"a\":") + entry + "}")),
              bad + "damaged: tensor 'a' has no dtype, shape and data_offsets as they should be");
  const auto whole = [](const char* in, const char* out) {
    return safetensors(std::string(R"({"in_proj_weight":{"dtype":)") + in +
                       R"(},"out_proj.weight":{"dtype":)" + out + "}}");
  };
  const char* const good_in = R"("F32","shape":[6,2],"data_offsets":[0,48])";
  const char* const good_out = R"("F32","shape":[2,2],"data_offsets":[48,64])";
  EXPECT_EQ(of(whole(good_in, R"("F32","shape":[2,2],"data_offsets":[44,64])")),
            bad + "damaged: its tensors overlap or leave gaps at byte 48");
  EXPECT_EQ(of(whole(good_in, R"("F32","shape":[2,2],"data_offsets":[48,44])")),
            bad + "damaged: its tensors overlap or leave gaps at byte 48");
  EXPECT_EQ(of(whole(good_in, R"("F32","shape":[2,2],"data_offsets":[48,68])")),
            bad + "damaged or cut off: its tensors have 68 bytes and the file has 64 for them");
  EXPECT_EQ(of(whole(R"("I32","shape":[6,2],"data_offsets":[0,48])", good_out)),
            "attn::load_weights: f.safetensors holds tensor 'in_proj_weight' as I32; only "
            "floating-point numbers can be read: F16, BF16, F32, F64");
  EXPECT_EQ(of(whole(R"("F32","shape":[4611686018427387904,6,2],"data_offsets":[0,48])", good_out)),
            bad +
                "damaged: tensor 'in_proj_weight' has the shape [4611686018427387904, 6, 2] and "
                "48 bytes of F32, which do not fit");
  EXPECT_EQ(of(whole(R"("F32","shape":[2,6],"data_offsets":[0,48])", good_out)),
            "attn::load_weights: f.safetensors holds tensor 'in_proj_weight' of shape [2, 6]; in "
            "the layer it is [6, 2]");
  EXPECT_EQ(of(whole(R"("F64","shape":[6,1],"data_offsets":[0,48])", good_out)),
            "attn::load_weights: f.safetensors holds tensor 'in_proj_weight' of shape [6, 1]; in "
            "the layer it is [6, 2]");
  EXPECT_EQ(of(whole(good_in, good_out)), "no error");
}

/// The bytes of an archive with a 16-bit number changed at the mark's n-th place.
std::string with_word(std::string bytes, const char* mark, std::size_t offset, unsigned value) {
  const std::size_t at = bytes.find(std::string("PK") + mark) + offset;
  bytes[at] = static_cast<char>(value & 0xff);
  bytes[at + 1] = static_cast<char>(value >> 8);
  return bytes;
}

TEST_F(WeightFiles, OfArchivesSayWhatIsWrong) {
  save_weights(Layer<float>(small), folder / "good.npz");
  const std::string good = read(folder / "good.npz");
  const auto of = [&](const std::string& bytes) { return message_of("f.npz", bytes); };
  const std::string start = "attn::load_weights: f.npz ", bad = start + "is damaged: ";
  const char *const entry = "\x01\x02", *const end = "\x05\x06", *const local = "\x03\x04";
  EXPECT_EQ(of("no archive"),
            start + "is no zip archive, or it is cut off: its end record is missing");
  EXPECT_EQ(of(with_word(good, end, 14, 0x7fff)), bad + "its directory is not before its end");
  EXPECT_EQ(of(with_word(good, end, 10, 1)),
            bad + "its directory has another size than its entries");
  EXPECT_EQ(of(with_word(good, end, 10, 3)), bad + "an entry of its directory is missing");
  EXPECT_EQ(of(with_word(good, entry, 28, 0x7fff)), bad + "an entry of its directory is cut off");
  EXPECT_EQ(of(with_word(with_word(good, entry, 20, 0xffff), entry, 22, 0xffff)),
            start +
                "is a zip64 archive, of 4 GiB or more; such weights are read from "
                ".safetensors");
  EXPECT_EQ(of(with_word(good, entry, 8, 1)), start + "holds 'in_proj_weight' encrypted");
  EXPECT_EQ(of(with_word(good, entry, 10, 99)),
            start +
                "holds 'in_proj_weight' packed by method 99; 0 (stored) and 8 (deflated) can "
                "be read");
  EXPECT_EQ(of(with_word(good, entry, 16, 0)),
            bad + "tensor 'in_proj_weight' is not what its sum says");
  EXPECT_EQ(of(with_word(good, local, 0, 0)),
            bad + "tensor 'in_proj_weight' does not begin where the directory says");
  EXPECT_EQ(of(with_word(good, local, 26, 0x7fff)).substr(0, 61),
            start + "is cut off: tensor 'in_proj_weight'");
  EXPECT_EQ(of(with_word(with_word(good, entry, 26, 0x00ff), entry, 10, 8)),
            start +
                "has tensor 'in_proj_weight', which would unpack to 16711856 bytes; in the "
                "layer it takes 96 at most");
  EXPECT_EQ(of(with_word(good, entry, 10, 8)),
            bad + "tensor 'in_proj_weight' is not what its sum says");
  const std::size_t name = good.find(std::string("PK") + entry) + 46;
  std::string other = good;
  other.replace(name, 18, "in_proj_weight.txt");
  EXPECT_EQ(of(other),
            start + "holds 'in_proj_weight.txt'; an .npz archive holds .npy files alone");
  EXPECT_EQ(of(good), "no error");
  EXPECT_EQ(of(with_word(good, end, 20, 7) + "comment"), "no error");
}

TEST_F(WeightFiles, OfArchivesHoldEachNameOnce) {
  using attn::engine::StoredTensor;
  const StoredTensor one{attn::engine::NumberType::single, {1}, false, "1234"};
  const attn::engine::FilePlace place{"test", folder / "f.npz"};
  EXPECT_EQ(message_of("f.npz", attn::engine::format_npz(place, {{"a", one}, {"a", one}})),
            "attn::load_weights: f.npz holds two tensors of the name 'a'");
}

/// Every file that begins like a good one, and every one with a byte changed: a sentence, or the
/// same names and shapes.
void expect_no_harm(const fs::path& path, bool has_sums) {
  const Layer<float> saved({.embed_dim = 2, .bias = false}, 1);
  save_weights(saved, path);
  const std::string good = read(path);
  Layer<float> layer({.embed_dim = 2, .bias = false}, 2);
  const auto load = [&](const std::string& bytes) {
    write(path, bytes);
    const Layer<float> before = layer;
    try {
      load_weights(layer, path);
      return true;
    } catch (const attn::FileError& error) {
      EXPECT_EQ(std::string_view(error.what()).substr(0, 20), "attn::load_weights: ");
      EXPECT_EQ(layer.parameters.in_proj_weight, before.parameters.in_proj_weight);
      EXPECT_EQ(layer.parameters.out_proj.weight, before.parameters.out_proj.weight);
      return false;
    }
  };
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(load(good.substr(0, size))) << size;
  std::size_t refused = 0;
  for (std::size_t k = 0; k < good.size(); ++k)
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = good;
      damaged[k] = static_cast<char>(damaged[k] ^ flip);
      const bool loaded = load(damaged);
      refused += loaded ? 0 : 1;
      if (loaded && has_sums) {
        EXPECT_EQ(layer.parameters.in_proj_weight, saved.parameters.in_proj_weight) << k;
        EXPECT_EQ(layer.parameters.out_proj.weight, saved.parameters.out_proj.weight) << k;
      }
    }
  EXPECT_GT(refused, good.size());
}

TEST_F(WeightFiles, WithAnyByteMissingOrChangedDoNoHarm) {
  expect_no_harm(folder / "file.npz", true);
  expect_no_harm(folder / "file.safetensors", false);
}

TEST_F(WeightFiles, OfOneTensorWithAnyByteMissingOrChangedDoNoHarm) {
  const fs::path path = folder / "file.npy";
  attn::save_tensor(support::random<float>(3, 2, 1), path);
  const std::string good = read(path);
  const auto load = [&](const std::string& bytes) {
    write(path, bytes);
    try {
      return attn::load_tensor<float>(path).size();
    } catch (const attn::FileError&) {
      return Index{-1};
    }
  };
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_EQ(load(good.substr(0, size)), -1);
  for (std::size_t k = 0; k < good.size(); ++k)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = good;
      damaged[k] = static_cast<char>(damaged[k] ^ 1 << bit);
      const Index size = load(damaged);
      EXPECT_TRUE(size == -1 || size == 6 || size == 3) << size;  // <f8 would be three
    }
}

}  // namespace
