// SPDX-License-Identifier: Apache-2.0
// The model: from one sequence to another, with attention in between or a vector of fixed size.
//
//     encoder   E = [GRU ->(x) | GRU <-(x)]            a state for each source token
//     bridge    s_0 = tanh(B [last of -> | last of <-] + b)
//     decoder   s_t = GRU(y_(t-1), s_(t-1))
//     context   c_t = attention(s_t, E, E)             additive; all steps of a batch in one call
//               c   = [last of -> | last of <-]        without attention: the same at every step
//     output    softmax(O tanh(C [s_t | c_t] + b) + b)
//
// Scores and encoder are Bahdanau's (2015), but the state asks after its step and not before it,
// as in Luong, Pham and Manning 2015, eq. 5 (without their input feeding). Then no state depends
// on a context, and when the target is known all queries are there at once: a batch takes one call
// forward and one backward, not one of each a step. The model without attention differs in the
// context alone; Cho et al. 2014 and Sutskever et al. 2014 pass on a whole source so.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support/cross_entropy.hpp"
#include "../support/dropout.hpp"
#include "../support/gru.hpp"
#include "../support/linear.hpp"
#include "../support/matrix.hpp"
#include "../support/parameter.hpp"
#include "../support/random.hpp"
#include "../support/token_table.hpp"
#include "additive_attention.hpp"
#include "sequence_batch.hpp"
#include "settings.hpp"

namespace examples {

template <typename T>
class Translator {
 public:
  /// What the decoder is given of a batch of sources.
  struct Encoded {
    std::vector<Index> lengths;
    MatrixOf<T> states;  // E, Tx B rows
    MatrixOf<T> last;    // of both directions, B rows
    MatrixOf<T> start;   // s_0
  };
  /// One step of the decoder.
  struct Step {
    MatrixOf<T> logits;   // of the next token, a row a sequence
    MatrixOf<T> weights;  // B x Tx; empty without attention
  };

  Translator(const TranslatorShape& shape, std::uint64_t seed) : Translator(shape, Random(seed)) {}

  const TranslatorShape& shape() const { return shape_; }

  Encoded encode(const SourceBatch& batch) const { return encode_all(batch, 0, nullptr).encoded; }

  /// Moves `state`, which begins as Encoded::start, on by the token before.
  Step step(const Encoded& source, std::span<const Index> previous, MatrixOf<T>& state) const {
    const std::vector<Index> one_step(previous.size(), 1);
    state = decoder_.forward(target_table_.forward(previous), one_step, state).states;
    if (!attention_) return {output_.forward(combined(state, source.last)), {}};
    auto attended = attention_->attend(state, source.states, source.lengths);
    return {output_.forward(combined(state, attended.contexts)), std::move(attended.weights)};
  }

  /// The mean loss of a token, in nats.
  T loss(const PairBatch& batch) const { return forward(batch, 0, nullptr).end.loss; }

  /// The same with dropout; overwrites the gradients of all parameters with those of it.
  T differentiate(const PairBatch& batch, float dropout, Random& random) {
    Trace f = forward(batch, dropout, &random);
    MatrixOf<T> d_hidden = output_.backward(f.hidden, f.end.gradient);
    apply(f.hidden_mask, d_hidden);
    const MatrixOf<T> d_sum = d_hidden.array() * (1 - f.activation.array().square());
    const MatrixOf<T> d_joined = combine_.backward(f.joined, d_sum);
    const auto [d_states, d_contexts] = split(batch, d_joined);
    backward_decoder(f, batch, d_states, d_contexts);
    return f.end.loss;
  }

  std::vector<BasicParameter<T>> parameters() {
    std::vector<BasicParameter<T>> list;
    source_table_.append_parameters(list, "source");
    target_table_.append_parameters(list, "target");
    onward_.append_parameters(list, "onward");
    backward_.append_parameters(list, "backward");
    bridge_.append_parameters(list, "bridge");
    decoder_.append_parameters(list, "decoder");
    if (attention_) attention_->append_parameters(list, "attention");
    combine_.append_parameters(list, "combine");
    output_.append_parameters(list, "output");
    return list;
  }

