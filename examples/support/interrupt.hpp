// SPDX-License-Identifier: Apache-2.0
// Ctrl-C as a question that a loop can ask, instead of an end in the middle of things.
#pragma once

#include <csignal>

namespace examples {

/// What a program that Ctrl-C ended returns: 128 + SIGINT, as shells expect.
inline constexpr int kInterruptedExitCode = 130;

namespace detail {
inline volatile std::sig_atomic_t interrupted = 0;

/// The second Ctrl-C meets the default action, so that a program that hangs can still be ended.
inline void on_interrupt(int signal) {
  interrupted = 1;
  std::signal(signal, SIG_DFL);
}
}  // namespace detail

/// From now on Ctrl-C only sets the flag that `interrupted()` returns.
inline void catch_interrupts() { std::signal(SIGINT, detail::on_interrupt); }

inline bool interrupted() { return detail::interrupted != 0; }

}  // namespace examples
