// SPDX-License-Identifier: Apache-2.0
// The parameters of the library's MultiHeadAttention as the optimiser and the saving see them.
#pragma once

#include <attn/multi_head.hpp>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "parameter.hpp"

namespace examples {

/// `gradient` must have the form of `parameters`; both must outlive the list.
template <typename T>
void append_attention_parameters(std::vector<BasicParameter<T>>& list, const std::string& prefix,
                                 attn::MultiHeadAttentionParameters<T>& parameters,
                                 attn::MultiHeadAttentionParameters<T>& gradient) {
  std::vector<T*> gradients;
  gradient.for_each([&](std::string_view, auto& tensor) { gradients.push_back(tensor.data()); });
  std::size_t i = 0;
  parameters.for_each([&](std::string_view name, auto& value) {
    Eigen::Map<VectorOf<T>> of_value(gradients[i++], value.size());
    list.push_back(parameter(prefix + "." + std::string(name), value, of_value));
  });
}

}  // namespace examples
