// SPDX-License-Identifier: Apache-2.0
// TensorViews have their heads in their shape.
// expect: TensorViews carry their heads in their shape
#include <attn/attn.hpp>

void call() {
  attn::TensorView<float> O, L, Q;
  attn::attention_forward_into(O, L, Q, Q, Q, attn::Heads{2});
}
