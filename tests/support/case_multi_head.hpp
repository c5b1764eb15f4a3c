// SPDX-License-Identifier: Apache-2.0
// nn.MultiheadAttention: cases whose pipeline is a layer, by way of MultiHeadAttention.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <attn/multi_head.hpp>

#include "support/case_fields.hpp"
#include "support/case_mask.hpp"
#include "support/case_pipeline.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// What a case says of its layer and of the call.
template <class T>
class MultiHeadReader {
 public:
  explicit MultiHeadReader(const Case& which)
      : which_(which), fields_(which, which.text.at("pipeline"), "multi_head_attention") {
    read_options();
    read_names();
    const Json* mask = fields_.find({"mask", "masks", "attn_mask"});
    masks_ = read_masks(which, mask == nullptr ? Json() : *mask, bools_);
    read_flags();
    fields_.finish();
  }

  attn::MultiHeadAttention<T> layer() const {
    attn::MultiHeadAttention<T> layer(options_);
    layer.parameters.for_each([&](std::string_view name, auto& tensor) {
      const Tensor values = which_.input(std::string(name));
      if constexpr (std::remove_reference_t<decltype(tensor)>::ColsAtCompileTime == 1)
        tensor = vector_of<T>(values);
      else
        tensor = matrix_of<T>(values);
    });
    return layer;
  }

  /// The inputs of query, key and value by name: one, two or three of them.
  const std::vector<std::string>& names() const { return names_; }
  const Masks& masks() const { return masks_; }

 private:
  Index integer(Names names, Index otherwise) {
    return static_cast<Index>(fields_.number(names, static_cast<double>(otherwise)));
  }

  void read_options() {
    const Index width = which_.input("out_proj.weight").shape.at(0);
    options_.embed_dim = integer({"embed_dim", "d_model"}, width);
    options_.num_heads = integer({"num_heads", "heads"}, 1);
    options_.num_kv_heads = integer({"num_kv_heads", "kv_heads", "num_key_value_heads"}, 0);
    fields_.expect({"head_dim"}, double(options_.embed_dim / options_.num_heads));
    options_.kdim = integer({"kdim"}, 0);
    options_.vdim = integer({"vdim"}, 0);
    options_.bias = fields_.flag({"bias"}, which_.has_input("in_proj_bias"));
    if (const Json* rope = fields_.find({"rope", "rotary"})) {
      const Rotation<T> rotation = read_rotation<T>(which_, *rope);
      options_.rotary = rotation.embedding.options;
      // a PositionOffset would move the masks as well
      if (rotation.query_offset != rotation.key_offset)
        throw Unsupported("multi_head_attention with rope from different positions");
    }
    options_.qk_norm = fields_.flag({"qk_norm"}, false);
    options_.qk_norm_eps = fields_.number({"qk_norm_eps", "eps"}, 1e-6);
    fields_.expect({"dropout"}, 0.0);
    fields_.find({"batch_first"});  // how PyTorch was called; tensors here are batch first
  }

  /// ["X", "M", "M"] names two inputs, and so the gradients that are recorded.
  void read_names() {
    const Json* listed = fields_.find({"query_key_value", "inputs", "qkv"});
    std::vector<std::string> all;
    if (listed != nullptr)
      all = listed->get<std::vector<std::string>>();
    else
      for (const char* role : {"query", "key", "value"}) {
        const Json* name = fields_.find({role});
        all.push_back(name == nullptr ? (all.empty() ? "X" : all.back())
                                      : name->get<std::string>());
      }
    if (all.size() != 3) throw Unsupported("query_key_value with other than three names");
    const bool is_self = all[0] == all[1] && all[1] == all[2];
    names_ = is_self ? std::vector{all[0]} : all[1] == all[2] ? std::vector{all[0], all[1]} : all;
  }

  /// The arguments of PyTorch's call: is_causal, and key_padding_mask, which is 1 where a key is
  /// padding.
  void read_flags() {
    if (fields_.flag({"is_causal", "causal"}, false)) masks_.rest = masks_.rest & attn::Causal{};
    if (const auto lengths = fields_.optional_tensor({"lengths", "key_lengths"}))
      masks_.padding = attn::KeyPadding{integers_of(*lengths)};
    if (const auto hidden = fields_.optional_tensor({"key_padding_mask"})) {
      Tensor seen = *hidden;
      for (double& number : seen.numbers) number = number == 0 ? 1 : 0;
      seen.shape = {hidden->shape.at(0), 1, 1, hidden->shape.at(1)};
      masks_.rest = masks_.rest & attn::DenseMask{bools_.copy(seen)};
    }
  }

  const Case& which_;
  Fields fields_;
  attn::MultiHeadAttentionOptions options_;
  std::vector<std::string> names_;
  Storage<bool> bools_;
  Masks masks_;
};

/// A tensor of tokens n x d, or batch x n x d, as layers take it.
template <class T>
attn::TensorView<const T> batch_of(const Tensor& tensor, Storage<T>& storage) {
  const Shape s = shape4(tensor);
  return attn::bhtd<const T>(storage.copy(tensor).data, s[1], 1, s[2], s[3]);
}

/// An input that a call takes twice has the sum of both gradients.
inline void add_gradient(const std::string& name, const Tensor& gradient,
                         std::map<std::string, Tensor>& to) {
  const auto [sum, is_new] = to.emplace(name, gradient);
  for (std::size_t k = 0; !is_new && k < gradient.numbers.size(); ++k)
    sum->second.numbers.at(k) += gradient.numbers[k];
}

/// Results and gradients of a call with these inputs.
template <class T, class... Inputs>
Computed run_multi_head(const Case& which, const MultiHeadReader<T>& reader,
                        const Inputs&... inputs) {
  const attn::MultiHeadAttention<T> layer = reader.layer();
  const auto call = [&](auto&& f) {
    const Masks& masks = reader.masks();
    const std::array<Index, sizeof...(Inputs)> tokens = {inputs.tokens()...};
    const Index n_k = tokens[tokens.size() > 1 ? 1 : 0];
    return f(inputs..., masks.rest, masks.padding.value_or(attn::KeyPadding{n_k}));
  };
  const auto forward = call([&](const auto&... all) { return layer.forward(all...); });
  const auto weights = call([&](const auto&... all) { return layer.weights(all...); });
  Computed computed;
  computed.results = {{"O", tensor_of(forward.output)},
                      {"P", tensor_of(weights)},
                      {"L", tensor_of(forward.log_sum_exp)}};
  if (!which.has_input("dO")) return computed;
  Storage<T> storage;
  const auto gradient = layer.backward(forward, batch_of(which.input("dO"), storage));
  const std::array<const attn::engine::TokenRows<T>*, 3> of_inputs = {
      &gradient.input, &gradient.memory, &gradient.values};
  for (std::size_t c = 0; c < reader.names().size(); ++c)
    add_gradient(reader.names()[c], tensor_of(*of_inputs[c]), computed.gradients);
  gradient.parameters.for_each([&](std::string_view name, const auto& tensor) {
    computed.gradients[std::string(name)] = tensor_of(tensor);
  });
  return computed;
}

template <class T>
Computed compute_multi_head(const Case& which) {
  const MultiHeadReader<T> reader(which);
  Storage<T> storage;
  const auto input = [&](std::size_t c) {
    return batch_of(which.input(reader.names()[c]), storage);
  };
  switch (reader.names().size()) {
    case 1:
      return run_multi_head(which, reader, input(0));
    case 2:
      return run_multi_head(which, reader, input(0), input(1));
    default:
      return run_multi_head(which, reader, input(0), input(1), input(2));
  }
}

}  // namespace cases
