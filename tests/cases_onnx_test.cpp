// SPDX-License-Identifier: Apache-2.0
// Recorded results of ONNX's reference code for its attention operators, against attn.
#include "support/case_onnx.hpp"

int main(int argc, char** argv) {
  return cases::run(
      argc, argv,
      {"OnnxCase", [](const cases::Json& text) { return text.contains("op"); }, cases::check_onnx});
}
