// SPDX-License-Identifier: Apache-2.0
// Calls that return matrices take matrices.
// expect: TensorViews go to the calls that write into given memory
#include <attn/attn.hpp>

void call() {
  const attn::TensorView<const float> Q;
  attn::attention(Q, Q, Q);
}