 private:
  using GruForward = typename Gru<T>::Forward;

  struct EncoderTrace {
    MatrixOf<T> input_mask;
    GruForward onward;
    GruForward backward;
    Encoded encoded;
  };
  struct Trace {
    EncoderTrace encoder;
    MatrixOf<T> input_mask;
    GruForward decoder;
    std::optional<typename AdditiveAttention<T>::Forward> attended;
    MatrixOf<T> joined;      // [s_t | c_t], the rows that are no padding
    MatrixOf<T> activation;  // tanh(C [s_t | c_t] + b)
    MatrixOf<T> hidden;      // the same after dropout
    MatrixOf<T> hidden_mask;
    BasicCrossEntropy<T> end;
  };

  Translator(const TranslatorShape& shape, Random random)
      : shape_(shape),
        source_table_(shape.source_tokens, shape.embed_dim, random),
        target_table_(shape.target_tokens, shape.embed_dim, random),
        onward_(shape.embed_dim, shape.hidden / 2, Direction::kForward, random),
        backward_(shape.embed_dim, shape.hidden / 2, Direction::kBackward, random),
        bridge_(shape.hidden, shape.hidden, random),
        decoder_(shape.embed_dim, shape.hidden, Direction::kForward, random),
        combine_(2 * shape.hidden, shape.hidden, random),
        output_(shape.hidden, shape.target_tokens, random) {
    if (shape.attention) attention_.emplace(shape.hidden, random);
  }

  static MatrixOf<T> beside(const MatrixOf<T>& left, const MatrixOf<T>& right) {
    MatrixOf<T> both(left.rows(), left.cols() + right.cols());
    both << left, right;
    return both;
  }
  /// Drops numbers of X and returns the mask; an empty one where nothing is dropped.
  static MatrixOf<T> drop(MatrixOf<T>& X, float p, Random* random) {
    if (random == nullptr || p == 0) return {};
    MatrixOf<T> mask = dropout_mask<T>(X.rows(), X.cols(), p, *random);
    apply(mask, X);
    return mask;
  }
  static void apply(const MatrixOf<T>& mask, MatrixOf<T>& X) {
    if (mask.size() > 0) X.array() *= mask.array();
  }

  MatrixOf<T> combined(const MatrixOf<T>& states, const MatrixOf<T>& contexts) const {
    return combine_.forward(beside(states, contexts)).array().tanh();
  }

  /// Dropout where there is `random`.
  EncoderTrace encode_all(const SourceBatch& batch, float dropout, Random* random) const {
    MatrixOf<T> X = source_table_.forward(batch.tokens);
    EncoderTrace f;
    f.input_mask = drop(X, dropout, random);
    const MatrixOf<T> zero = MatrixOf<T>::Zero(batch.size(), onward_.hidden());
    f.onward = onward_.forward(X, batch.lengths, zero);
    f.backward = backward_.forward(X, batch.lengths, zero);
    f.encoded.lengths = batch.lengths;
    f.encoded.states = beside(f.onward.states, f.backward.states);
    f.encoded.last =
        beside(f.onward.states.bottomRows(batch.size()), f.backward.states.topRows(batch.size()));
    f.encoded.start = bridge_.forward(f.encoded.last).array().tanh();
    return f;
  }

  Trace forward(const PairBatch& batch, float dropout, Random* random) const {
    Trace f;
    f.encoder = encode_all(batch.source, dropout, random);
    MatrixOf<T> Y = target_table_.forward(batch.previous);
    f.input_mask = drop(Y, dropout, random);
    f.decoder = decoder_.forward(Y, batch.lengths, f.encoder.encoded.start);
    if (attention_)
      f.attended =
          attention_->forward(f.decoder.states, f.encoder.encoded.states, batch.source.lengths);
    f.joined = joined(f, batch);
    f.activation = combine_.forward(f.joined).array().tanh();
    f.hidden = f.activation;
    f.hidden_mask = drop(f.hidden, dropout, random);
    f.end = cross_entropy(row_softmax(output_.forward(f.hidden)), batch.next);
    return f;
  }

