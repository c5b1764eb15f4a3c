// SPDX-License-Identifier: Apache-2.0
// The operator Attention masks with bool or with numbers of Q's type.
// expect: attn_mask is of another type than Q
#include <attn/onnx.hpp>

attn::onnx::Mask<float> mask(const int* numbers) {
  return attn::onnx::Tensor<const int>(numbers, {4, 6});
}
