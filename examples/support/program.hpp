// SPDX-License-Identifier: Apache-2.0
// main() of an example: what ends it, and with which exit code.
#pragma once

#include <exception>
#include <iostream>

#include "data_error.hpp"
#include "interrupt.hpp"

namespace examples {

/// Returns what `run()` returns. Bad data is one sentence and exit code 2, any other failure a
/// sentence and 1. The first Ctrl-C only sets the flag that `interrupted()` returns.
template <typename Run>
int run_program(const char* name, const Run& run) {
  catch_interrupts();
  try {
    return run();
  } catch (const DataError& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return kBadDataExitCode;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace examples
