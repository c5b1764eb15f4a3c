// SPDX-License-Identifier: Apache-2.0
// KeyValueCache: token by token equals all at once, in every storage type, with and without window.
#include <gtest/gtest.h>

#include <attn/attn.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "support/cached.hpp"

namespace {

using attn::Index;
using attn::KeyValueCache;
using attn::MatrixX;
using Eigen::MatrixXf;
using support::MatrixXd;
using support::message_of;
using support::near;
using support::Sequence;
using support::usual;

attn::KeyValueCacheOptions usual_options() {
  return {.num_kv_heads = usual.key_heads, .head_dim = usual.d, .value_dim = usual.d_v};
}

/// Feeds the usual sequence piece by piece and compares every piece with the whole.
template <class T, class S, class... Parts>
void expect_whole(const attn::KeyValueCacheOptions& options, const MatrixXd& whole,
                  const Parts&... parts) {
  const Sequence<T> s(usual);
  KeyValueCache<T, S> cache(options);
  support::for_each_piece([&](Index first, Index count) {
    cache.append(s.K.middleRows(first, count), s.V.middleRows(first, count));
    const MatrixX<T> O = attn::attend(s.Q.middleRows(first, count), cache, parts...);
    EXPECT_TRUE(near(O, whole.middleRows(first, count), support::rounding<T>()))
        << "tokens " << first << " .. " << first + count - 1;
  });
  EXPECT_EQ(cache.size(), usual.n_k);
}

template <class Types>
class KeyValueCacheStorage : public testing::Test {};

template <class T, class S>
struct Storage {
  using Scalar = T;
  using Stored = S;
};
using Storages =
    testing::Types<Storage<float, float>, Storage<double, double>, Storage<float, Eigen::bfloat16>,
                   Storage<float, Eigen::half>, Storage<float, std::int8_t>, Storage<double, float>,
                   Storage<Eigen::half, Eigen::half>, Storage<Eigen::bfloat16, std::int8_t>>;
TYPED_TEST_SUITE(KeyValueCacheStorage, Storages);

TYPED_TEST(KeyValueCacheStorage, PieceByPieceIsOneCausalPass) {
  using T = typename TypeParam::Scalar;
  using S = typename TypeParam::Stored;
  const double coarse = std::is_same_v<T, Eigen::bfloat16> ? 8 : 1;
  const Sequence<T> s(usual);
  const MatrixXd whole = s.template whole<S>(attn::Causal{});
  KeyValueCache<T, S> cache(usual_options());
  support::for_each_piece([&](Index first, Index count) {
    cache.append(s.K.middleRows(first, count), s.V.middleRows(first, count));
    const MatrixX<T> O = attn::attend(s.Q.middleRows(first, count), cache, attn::Causal{});
    EXPECT_TRUE(near(O, whole.middleRows(first, count), coarse * support::rounding<T>()));
  });
}

TEST(KeyValueCache, PartsSeePositionsOfTheWholeSequence) {
  const Sequence<float> s(usual);
  const attn::Alibi slopes = attn::Alibi::standard(usual.heads);
  const auto by_key = attn::mask_mod([](attn::Position at) { return at.key % 7 != 3; });
  const attn::DenseBias bias{MatrixXf(support::random<float>(70, 70, 5))};
  expect_whole<float, float>(usual_options(), s.whole<float>(attn::Causal{}, slopes, by_key, bias),
                             attn::Causal{}, slopes, by_key, bias);
}

TEST(KeyValueCache, WindowIsASlidingWindow) {
  const Sequence<float> s(usual);
  for (const Index window : {1, 2, 9, 64, 100}) {
    auto options = usual_options();
    options.window = window;
    const attn::SlidingWindow mask{window - 1, 0};
    expect_whole<float, float>(options, s.whole<float>(mask), attn::Causal{});
    expect_whole<float, std::int8_t>(options, s.whole<std::int8_t>(mask), attn::Causal{});
  }
}

TEST(KeyValueCache, WindowEvictsTheOldestAndNeedsNoMoreMemory) {
  const MatrixXf K = support::random<float>(500, 6, 1), V = support::random<float>(500, 4, 2);
  KeyValueCache<float> cache(
      {.num_kv_heads = 2, .head_dim = 3, .value_dim = 2, .window = 5, .rollback = 2});
  for (Index i = 0; i < 500; ++i) {
    cache.append(K.row(i), V.row(i));
    ASSERT_EQ(cache.size(), i + 1);
    ASSERT_EQ(cache.first(), std::max<Index>(0, i + 1 - 7));
    const Index kept = cache.size() - cache.first();
    ASSERT_EQ(cache.keys().tokens(), kept);
    for (Index t = 0; t < kept; ++t) {
      ASSERT_EQ(cache.keys()(0, 1, t, 2), K(cache.first() + t, 5));
      ASSERT_EQ(cache.values()(0, 1, t, 0), V(cache.first() + t, 2));
    }
  }
  EXPECT_LE(cache.bytes(), 2 * 2 * 7 * 5 * Index(sizeof(float)) * 2);
}

TEST(KeyValueCache, TruncateTakesTokensBack) {
  const Sequence<float> s(usual), draft({.n_q = 4,
                                         .n_k = 4,
                                         .d = usual.d,
                                         .d_v = usual.d_v,
                                         .heads = usual.heads,
                                         .key_heads = usual.key_heads,
                                         .seed = 9});
  for (const Index window : {0, 6}) {
    auto options = usual_options();
    options.window = window;
    options.rollback = window > 0 ? 3 : 0;
    KeyValueCache<float> plain(options), drafted(options);
    for (Index i = 0; i < 30; ++i) {
      const auto k = s.K.row(i), v = s.V.row(i);
      plain.append(k, v);
      for (Index t = 0; t < 4; ++t) drafted.append(draft.K.row(t), draft.V.row(t));
      drafted.truncate(i);
      drafted.append(k, v);
      EXPECT_EQ(drafted.size(), i + 1);
      EXPECT_TRUE(
          support::same_bits(attn::attend(s.Q.row(i), drafted), attn::attend(s.Q.row(i), plain)));
    }
    drafted.clear();
    EXPECT_EQ(drafted.size(), 0);
    drafted.append(s.K.topRows(3), s.V.topRows(3));
    EXPECT_TRUE(near(attn::attend(s.Q.topRows(3), drafted, attn::Causal{}),
                     s.whole<float>(attn::Causal{}).topRows(3), support::rounding<float>()));
  }
}

TEST(KeyValueCache, CapacityIsAllocatedOnceAndKept) {
  auto options = usual_options();
  options.capacity = 70;
  const Sequence<float> s(usual);
  KeyValueCache<float> cache(options);
  cache.append(s.K.row(0), s.V.row(0));
  const float* where = cache.keys().data;
  cache.append(s.K.bottomRows(69), s.V.bottomRows(69));
  EXPECT_EQ(cache.keys().data, where);
  EXPECT_EQ(message_of<attn::ValueError>([&] { cache.append(s.K.row(0), s.V.row(0)); }),
            "attn::KeyValueCache: 1 tokens are to be appended to 70 and the capacity is 70; "
            "truncate or clear it, or leave the capacity out");
  EXPECT_EQ(cache.size(), 70);
  EXPECT_TRUE(near(attn::attend(s.Q, cache, attn::Causal{}), s.whole<float>(attn::Causal{}),
                   support::rounding<float>()));
}

TEST(KeyValueCache, CopiesAreIndependent) {
  const Sequence<float> s(usual);
  KeyValueCache<float> cache(usual_options());
  cache.append(s.K.topRows(8), s.V.topRows(8));
  KeyValueCache<float> copy = cache;
  copy.truncate(3);
  copy.append(s.V.leftCols(1).replicate(1, s.K.cols()), s.V);
  EXPECT_EQ(cache.size(), 8);
  EXPECT_TRUE(near(attn::attend(s.Q.topRows(8), cache, attn::Causal{}),
                   s.whole<float>(attn::Causal{}).topRows(8), support::rounding<float>()));
}

TEST(KeyValueCache, BatchesAreSequencesSideBySide) {
  constexpr Index batch = 3, n = 20, d = 6, d_v = 5;
  const auto numbers = [](Index features, std::uint64_t seed) {
    return support::random<float>(batch * n * 2 * features, 1, seed);
  };
  const MatrixXf q = numbers(2 * d, 1), k = numbers(d, 2), v = numbers(d_v, 3);
  MatrixXf o = MatrixXf::Zero(batch * n * 4 * d_v, 1);
  KeyValueCache<float, Eigen::half> cache(
      {.batch = batch, .num_kv_heads = 2, .head_dim = d, .value_dim = d_v});
  cache.append(attn::bthd(k.data(), batch, n, 2, d), attn::bhtd(v.data(), batch, 2, n, d_v));
  attn::attend_into(attn::bhtd(o.data(), batch, 4, n, d_v), attn::bthd(q.data(), batch, n, 4, d),
                    cache, attn::Causal{});
  const auto matrix = [](const attn::TensorView<const float>& view, Index b) {
    MatrixXf m(view.tokens(), view.heads() * view.features());
    for (Index t = 0; t < m.rows(); ++t)
      for (Index c = 0; c < m.cols(); ++c)
        m(t, c) = view(b, c / view.features(), t, c % view.features());
    return m;
  };
  for (Index b = 0; b < batch; ++b) {
    KeyValueCache<float, Eigen::half> one({.num_kv_heads = 2, .head_dim = d, .value_dim = d_v});
    one.append(matrix(attn::bthd(k.data(), batch, n, 2, d), b),
               matrix(attn::bhtd(v.data(), batch, 2, n, d_v), b));
    const MatrixXf alone =
        attn::attend(matrix(attn::bthd(q.data(), batch, n, 4, d), b), one, attn::Causal{});
    EXPECT_TRUE(
        support::same_bits(matrix(attn::bhtd<const float>(o.data(), batch, 4, n, d_v), b), alone));
  }
}

TEST(KeyValueCache, TakesAnyExpressionAndStride) {
  const Sequence<float> s(usual);
  KeyValueCache<float, std::int8_t> plain(usual_options()), odd(usual_options());
  plain.append(s.K, s.V);
  MatrixXf wide(140, s.K.cols());
  for (Index i = 0; i < 70; ++i) wide.row(2 * i) = s.K.row(i);
  const Eigen::Map<const MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> every_other(
      wide.data(), 70, s.K.cols(), {140, 2});
  odd.append(every_other, 2 * (s.V / 2));
  EXPECT_TRUE(support::same_bits(attn::attend(s.Q, odd), attn::attend(s.Q, plain)));
}

TEST(KeyValueCache, EveryScoreFunctionReadsEightBits) {
  const Sequence<float> s(usual);
  const MatrixXf Wq = support::random<float>(usual.d, 5, 1);
  const MatrixXf Wk = support::random<float>(usual.d, 5, 2);
  const attn::VectorX<float> v = support::random<float>(5, 1, 3);
  const attn::Additive additive{Wq, Wk, v};
  const attn::CosineSimilarity cosine{.scale = 3};
  KeyValueCache<float, std::int8_t> cache(usual_options());
  cache.append(s.K, s.V);
  for (const Index n_q : {1, 70}) {
    const auto Q = s.Q.bottomRows(n_q);
    EXPECT_TRUE(near(attn::attend(Q, cache, additive),
                     s.whole<std::int8_t>(additive).bottomRows(n_q), 1e-5));
    EXPECT_TRUE(
        near(attn::attend(Q, cache, cosine), s.whole<std::int8_t>(cosine).bottomRows(n_q), 1e-5));
  }
}

TEST(KeyValueCache, ThreadsAndWorkspaceChangeNoBit) {
  const Index n = 3000;
  const MatrixXf K = support::random<float>(n, 32, 1), V = support::random<float>(n, 32, 2);
  const MatrixXf Q = support::random<float>(40, 64, 3);
  KeyValueCache<float, std::int8_t> cache({.num_kv_heads = 2, .head_dim = 16});
  cache.append(K, V);
  attn::Workspace workspace;
  for (const Index n_q : {1, 40}) {
    const MatrixXf O = attn::attend(Q.topRows(n_q), cache, attn::Causal{});
    MatrixXf again(n_q, 64);
    attn::attend_into(again, Q.topRows(n_q), cache, attn::Causal{}, attn::Threads{3}, workspace);
    EXPECT_TRUE(support::same_bits(again, O));
  }
}

TEST(KeyValueCache, NoQueriesAndNoTokens) {
  KeyValueCache<float> cache({.head_dim = 3});
  EXPECT_EQ(cache.keys().features(), 3);
  EXPECT_EQ(attn::attend(MatrixXf(0, 3), cache).rows(), 0);
  cache.append(MatrixXf(0, 3), MatrixXf(0, 3));
  EXPECT_EQ(cache.size(), 0);
  KeyValueCache<float> window({.head_dim = 3, .window = 2});
  const MatrixXf x = support::random<float>(4, 3, 1);
  window.append(x, x);
  window.append(MatrixXf(0, 3), MatrixXf(0, 3));
  EXPECT_EQ(attn::attend(x, window, attn::Causal{}).rows(), 4) << "nothing has been evicted";
}

/// Against one key, O is its value as it is stored.
TEST(KeyValueCacheEightBits, EachNumberIsOffByTheBoundAtMost) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (int row = 0; row < 200; ++row) {
    const float size = std::pow(10.0F, float(row % 60) - 30);
    const MatrixXf v = MatrixXf::NullaryExpr(1, 40, [&] { return size * normal(random); });
    KeyValueCache<float, std::int8_t> cache({.head_dim = 40});
    cache.append(v, v);
    const MatrixXf O = attn::attend(MatrixXf(MatrixXf::Zero(1, 40)), cache);
    const float bound = v.cwiseAbs().maxCoeff() / 253;
    EXPECT_TRUE((O - v).cwiseAbs().maxCoeff() <= bound) << "numbers of about " << size;
  }
}

