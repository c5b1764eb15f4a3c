// SPDX-License-Identifier: Apache-2.0
// The operator FlexAttention has no masks.
// expect: attn::onnx::flex_attention: behind the attributes only score modifiers
#include <attn/onnx.hpp>

void call(const attn::onnx::FlexAttentionOutputs<float>& out,
          const attn::onnx::FlexAttentionInputs<float>& in) {
  attn::onnx::flex_attention(out, in, {}, attn::Causal{});
}
