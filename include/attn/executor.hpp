// SPDX-License-Identifier: Apache-2.0
// Executors: who does the work. The tasks of a call are fixed by its sizes, never by the number of
// workers, so the bits of a result do not depend on it.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Tasks 0 .. count-1, handed out one by one to whoever asks. Workers that start after the last
/// task has been taken touch nothing of the caller's, so a busy pool cannot hold a call up.
class TaskList {
 public:
  TaskList(Index count, std::function<void(Index, Index)> task)
      : count_(count), task_(std::move(task)) {}

  void work(Index worker) {
    for (Index t = next_++; t < count_; t = next_++) {
      attempt(t, worker);
      if (++done_ == count_) {
        const std::lock_guard<std::mutex> lock(mutex_);
        finished_.notify_all();
      }
    }
  }

  /// Waits until every task has ended; rethrows the first exception of any.
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return done_ == count_; });
#if ATTN_EXCEPTIONS
    if (failure_) std::rethrow_exception(failure_);
#endif
  }

 private:
  void attempt(Index t, Index worker) {
#if ATTN_EXCEPTIONS
    try {
      task_(t, worker);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
#else
    task_(t, worker);
#endif
  }

  Index count_;
  std::function<void(Index, Index)> task_;
  std::atomic<Index> next_{0};
  std::atomic<Index> done_{0};
  std::mutex mutex_;
  std::condition_variable finished_;
#if ATTN_EXCEPTIONS
  std::exception_ptr failure_;
#endif
};

/// The default: the calling thread alone.
struct CallingThread {
  using role = role::executor;

  Index workers(Index) const { return 1; }
  template <class F>
  void run(Index tasks, F&& task) const {
    for (Index t = 0; t < tasks; ++t) task(t, Index(0));
  }
};

}  // namespace engine

/// n threads, the calling one among them; 0 counts as 1.  Throws ValueError for a negative n.
struct Threads {
  using role = role::executor;
  Integer n = 1;

  Index workers(Index tasks) const { return std::max<Index>(1, std::min<Index>(n, tasks)); }

  template <class F>
  void run(Index tasks, F&& task) const {
    const Index helpers = workers(tasks) - 1;
    if (helpers == 0) return engine::CallingThread{}.run(tasks, task);
    engine::TaskList list(tasks, [&task](Index t, Index worker) { task(t, worker); });
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(helpers));
    for (Index w = 1; w <= helpers; ++w)
      if (!start(threads, [&list, w] { list.work(w); })) break;
    list.work(0);
    for (std::thread& thread : threads) thread.join();
    list.wait();
  }
  void check(const engine::CallSizes& call) const {
    if (n < 0)
      engine::raise_value({call.name, ": Threads is ", Index(n), "; it must be 0 or more"});
  }

 private:
  /// False where the system has no more threads: the others do the work.
  template <class F>
  static bool start(std::vector<std::thread>& threads, F&& work) {
#if ATTN_EXCEPTIONS
    try {
      threads.emplace_back(work);
    } catch (...) {
      return false;
    }
#else
    threads.emplace_back(work);
#endif
    return true;
  }
};

/// Work shared with the threads of a pool; the calling thread takes part.
template <class Pool>
struct PoolExecutor {
  using role = role::executor;
  Pool* pool;

  Index workers(Index tasks) const {
    return std::max<Index>(1, std::min<Index>(Index(pool->NumThreads()) + 1, tasks));
  }

  template <class F>
  void run(Index tasks, F&& task) const {
    auto list = std::make_shared<engine::TaskList>(
        tasks, [&task](Index t, Index worker) { task(t, worker); });
    for (Index w = 1; w < workers(tasks); ++w)
      if (!schedule([list, w] { list->work(w); })) break;
    list->work(0);
    list->wait();
  }

 private:
  /// False where the pool takes no more: the others do the work.
  template <class F>
  bool schedule(F&& work) const {
#if ATTN_EXCEPTIONS
    try {
      pool->Schedule(work);
    } catch (...) {
      return false;
    }
#else
    pool->Schedule(work);
#endif
    return true;
  }
};

/// Runs on an Eigen::ThreadPoolInterface, which must outlive the call.
template <class Pool>
PoolExecutor<Pool> on(Pool& pool) {
  return {&pool};
}

ATTN_END_NAMESPACE
