// SPDX-License-Identifier: Apache-2.0
// The options of the command line that every training by Adam has.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "adam.hpp"
#include "command_line.hpp"
#include "matrix.hpp"

namespace examples {

/// Seed and threads, of which only the first changes the result.
inline void add_run_options(OptionGroup& add, std::uint64_t& seed, Index& threads) {
  add("--seed", seed, "Everything random follows from it");
  add("--threads", threads, "That share the work; the result is the same")
      ->check(CLI::Range(1, 1024));
}

/// `unit` is what a batch consists of, say "Pairs".
inline void add_adam_options(OptionGroup& add, AdamOptions& adam, Index& batch_size,
                             const std::string& unit) {
  add("--batch-size", batch_size, (unit + " a step").c_str())->check(CLI::Range(1, 65536));
  add("--learning-rate", adam.learning_rate, "Of Adam, at its highest")
      ->check(CLI::Range(1e-7, 1.0));
  add("--weight-decay", adam.weight_decay, "Of Adam, decoupled")->check(CLI::Range(0.0, 10.0));
}

}  // namespace examples