  /// The rows of states and contexts that are no padding.
  MatrixOf<T> joined(const Trace& f, const PairBatch& batch) const {
    const Index h = shape_.hidden;
    MatrixOf<T> joined(static_cast<Index>(batch.rows.size()), 2 * h);
    for (Index i = 0; i < joined.rows(); ++i) {
      const Index row = batch.rows[static_cast<std::size_t>(i)];
      joined.row(i).head(h) = f.decoder.states.row(row);
      if (f.attended)
        joined.row(i).tail(h) = f.attended->contexts.row(row);
      else
        joined.row(i).tail(h) = f.encoder.encoded.last.row(row % batch.source.size());
    }
    return joined;
  }

  /// The way back of `joined`: by states and contexts, zero where padded.
  std::pair<MatrixOf<T>, MatrixOf<T>> split(const PairBatch& batch,
                                            const MatrixOf<T>& d_joined) const {
    const Index h = shape_.hidden;
    const Index rows = batch.steps * batch.source.size();
    std::pair<MatrixOf<T>, MatrixOf<T>> d{MatrixOf<T>::Zero(rows, h), MatrixOf<T>::Zero(rows, h)};
    for (Index i = 0; i < d_joined.rows(); ++i) {
      const Index row = batch.rows[static_cast<std::size_t>(i)];
      d.first.row(row) = d_joined.row(i).head(h);
      d.second.row(row) = d_joined.row(i).tail(h);
    }
    return d;
  }

  void backward_decoder(Trace& f, const PairBatch& batch, MatrixOf<T> d_states,
                        const MatrixOf<T>& d_contexts) {
    const Index size = batch.source.size();
    MatrixOf<T> d_encoded = MatrixOf<T>::Zero(batch.source.steps * size, shape_.hidden);
    MatrixOf<T> d_last = MatrixOf<T>::Zero(size, shape_.hidden);
    if (attention_) {
      auto d = attention_->backward(*f.attended, d_contexts);
      d_states += d.queries;
      d_encoded = std::move(d.keys);
    } else {
      for (Index t = 0; t < batch.steps; ++t) d_last += d_contexts.middleRows(t * size, size);
    }
    auto d_decoder = decoder_.backward(f.decoder, d_states);
    apply(f.input_mask, d_decoder.input);
    target_table_.backward(batch.previous, d_decoder.input);
    const MatrixOf<T> d_sum =
        d_decoder.initial.array() * (1 - f.encoder.encoded.start.array().square());
    d_last += bridge_.backward(f.encoder.encoded.last, d_sum);
    backward_encoder(f.encoder, batch.source, d_encoded, d_last);
  }

  void backward_encoder(const EncoderTrace& f, const SourceBatch& batch,
                        const MatrixOf<T>& d_encoded, const MatrixOf<T>& d_last) {
    const Index half = onward_.hidden();
    MatrixOf<T> d_onward = d_encoded.leftCols(half);
    MatrixOf<T> d_backward = d_encoded.rightCols(half);
    d_onward.bottomRows(batch.size()) += d_last.leftCols(half);
    d_backward.topRows(batch.size()) += d_last.rightCols(half);
    MatrixOf<T> dX = onward_.backward(f.onward, d_onward).input;
    dX += backward_.backward(f.backward, d_backward).input;
    apply(f.input_mask, dX);
    source_table_.backward(batch.tokens, dX);
  }

  TranslatorShape shape_;
  TokenTable<T> source_table_;
  TokenTable<T> target_table_;
  Gru<T> onward_;
  Gru<T> backward_;
  BasicLinear<T> bridge_;
  Gru<T> decoder_;
  std::optional<AdditiveAttention<T>> attention_;
  BasicLinear<T> combine_;
  BasicLinear<T> output_;
};

}  // namespace examples
