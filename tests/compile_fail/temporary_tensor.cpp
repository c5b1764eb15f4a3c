// SPDX-License-Identifier: Apache-2.0
// A view of a temporary Tensor would outlive its numbers.
// expect: a view of a temporary Tensor would outlive its numbers
#include <attn/tensor.hpp>

auto view_of_nothing() { return attn::bhtd(Eigen::Tensor<float, 4>(1, 2, 3, 4)); }
