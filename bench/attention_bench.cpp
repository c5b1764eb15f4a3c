// SPDX-License-Identifier: Apache-2.0
// Forward over sizes, scalars and threads, against the same in plain Eigen.
//
//     attention/causal/f32/n:1024/d:64/threads:1
#include <string>
#include <thread>

#include <attn/mask.hpp>

#include "forward_work.hpp"

namespace bench {
namespace {

template <class T>
void add_sizes(Index n, Index d, int threads) {
  const std::string size = size_name<T>(n, d) + "/threads:" + std::to_string(threads);
  add_benchmark("attention/full" + size, [=] {
    return compared_work<T>(n, d, all_pairs(n), threads, plain_eigen::Mask::none);
  });
  add_benchmark("attention/causal" + size, [=] {
    return compared_work<T>(n, d, causal_pairs(n), threads, plain_eigen::Mask::causal,
                            attn::Causal{});
  });
}

const bool added = [] {
  for (const Index d : {32, 64, 128})
    for (const Index n : {128, 512, 2048}) add_sizes<float>(n, d, 1);
  for (const Index n : {512, 2048}) add_sizes<double>(n, 64, 1);
  if (std::thread::hardware_concurrency() > 1) add_sizes<float>(2048, 64, 2);
  return true;
}();

}  // namespace
}  // namespace bench
