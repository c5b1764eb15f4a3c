// SPDX-License-Identifier: Apache-2.0
// With a Workspace, attention_into allocates nothing once the workspace has grown.
//
// Every operator new of this program counts, and so does Eigen's own malloc.
#include <cstdlib>
#include <new>

namespace {

long allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}

void* counted(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  void* memory = nullptr;
  if (posix_memalign(&memory, static_cast<std::size_t>(alignment), size ? size : 1) == 0)
    return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, alignment);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

// Lets Eigen's malloc be forbidden for a while; a breach is an assertion of Eigen's.
#define EIGEN_RUNTIME_NO_MALLOC
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <vector>

#include "support/compare.hpp"
#include "support/problem.hpp"

namespace {

using attn::Index;
using support::Case;
using support::Problem;

/// The allocations of a call, of which Eigen's may be none.
template <class F>
long allocations_of(F&& f) {
  const long before = allocations;
  Eigen::internal::set_is_malloc_allowed(false);
  f();
  Eigen::internal::set_is_malloc_allowed(true);
  return allocations - before;
}

constexpr Case several_tiles{.n_q = 300, .n_k = 290, .d = 64, .d_v = 48};

template <class T, class... Parts>
void expect_no_allocation(const Case& c, const Parts&... parts) {
  SCOPED_TRACE(c);
  const Problem<T> p(c);
  attn::MatrixX<T> O(p.dO.rows(), p.dO.cols());
  attn::Workspace workspace;
  const auto call = [&] { attn::attention_into(O, p.Q, p.K, p.V, parts..., workspace); };
  call();
  EXPECT_EQ(allocations_of(call), 0);
  EXPECT_TRUE(support::near(O, attn::attention(p.Q, p.K, p.V, parts...), 0));
}

TEST(Counter, SeesAllocations) {
  EXPECT_EQ(allocations_of([] { ::operator delete(::operator new(8)); }), 1);
  EXPECT_GE(allocations_of([] { attn::Workspace().prepare(1, 64); }), 1);
}

TEST(Workspace, SavesEveryAllocationOnceItHasGrown) {
  expect_no_allocation<float>(several_tiles);
  expect_no_allocation<double>(several_tiles, attn::Causal{}, attn::Softcap{3}, attn::Alibi{0.1});
  expect_no_allocation<float>({.n_q = 140, .n_k = 30, .d = 8, .d_v = 8, .heads = 4, .key_heads = 2},
                              attn::Heads{.query = 4, .key_value = 2}, attn::SlidingWindow{9, 9});
}

TEST(Workspace, ServesEveryNormaliser) {
  expect_no_allocation<float>(several_tiles, attn::SoftmaxWithSink{0});
  expect_no_allocation<float>(several_tiles, attn::Sigmoid{});
  expect_no_allocation<float>(several_tiles, attn::Sparsemax{});
  expect_no_allocation<float>(several_tiles, attn::Entmax15{}, attn::Dropout{.p = 0.1, .seed = 1});
}

TEST(Workspace, ServesScoreFunctionsThatTransformTheirInputs) {
  const Eigen::MatrixXf W = support::random<float>(64, 64, 5);
  const Eigen::VectorXf v = support::random<float>(64, 1, 6);
  expect_no_allocation<float>(several_tiles, attn::CosineSimilarity{});
  expect_no_allocation<float>(several_tiles, attn::Bilinear{W});
  expect_no_allocation<float>({.n_q = 20, .n_k = 30, .d = 64}, attn::Additive{W, W, v});
}

TEST(Workspace, ServesStorageTypesAndRowMajorInputs) {
  const Problem<float> p(several_tiles);
  using RowMajor = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const RowMajor Q = p.Q.cast<Eigen::bfloat16>(), K = p.K.cast<Eigen::bfloat16>(),
                 V = p.V.cast<Eigen::bfloat16>();
  RowMajor O(300, 48);
  attn::Workspace workspace;
  const auto call = [&] { attn::attention_into(O, Q, K, V, workspace); };
  call();
  EXPECT_EQ(allocations_of(call), 0);
}

/// 500 sequences of 1 to 20 tokens, each longer than the one before until they begin again.
attn::CumulativeLengths many_sequences() {
  std::vector<int> offsets{0};
  for (int b = 0; b < 500; ++b) offsets.push_back(offsets.back() + 1 + b % 20);
  return {offsets};
}

TEST(Workspace, ServesPackedSequences) {
  const Case packed{.n_q = 5250, .n_k = 5250, .d = 8, .d_v = 8};
  expect_no_allocation<float>(packed, many_sequences(), attn::Causal{});
  expect_no_allocation<float>(packed, many_sequences(), attn::Sparsemax{});
}

TEST(PackedSequences, AllocateNothingEach) {
  const Problem<float> p({.n_q = 5250, .n_k = 5250, .d = 8, .d_v = 8});
  const attn::CumulativeLengths packed = many_sequences();
  const auto forward = attn::attention_forward(p.Q, p.K, p.V, packed);
  Eigen::MatrixXf O(5250, 8), dQ = O, dK = O, dV = O;
  const auto forwards = [&](const auto&... parts) {
    return allocations_of([&] { attn::attention_into(O, p.Q, p.K, p.V, packed, parts...); });
  };
  const auto backwards = [&](const auto&... parts) {
    return allocations_of([&] {
      attn::attention_backward_into(dQ, dK, dV, p.Q, p.K, p.V, forward, p.dO, packed, parts...);
    });
  };
  EXPECT_LE(forwards(), 20);
  EXPECT_LE(forwards(attn::Threads{2}), 60);
  EXPECT_LE(backwards(), 20);
  EXPECT_LE(backwards(attn::Threads{2}), 60);
}

TEST(Workspace, ServesLinearAndKernelAttention) {
  const Problem<float> p({.n_q = 140, .n_k = 140, .d = 64, .d_v = 64});
  const Eigen::MatrixXf decay = -p.K.cwiseAbs() / 10, beta = Eigen::MatrixXf::Ones(140, 1);
  const attn::Decay<float> decays{attn::view(decay)};
  const attn::Beta<float> betas{attn::view(beta)};
  const attn::LinearAttention layer;
  attn::LinearAttentionState<float> state(1, 1, 64, 64);
  attn::Workspace workspace;
  Eigen::MatrixXf O(140, 64);
  const auto call = [&] {
    layer.into(O, p.Q, p.K, p.V, decays, betas, state, workspace);
    attn::kernel_attention_into(O, p.Q, p.K, p.V, attn::Causal{}, workspace);
  };
  call();
  EXPECT_EQ(allocations_of(call), 0);
}

TEST(Workspace, GrownByALargeCallServesSmallerOnes) {
  const Problem<float> large(several_tiles);
  attn::Workspace workspace;
  attn::attention(large.Q, large.K, large.V, workspace);
  Eigen::MatrixXf O(20, 48);
  const auto call = [&] {
    attn::attention_into(O, large.Q.topRows(20), large.K, large.V, workspace);
  };
  EXPECT_EQ(allocations_of(call), 0);
}

TEST(Workspace, KeepsNothingOfTheCallBefore) {
  const Problem<> p({.n_q = 200, .n_k = 200});
  attn::Workspace workspace;
  Problem<> spoiled = p;
  spoiled.K.setConstant(std::nan(""));
  spoiled.V.setConstant(std::nan(""));
  attn::attention(spoiled.Q, spoiled.K, spoiled.V, workspace, attn::Entmax15{});
  for (const Index n : {3, 129, 200})
    EXPECT_TRUE(
        support::near(attn::attention(p.Q.topRows(n), p.K.topRows(n), p.V.topRows(n), workspace),
                      attn::attention(p.Q.topRows(n), p.K.topRows(n), p.V.topRows(n)), 0));
}

TEST(Workspace, CanBeMoved) {
  const Problem<> p({});
  attn::Workspace first;
  attn::attention(p.Q, p.K, p.V, first);
  attn::Workspace second = std::move(first);
  EXPECT_TRUE(
      support::near(attn::attention(p.Q, p.K, p.V, second), attn::attention(p.Q, p.K, p.V), 0));
}

}  // namespace
