// SPDX-License-Identifier: Apache-2.0
// Scratch memory: one aligned buffer a worker, sized before the loop and reused by later calls.
#pragma once

#include <cstddef>
#include <new>
#include <utility>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

inline constexpr std::size_t scratch_alignment = 64;  // a cache line, and the widest packet

/// Hands out aligned pieces of a buffer one behind the other. Over a null buffer it only counts, so
/// that the code that lays scratch out also tells how much of it is needed.
class Arena {
 public:
  explicit Arena(std::byte* begin = nullptr) : begin_(begin) {}

  template <class A>
  A* take(Index count) {
    const std::size_t at = used_;
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(A);
    used_ += (bytes + scratch_alignment - 1) / scratch_alignment * scratch_alignment;
    return begin_ ? reinterpret_cast<A*>(begin_ + at) : nullptr;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* begin_;
  std::size_t used_ = 0;
};

/// An aligned block that only grows. Growing drops what it held.
class ScratchBuffer {
 public:
  ScratchBuffer() = default;
  ScratchBuffer(ScratchBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  ScratchBuffer& operator=(ScratchBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ScratchBuffer(const ScratchBuffer&) = delete;
  ScratchBuffer& operator=(const ScratchBuffer&) = delete;
  ~ScratchBuffer() { release(); }

  std::byte* reserve(std::size_t bytes) {
    if (bytes > size_) {
      release();
      data_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{scratch_alignment}));
      size_ = bytes;
    }
    return data_;
  }

 private:
  void release() {
    if (data_) ::operator delete (data_, std::align_val_t{scratch_alignment});
    data_ = nullptr;
    size_ = 0;
  }
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Scratch of a small call on the stack of its caller: no allocation at all.
struct StackScratch {
  static constexpr std::size_t size = 32 * 1024;
  alignas(scratch_alignment) std::byte bytes[size];
};

}  // namespace engine

/// Scratch that later calls reuse: pass it as an argument, and once it has grown to the largest
/// call, `attention_into` on the calling thread allocates nothing.
/// Threads  one call at a time; a call may use many threads
class Workspace {
 public:
  using role = role::workspace;

  Workspace() = default;
  /// Private to the engine: for one call, which small ones make without any allocation.
  explicit Workspace(engine::StackScratch& first) : first_(first.bytes) {}

  /// Private to the engine: memory that all workers of a call share.
  std::byte* shared(std::size_t bytes) { return shared_.reserve(bytes); }
  /// Private to the engine: memory of one worker; `prepare` comes first.
  std::byte* worker(Index w) {
    return uses_first_ ? first_ : workers_[static_cast<std::size_t>(w)].reserve(0);
  }
  void prepare(Index workers, std::size_t bytes) {
    uses_first_ = first_ && workers == 1 && bytes <= engine::StackScratch::size;
    if (uses_first_) return;
    if (workers_.size() < static_cast<std::size_t>(workers))
      workers_.resize(static_cast<std::size_t>(workers));
    for (Index w = 0; w < workers; ++w) workers_[static_cast<std::size_t>(w)].reserve(bytes);
  }

 private:
  engine::ScratchBuffer shared_;
  std::vector<engine::ScratchBuffer> workers_;
  std::byte* first_ = nullptr;
  bool uses_first_ = false;
};

ATTN_END_NAMESPACE
