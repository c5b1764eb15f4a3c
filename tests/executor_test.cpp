// SPDX-License-Identifier: Apache-2.0
// Threads and pools: the same bits for any number, and exceptions that travel to the caller.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <attn/attn.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <unsupported/Eigen/CXX11/ThreadPool>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using Eigen::MatrixXd;
using support::Case;
using support::Problem;

constexpr Case many_tasks{.n_q = 300, .n_k = 200, .d = 8, .d_v = 4, .heads = 4, .key_heads = 2};
constexpr attn::Heads heads{.query = 4, .key_value = 2};

/// Output, gradients and the gradient of a scale, with one executor.
template <class Executor>
auto everything(const Problem<>& p, const Executor& executor) {
  const attn::CosineSimilarity score{.scale = 2};
  const attn::Causal mask{.offset = -10};
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads, score, mask, executor);
  const auto g =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, score, mask, executor);
  MatrixXd scale(1, 1);
  scale(0, 0) = g.template of<attn::CosineSimilarity>().scale;
  return std::array<MatrixXd, 6>{forward.output, forward.log_sum_exp, g.query, g.key, g.value,
                                 scale};
}

template <class Executor>
void expect_same_bits(const Problem<>& p, const Executor& executor) {
  const auto expected = everything(p, attn::Threads{1});
  const auto found = everything(p, executor);
  for (std::size_t k = 0; k < expected.size(); ++k)
    EXPECT_TRUE(support::same_bits(found[k], expected[k])) << "result " << k;
}

TEST(Threads, GiveTheSameBitsForAnyNumber) {
  const Problem<> p(many_tasks);
  for (const int n : {0, 2, 3, 7, 64}) {
    SCOPED_TRACE(n);
    expect_same_bits(p, attn::Threads{n});
  }
}

TEST(Threads, ShareTheQueriesOfOneHeadWithoutChangingABit) {
  // Blocks for two, three or seven workers end at other queries than those for one.
  const Problem<float> p({.n_q = 1501, .n_k = 130, .d = 8, .d_v = 5});
  const attn::Causal mask = attn::Causal::bottom_right();
  const auto run = [&](int n, const auto&... parts) {
    return attn::attention_forward(p.Q, p.K, p.V, parts..., attn::Threads{n}).output;
  };
  const auto W = support::random<float>(8, 8, 5);
  for (const int n : {2, 3, 7}) {
    SCOPED_TRACE(n);
    EXPECT_TRUE(support::same_bits(run(n), run(1)));
    EXPECT_TRUE(support::same_bits(run(n, mask, attn::Alibi{0.1}), run(1, mask, attn::Alibi{0.1})));
    EXPECT_TRUE(support::same_bits(run(n, attn::Sigmoid{}), run(1, attn::Sigmoid{})));
    EXPECT_TRUE(support::same_bits(run(n, attn::Bilinear(W)), run(1, attn::Bilinear(W))));
  }
}

/// All gradients of parameters of one call.
template <class Executor>
auto parameter_gradients(const Problem<>& p, const Executor& executor) {
  const attn::Bilinear score(support::random<double>(8, 8, 5));
  const attn::Softcap cap{3};
  const attn::RelativePositionBias table(support::random<double>(6, 4, 6));
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads, score, cap, table);
  const auto g =
      attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, score, cap, table, executor);
  return std::array<MatrixXd, 3>{g.template of<attn::Bilinear>().W,
                                 MatrixXd::Constant(1, 1, g.template of<attn::Softcap>().cap),
                                 g.template of<attn::RelativePositionBias>().table};
}

TEST(Threads, ShareTheGradientsOfParametersWithoutChangingABit) {
  const Problem<> p(many_tasks);
  const auto expected = parameter_gradients(p, attn::Threads{1});
  for (const int n : {2, 3, 7}) {
    SCOPED_TRACE(n);
    const auto found = parameter_gradients(p, attn::Threads{n});
    for (std::size_t k = 0; k < expected.size(); ++k)
      EXPECT_TRUE(support::same_bits(found[k], expected[k])) << "result " << k;
  }
}

