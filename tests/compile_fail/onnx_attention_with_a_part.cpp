// SPDX-License-Identifier: Apache-2.0
// The operator Attention says by attributes what is computed.
// expect: attn::onnx::attention: behind the opset only an executor
#include <attn/onnx.hpp>

void call(const attn::onnx::AttentionOutputs<float>& out,
          const attn::onnx::AttentionInputs<float>& in) {
  attn::onnx::attention(out, in, {}, 25, attn::Causal{});
}
