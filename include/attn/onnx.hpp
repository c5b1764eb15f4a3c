// SPDX-License-Identifier: Apache-2.0
// The ONNX operators Attention (opsets 23, 24, 25), FlexAttention (preview) and LinearAttention,
// for runtimes to bind: inputs, attributes and outputs are structs with the operators' own names.
//
//     onnx/attention.hpp         onnx::attention(outputs, inputs, attributes, opset, parts...)
//     onnx/flex_attention.hpp    onnx::flex_attention(outputs, inputs, attributes, parts...)
//     onnx/linear_attention.hpp  onnx::linear_attention(outputs, inputs, attributes, parts...)
//
// Tensors (onnx/tensor.hpp) carry their rank, which is part of the operators' meaning.
#pragma once

#include <attn/onnx/attention.hpp>
#include <attn/onnx/attention_node.hpp>
#include <attn/onnx/flex_attention.hpp>
#include <attn/onnx/linear_attention.hpp>
#include <attn/onnx/tensor.hpp>