TEST(Threads, OfZeroTasksDoNothing) {
  const Problem<> p({.n_q = 0, .n_k = 5});
  EXPECT_EQ(attn::attention(p.Q, p.K, p.V, attn::Threads{4}).rows(), 0);
}

TEST(Threads, ShareTheWork) {
  // The first to ask waits for a second thread, so the call ends only where two take part.
  const Problem<> p(many_tasks);
  std::mutex mutex;
  std::condition_variable joined;
  std::set<std::thread::id> seen;
  const auto mark = attn::mask_mod([&](attn::Position) {
    std::unique_lock<std::mutex> lock(mutex);
    if (seen.insert(std::this_thread::get_id()).second) joined.notify_all();
    joined.wait_for(lock, std::chrono::seconds(20), [&] { return seen.size() >= 2; });
    return true;
  });
  attn::attention(p.Q.topRows(150), p.K.topRows(2), p.V.topRows(2), heads, mark, attn::Threads{2});
  EXPECT_EQ(seen.size(), 2U);
}

TEST(ThreadPool, GivesTheSameBitsForAnyNumber) {
  const Problem<> p(many_tasks);
  for (const int n : {1, 2, 3, 7}) {
    SCOPED_TRACE(n);
    Eigen::ThreadPool pool(n);
    expect_same_bits(p, attn::on(pool));
  }
}

TEST(ThreadPool, IsTakenByItsInterface) {
  const Problem<> p({});
  Eigen::ThreadPool pool(2);
  Eigen::ThreadPoolInterface& interface = pool;
  EXPECT_TRUE(support::same_bits(attn::attention(p.Q, p.K, p.V, attn::on(interface)),
                                 attn::attention(p.Q, p.K, p.V)));
}

TEST(ThreadPool, MayBeCalledFromItsOwnThreads) {
  // Every thread of the pool waits in a call of its own: the callers must do the work themselves.
  const Problem<> p(many_tasks);
  const MatrixXd expected = attn::attention(p.Q, p.K, p.V, heads);
  Eigen::ThreadPool pool(2);
  std::atomic<int> right{0};
  Eigen::Barrier barrier(4);
  for (int k = 0; k < 4; ++k)
    pool.Schedule([&] {
      const MatrixXd O = attn::attention(p.Q, p.K, p.V, heads, attn::on(pool));
      if (support::same_bits(O, expected)) ++right;
      barrier.Notify();
    });
  barrier.Wait();
  EXPECT_EQ(right, 4);
}

/// A rule that fails at one place.
constexpr auto fails_late = [](attn::Position at) {
  if (at.query == 250 && at.key == 3) throw std::runtime_error("query 250");
  return true;
};

template <class Executor>
void expect_the_exception(const Executor& executor) {
  const Problem<> p(many_tasks);
  const auto mask = attn::mask_mod(fails_late);
  EXPECT_THROW(attn::attention(p.Q, p.K, p.V, heads, mask, executor), std::runtime_error);
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, heads);
  EXPECT_THROW(attn::attention_backward(p.Q, p.K, p.V, forward, p.dO, heads, mask, executor),
               std::runtime_error);
}

TEST(Threads, LetAUsersExceptionTravelToTheCaller) {
  expect_the_exception(attn::Threads{1});
  expect_the_exception(attn::Threads{3});
}

TEST(ThreadPool, LetsAUsersExceptionTravelToTheCaller) {
  Eigen::ThreadPool pool(3);
  expect_the_exception(attn::on(pool));
  const Problem<> p(many_tasks);  // and the pool goes on working
  EXPECT_TRUE(support::same_bits(attn::attention(p.Q, p.K, p.V, heads, attn::on(pool)),
                                 attn::attention(p.Q, p.K, p.V, heads)));
}

}  // namespace
