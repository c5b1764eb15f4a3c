// SPDX-License-Identifier: Apache-2.0
// Turns: the order of additions is that of the turns, whoever comes first.
#include <gtest/gtest.h>

#include <attn/engine/turns.hpp>
#include <thread>
#include <vector>

namespace {

using attn::Index;

TEST(Turns, ComeInOrderWhateverTheThreadsDo) {
  constexpr Index count = 6, sums = 3;
  attn::engine::Turns turns(sums);
  std::vector<std::vector<Index>> order(sums);
  std::vector<std::thread> threads;
  for (Index t = count - 1; t >= 0; --t)
    threads.emplace_back([&, t] {
      for (Index sum = 0; sum < sums; ++sum) {
        ASSERT_TRUE(turns.wait(sum, t));
        order[std::size_t(sum)].push_back(t);
        turns.pass(sum);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& turns_of_a_sum : order)
    EXPECT_EQ(turns_of_a_sum, (std::vector<Index>{0, 1, 2, 3, 4, 5}));
}

TEST(Turns, OfAFailedTaskKeepNobodyWaiting) {
  attn::engine::Turns turns(1);
  bool came = true;
  std::thread waiting([&] { came = turns.wait(0, 1); });
  { const attn::engine::FailTurns task{turns}; }
  waiting.join();
  EXPECT_FALSE(came);
  turns.pass(0);
  EXPECT_FALSE(turns.wait(0, 0));
}

}  // namespace
