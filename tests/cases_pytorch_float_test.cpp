// SPDX-License-Identifier: Apache-2.0
// Recorded results of PyTorch's autograd, forward and every gradient, against attn in float.
#include "support/case_pytorch.hpp"

int main(int argc, char** argv) { return cases::run_pytorch_cases<float>(argc, argv); }
