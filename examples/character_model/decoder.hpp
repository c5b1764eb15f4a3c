// SPDX-License-Identifier: Apache-2.0
// The model: from the characters of a text to the logits of the next ones, forward, backward, and
// character by character through caches.
//
//     characters -> E[c] -> block -> ... -> block -> norm -> W x + b -> softmax
//
// A block is decoder_block.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/rms_norm.hpp"
#include "../support/token_table.hpp"
#include "decoder_block.hpp"
#include "text_windows.hpp"

namespace examples {

template <typename T>
class Decoder {
 public:
  /// Keys and values of the characters so far, a cache a block.
  using Caches = std::vector<typename DecoderBlock<T>::Cache>;

  Decoder(const DecoderShape& shape, std::uint64_t seed) : Decoder(shape, Random(seed)) {}

  const DecoderShape& shape() const { return shape_; }

  /// Logits of the character after each, a row a character.
  MatrixOf<T> logits(std::span<const Index> characters, Index windows) const {
    MatrixOf<T> X = embedding_.forward(characters);
    for (const auto& block : blocks_) X = block.forward(X, windows).output;
    return head_.forward(norm_.forward(X));
  }

  /// The mean loss in nats; overwrites the gradients of all parameters with those of it.
  T differentiate(const Windows& batch) {
    std::vector<typename DecoderBlock<T>::Forward> trace;
    MatrixOf<T> X = embedding_.forward(batch.characters);
    for (const auto& block : blocks_) {
      trace.push_back(block.forward(X, batch.count));
      X = trace.back().output;
    }
    const MatrixOf<T> normed = norm_.forward(X);
    const auto end = cross_entropy(row_softmax(head_.forward(normed)), batch.next);
    MatrixOf<T> dX = norm_.backward(X, head_.backward(normed, end.gradient));
    for (std::size_t b = blocks_.size(); b-- > 0;) dX = blocks_[b].backward(trace[b], dX);
    embedding_.backward(batch.characters, dX);
    return end.loss;
  }

  Caches caches() const {
    Caches caches;
    for (const auto& block : blocks_) caches.push_back(block.cache(shape_.context));
    return caches;
  }

  /// Logits of the character after each, of characters that come after those in the caches.
  MatrixOf<T> step(std::span<const Index> characters, Caches& caches) const {
    MatrixOf<T> X = embedding_.forward(characters);
    for (std::size_t b = 0; b < blocks_.size(); ++b) X = blocks_[b].step(X, caches[b]);
    return head_.forward(norm_.forward(X));
  }

  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list;
    embedding_.append_parameters(list, "embedding");
    for (std::size_t b = 0; b < blocks_.size(); ++b)
      blocks_[b].append_parameters(list, "block" + std::to_string(b));
    norm_.append_parameters(list, "norm");
    head_.append_parameters(list, "head");
    return list;
  }

 private:
  Decoder(const DecoderShape& shape, Random random)
      : shape_(shape),
        embedding_(shape.characters, shape.embed_dim, random),
        blocks_(blocks_of(shape, random)),
        norm_(shape.embed_dim),
        head_(shape.embed_dim, shape.characters, random) {}

  static std::vector<DecoderBlock<T>> blocks_of(const DecoderShape& shape, Random& random) {
    std::vector<DecoderBlock<T>> blocks;
    for (Index b = 0; b < shape.layers; ++b) blocks.emplace_back(shape, random);
    return blocks;
  }

  DecoderShape shape_;
  TokenTable<T> embedding_;
  std::vector<DecoderBlock<T>> blocks_;
  RmsNorm<T> norm_;
  BasicLinear<T> head_;
};

}  // namespace examples
