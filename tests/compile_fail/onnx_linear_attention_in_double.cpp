// SPDX-License-Identifier: Apache-2.0
// The operator LinearAttention has no double.
// expect: attn::onnx::linear_attention: the operator has no double
#include <attn/onnx.hpp>

void call(const attn::onnx::LinearAttentionOutputs<double>& out,
          const attn::onnx::LinearAttentionInputs<double>& in) {
  attn::onnx::linear_attention(out, in);
}
