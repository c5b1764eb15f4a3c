// SPDX-License-Identifier: Apache-2.0
// What an example's command line comes to.
#pragma once

#include <optional>

namespace examples {

/// The options, or the exit code where the command line ends the program: 0 after --help, 2 after
/// one sentence about what is wrong.
template <typename Options>
struct Parsed {
  Options options{};
  std::optional<int> exit_code{};
};

}  // namespace examples
