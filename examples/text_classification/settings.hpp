// SPDX-License-Identifier: Apache-2.0
// Data, model and training; what the command line sets, without the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../support/adam.hpp"
#include "../support/matrix.hpp"
#include "../support/text_file.hpp"

namespace examples {

enum class LabelColumn { kFirst, kLast };
enum class TextFormat { kAuto, kTabs, kCommas, kTrec };

struct ReaderOptions {
  TextFormat format = TextFormat::kAuto;
  LabelColumn label = LabelColumn::kFirst;
  Encoding encoding = Encoding::kUtf8;
  bool header = false;  // the first row names the columns
};

struct DataOptions {
  std::vector<std::string> train;  // files or folders
  std::vector<std::string> test;
  std::vector<std::string> validation;
  std::vector<std::string> class_files;  // NAME=FILE
  double train_fraction = 0;             // 0: all of the training files trains
  std::size_t folds = 0;                 // 0: no cross-validation
  ReaderOptions reader{};

  bool any() const { return !(train.empty() && test.empty() && class_files.empty()); }
};

struct FeatureOptions {
  bool digits_as_shapes = false;
  bool pairs = true;
  bool letters = true;
  int min_count = 2;  // a rarer word is taken for an unknown one
};

/// What attends: nothing (mean pooling), the pooling alone, or self-attention and then the pooling.
enum class AttentionKind { kNone, kPooling, kAdditive, kDot, kScaledDot, kMultiHead };

inline constexpr std::array<std::pair<std::string_view, AttentionKind>, 6> kAttentionNames = {{
    {"none", AttentionKind::kNone},
    {"pooling", AttentionKind::kPooling},
    {"additive", AttentionKind::kAdditive},
    {"dot", AttentionKind::kDot},
    {"scaled_dot", AttentionKind::kScaledDot},
    {"multi_head", AttentionKind::kMultiHead},
}};

constexpr bool has_self_attention(AttentionKind kind) {
  return kind != AttentionKind::kNone && kind != AttentionKind::kPooling;
}

inline std::string_view attention_name(AttentionKind kind) {
  return kAttentionNames[static_cast<std::size_t>(kind)].first;
}

struct ClassifierShape {
  AttentionKind attention = AttentionKind::kPooling;
  Index embed_dim = 48;
  Index attention_dim = 32;
  Index heads = 4;
  Index window = 3;  // of the self-attention; -1: the whole text
  Index classes = 2;
};

/// The part of the shape that was given by hand, which a loaded model must have.
struct WantedShape {
  std::optional<AttentionKind> attention{};
  std::optional<Index> embed_dim{};
  std::optional<Index> attention_dim{};
  std::optional<Index> heads{};
  std::optional<Index> window{};
};

/// Shares of words, of pooled numbers that training leaves out at random.
struct DropoutRates {
  float words = 0.3f;
  float pooled = 0.3f;
};

struct TrainingOptions {
  int epochs = 20;
  int patience = 3;  // epochs without a better validation loss before training stops
  std::size_t batch_size = 16;
  DropoutRates dropout{};
  AdamOptions adam{};
  std::uint64_t seed = 1;
};

class WordVectors;

struct ModelOptions {
  FeatureOptions features{};
  ClassifierShape shape{};
  TrainingOptions training{};
  const WordVectors* word_vectors = nullptr;  // initial vectors of known words
};

}  // namespace examples