TEST(KeyValueCacheEightBits, ExtremeRowsStayWhatTheyAre) {
  const float huge = std::numeric_limits<float>::max();
  for (const float x : {0.F, 1e-38F, huge, -huge}) {
    KeyValueCache<float, std::int8_t> cache({.head_dim = 2});
    cache.append(MatrixXf(MatrixXf::Zero(1, 2)), MatrixXf(MatrixXf::Constant(1, 2, x)));
    const float O = attn::attend(MatrixXf(MatrixXf::Zero(1, 2)), cache)(0, 1);
    EXPECT_NEAR(O / huge, std::abs(x) < 1e-30F ? 0.F : x / huge, 1e-6F);
  }
}

/// A token with NaN or inf is NaN as a whole: for those who see it, and for nobody else.
TEST(KeyValueCacheEightBits, NonFiniteTokensReachOnlyThoseWhoSeeThem) {
  const Sequence<float> clean(usual);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const bool in_keys : {true, false})
      for (const Index n_q : {2, 40}) {
        Sequence<float> s = clean;
        (in_keys ? s.K : s.V)(68, 3) =
            bad;  // the first head pair's; the last query but one sees it
        KeyValueCache<float, std::int8_t> cache(usual_options());
        cache.append(s.K.topRows(69), s.V.topRows(69));
        const auto unseen = attn::mask_mod([](attn::Position at) { return at.key != 68; });
        const MatrixXf Q = s.Q.middleRows(69 - n_q, n_q);
        const MatrixXf hidden = attn::attend(Q, cache, attn::Causal{}, unseen);
        EXPECT_TRUE(near(hidden,
                         clean.whole<std::int8_t>(attn::Causal{}, unseen).middleRows(69 - n_q, n_q),
                         support::rounding<float>()));
        const MatrixXf seen = attn::attend(Q, cache, attn::Causal{});
        EXPECT_TRUE(seen.topRows(n_q - 1).allFinite());
        EXPECT_TRUE(std::isnan(seen(n_q - 1, 0)));
        EXPECT_TRUE(seen.row(n_q - 1).tail(2 * usual.d_v).allFinite()) << "heads of other keys";
      }
}

}  // namespace
