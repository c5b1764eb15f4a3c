// SPDX-License-Identifier: Apache-2.0
// A name for four dimensions needs a tensor that has them.
// expect: this view names another number of dimensions than the tensor has
#include <attn/tensor.hpp>

auto view_of_three(const Eigen::Tensor<float, 3>& tensor) { return attn::bthd(tensor); }
