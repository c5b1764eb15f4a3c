// SPDX-License-Identifier: Apache-2.0
// The operator LinearAttention says by attributes what is computed.
// expect: attn::onnx::linear_attention: behind the attributes only an executor
#include <attn/onnx.hpp>

void call(const attn::onnx::LinearAttentionOutputs<float>& out,
          const attn::onnx::LinearAttentionInputs<float>& in) {
  attn::onnx::linear_attention(out, in, {}, attn::Causal{});
}
