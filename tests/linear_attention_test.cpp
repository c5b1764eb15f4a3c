// SPDX-License-Identifier: Apache-2.0
// LinearAttention against the recurrence as the definition writes it, in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <attn/executor.hpp>
#include <attn/linear_attention.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/compare.hpp"
#include "support/errors.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::UpdateRule;
using Eigen::MatrixXd;
using support::message_of;

/// Tokens of B batches, G query heads on each of H key-value heads. Matrices hold a token a row,
/// batches below one another and heads side by side.
struct Call {
  UpdateRule rule = UpdateRule::gated_delta;
  Index B = 1, H = 1, G = 1, T = 9, dk = 4, dv = 3;
  bool decay_per_channel = false;
  bool beta_shared = false;
  double strongest_decay = 0.2;  ///< decays are drawn between 0 and minus this
  double scale = 0;
  Index chunk_size = 64;

  bool decays() const { return rule == UpdateRule::gated || rule == UpdateRule::gated_delta; }
  bool is_delta() const { return rule == UpdateRule::delta || rule == UpdateRule::gated_delta; }
  attn::LinearAttention layer() const {
    return attn::LinearAttention({.rule = rule, .scale = scale, .chunk_size = chunk_size});
  }
  friend std::ostream& operator<<(std::ostream& out, const Call& c) {
    return out << "rule " << int(c.rule) << ", B " << c.B << ", H " << c.H << ", G " << c.G
               << ", T " << c.T << ", dk " << c.dk << ", dv " << c.dv
               << (c.decay_per_channel ? ", decay a channel" : "")
               << (c.beta_shared ? ", one beta" : "") << ", decay up to " << c.strongest_decay
               << ", chunk " << c.chunk_size;
  }
};

/// The numbers of a call, rounded to T, and what the definition makes of them.
template <class T>
struct Numbers {
  using Rows = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Call c;
  Rows q, k, v, decay, beta, state;  ///< state: B H d_k rows of d_v numbers

  explicit Numbers(const Call& call, std::uint64_t seed = 1) : c(call) {
    const Index rows = c.B * c.T;
    q = rounded(support::random(rows, c.H * c.G * c.dk, seed));
    k = rounded(unit_keys(support::random(rows, c.H * c.dk, seed + 1)));
    v = rounded(support::random(rows, c.H * c.dv, seed + 2));
    const MatrixXd uniform =
        support::random(rows, c.H * (c.decay_per_channel ? c.dk : 1), seed + 3);
    decay = rounded(-c.strongest_decay / 2 * (uniform.array() + 1).matrix());
    beta = rounded(((support::random(rows, c.beta_shared ? 1 : c.H, seed + 4)).array() + 1) / 2);
    state = rounded(support::random(c.B * c.H * c.dk, c.dv, seed + 5));
  }
  static Rows rounded(const MatrixXd& m) { return m.cast<T>(); }
  MatrixXd unit_keys(MatrixXd keys) const {
    for (Index r = 0; r < keys.rows(); ++r)
      for (Index h = 0; h < c.H; ++h) keys.row(r).segment(h * c.dk, c.dk).normalize();
    return keys;
  }

  /// The recurrence: O, with the state changed in place.
  MatrixXd expected(MatrixXd& S) const {
    MatrixXd O = MatrixXd::Zero(c.B * c.T, c.H * c.G * c.dv);
    for (Index b = 0; b < c.B; ++b)
      for (Index h = 0; h < c.H; ++h) run_head(b, h, S.middleRows((b * c.H + h) * c.dk, c.dk), O);
    return O;
  }
  void run_head(Index b, Index h, Eigen::Ref<MatrixXd> S, MatrixXd& O) const {
    const double scale = c.scale == 0 ? 1 / std::sqrt(double(c.dk)) : c.scale;
    for (Index t = b * c.T; t < (b + 1) * c.T; ++t) {
      const auto wide = [&](const Rows& m, Index head, Index width) -> Eigen::VectorXd {
        return m.row(t).segment(head * width, width).transpose().template cast<double>();
      };
      const Eigen::VectorXd key = wide(k, h, c.dk);
      for (Index d = 0; c.decays() && d < c.dk; ++d)
        S.row(d) *= std::exp(double(decay(t, c.decay_per_channel ? h * c.dk + d : h)));
      Eigen::VectorXd w = wide(v, h, c.dv);
      if (c.is_delta()) w = double(beta(t, c.beta_shared ? 0 : h)) * (w - S.transpose() * key);
      S += key * w.transpose();
      for (Index g = h * c.G; g < (h + 1) * c.G; ++g)
        O.row(t).segment(g * c.dv, c.dv) = scale * (S.transpose() * wide(q, g, c.dk)).transpose();
    }
  }

  attn::TensorView<const T> tokens(const Rows& m, Index heads) const {
    return attn::bthd<const T>(m.data(), c.B, c.T, heads, m.cols() / heads);
  }
  attn::Decay<T> decay_part() const {
    return {c.decays() ? tokens(decay, c.H) : attn::TensorView<const T>{}};
  }
  attn::Beta<T> beta_part() const {
    return {c.is_delta() ? tokens(beta, beta.cols()) : attn::TensorView<const T>{}};
  }
  /// O, with the state in `past` replaced by the one behind the last token.
  template <class S, class... Parts>
  Rows run(attn::TensorView<S> state_view, Parts&&... parts) const {
    Rows O(c.B * c.T, c.H * c.G * c.dv);
    O.setConstant(std::numeric_limits<T>::quiet_NaN());
    c.layer().into(attn::bthd(O.data(), c.B, c.T, c.H * c.G, c.dv), tokens(q, c.H * c.G),
                   tokens(k, c.H), tokens(v, c.H), decay_part(), beta_part(),
                   attn::LinearAttentionStateViews<S>{state_view, state_view}, parts...);
    return O;
  }
};

template <class S>
attn::TensorView<S> state_view(const Call& c, S* numbers) {
  return attn::bhtd(numbers, c.B, c.H, c.dk, c.dv);
}

/// Of the storage type, relative to numbers of order 1 and sums over some hundred of them.
template <class T>
constexpr double tolerance = 2e-5;
template <>
constexpr double tolerance<double> = 1e-13;
template <>
constexpr double tolerance<Eigen::half> = 4e-3;

template <class T>
void expect_recurrence(const Call& c) {
  SCOPED_TRACE(c);
  using A = attn::Accumulator<T>;
  const Numbers<T> n(c);
  MatrixXd expected_state = n.state.template cast<double>();
  const MatrixXd expected = n.expected(expected_state);
  typename Numbers<A>::Rows state = n.state.template cast<A>();
  const auto O = n.run(state_view(c, state.data()));
  const double size = std::max(1.0, expected.size() > 0 ? expected.cwiseAbs().maxCoeff() : 1.0);
  EXPECT_TRUE(support::near(O, expected, tolerance<T> * size)) << "O";
  const double state_size =
      std::max(1.0, expected_state.size() > 0 ? expected_state.cwiseAbs().maxCoeff() : 1.0);
  EXPECT_TRUE(support::near(state, expected_state, tolerance<A> * state_size)) << "state";
}

constexpr UpdateRule rules[] = {UpdateRule::linear, UpdateRule::gated, UpdateRule::delta,
                                UpdateRule::gated_delta};

TEST(LinearAttention, IsTheRecurrenceWhateverTheRuleAndTheLength) {
  for (const UpdateRule rule : rules)
    for (const Index T : {0, 1, 7, 8, 63, 64, 65, 200})
      for (const bool per_channel : {false, true}) {
        const Call c{.rule = rule,
                     .B = 2,
                     .H = 2,
                     .G = 2,
                     .T = T,
                     .dk = 16,
                     .dv = 3,
                     .decay_per_channel = per_channel,
                     .beta_shared = per_channel};
        expect_recurrence<float>(c);
        expect_recurrence<double>(c);
        expect_recurrence<Eigen::half>(c);
      }
}

TEST(LinearAttention, IsTheRecurrenceWhateverTheFeatures) {
  for (const UpdateRule rule : rules)
    for (const Index dk : {1, 3, 16, 80})
      for (const Index dv : {1, 3, 16, 80}) {
        expect_recurrence<float>(
            {.rule = rule, .H = 2, .G = 3, .T = 70, .dk = dk, .dv = dv, .decay_per_channel = true});
        expect_recurrence<double>({.rule = rule, .G = 1, .T = 5, .dk = dk, .dv = dv});
      }
}

TEST(LinearAttention, StrongDecayForgetsWithoutOverflow) {
  for (const UpdateRule rule : {UpdateRule::gated, UpdateRule::gated_delta})
    for (const bool per_channel : {false, true})
      for (const double strongest : {0.0, 2.0, 20.0, 50.0, 1000.0}) {
        const Call c{.rule = rule,
                     .H = 2,
                     .T = 150,
                     .dk = 5,
                     .decay_per_channel = per_channel,
                     .strongest_decay = strongest};
        expect_recurrence<float>(c);
        expect_recurrence<double>(c);
      }
}

/// -50 a step, in all channels or in one of them, and -inf once in a while.
TEST(LinearAttention, ChannelsThatForgetAtOnceDoNotDisturbTheOthers) {
  for (const UpdateRule rule : {UpdateRule::gated, UpdateRule::gated_delta})
    for (const Index strong : {1, 4}) {
      const Call c{.rule = rule, .T = 100, .decay_per_channel = true};
      SCOPED_TRACE(c);
      Numbers<float> n(c);
      n.decay.leftCols(strong).setConstant(-50);
      n.decay.row(37).setConstant(-std::numeric_limits<float>::infinity());
      MatrixXd expected_state = n.state.cast<double>();
      const MatrixXd expected = n.expected(expected_state);
      auto state = n.state;
      EXPECT_TRUE(support::near(n.run(state_view(c, state.data())), expected, 1e-5));
      EXPECT_TRUE(support::near(state, expected_state, 1e-5));
    }
}

TEST(LinearAttention, DecaysThatGrowAreWhatTheySay) {
  const Call c{.rule = UpdateRule::gated, .T = 130, .decay_per_channel = true};
  Numbers<double> n(c);
  for (Index t = 0; t < n.decay.rows(); ++t) n.decay.row(t).setConstant(t % 40 < 20 ? 3 : -3);
  MatrixXd expected_state = n.state;
  const MatrixXd expected = n.expected(expected_state);
  auto state = n.state;
  const auto O = n.run(state_view(c, state.data()));
  const Eigen::VectorXd sizes = expected.rowwise().lpNorm<Eigen::Infinity>();
  EXPECT_TRUE(support::rows_within(O, expected, 1e-12 * (sizes.array() + 1)));
}

TEST(LinearAttention, BetaOfZeroWritesNothingAndOfOneReplaces) {
  for (const double beta : {0.0, 1.0}) {
    const Call c{.rule = UpdateRule::delta, .T = 100};
    Numbers<double> n(c);
    n.beta.setConstant(beta);
    auto state = n.state;
    n.run(state_view(c, state.data()));
    // the last key, of norm 1, reads back what was written last
    const MatrixXd read = n.k.bottomRows(1) * state;
    EXPECT_TRUE(beta == 0 ? support::near(state, n.state, 0)
                          : support::near(read, n.v.bottomRows(1), 1e-13));
  }
}

TEST(LinearAttention, TwoCallsWithTheStateBetweenAreOneLongerCall) {
  for (const UpdateRule rule : rules) {
    const Call c{.rule = rule, .B = 1, .H = 2, .T = 150, .dk = 8, .dv = 5};
    SCOPED_TRACE(c);
    const Numbers<float> n(c);
    auto state = n.state;
    const auto whole = n.run(state_view(c, state.data()));
    for (const Index cut : {1, 64, 90, 149}) {
      auto running = n.state;
      typename Numbers<float>::Rows O(c.T, whole.cols());
      for (const auto& [first, count] : {std::pair{Index(0), cut}, std::pair{cut, c.T - cut}}) {
        Call piece = c;
        piece.T = count;
        Numbers<float> part(piece);
        for (auto rows : {&Numbers<float>::q, &Numbers<float>::k, &Numbers<float>::v,
                          &Numbers<float>::decay, &Numbers<float>::beta})
          part.*rows = (n.*rows).middleRows(first, count);
        O.middleRows(first, count) = part.run(state_view(piece, running.data()));
      }
      EXPECT_TRUE(support::near(O, whole, 2e-6)) << cut;
      EXPECT_TRUE(support::near(running, state, 2e-6)) << cut;
    }
  }
}

TEST(LinearAttention, ChunkSizeAndScaleAreTaken) {
  for (const Index chunk : {1, 7, 16, 33, 1000})
    expect_recurrence<float>(
        {.H = 2, .G = 2, .T = 131, .decay_per_channel = true, .scale = -0.7, .chunk_size = chunk});
}

TEST(LinearAttention, NaNReachesItsOwnTokenAndLaterOnes) {
  for (const UpdateRule rule : rules) {
    const Call c{.rule = rule, .T = 100};
    SCOPED_TRACE(c);
    Numbers<float> n(c);
    const auto run = [&] {
      auto state = n.state;
      return n.run(state_view(c, state.data()));
    };
    const auto clean = run();
    n.v(30, 0) = std::numeric_limits<float>::quiet_NaN();
    const auto O = run();
    EXPECT_TRUE(support::near(O.topRows(30), clean.topRows(30), 1e-5));
    EXPECT_TRUE(O.col(0).tail(70).array().isNaN().all());
    EXPECT_TRUE(support::near(O.rightCols(2), clean.rightCols(2), 1e-5));
    n.v(30, 0) = 0;
    n.q(40, 0) = std::numeric_limits<float>::infinity();
    const auto with_query = run();
    EXPECT_FALSE(with_query.row(40).array().isFinite().any());
    EXPECT_TRUE(with_query.bottomRows(59).array().isFinite().all());
  }
}

/// Products of a chunk overflow here, and the recurrence does not: what is large is never read.
TEST(LinearAttention, FiniteWhereTheRecurrenceIs) {
  const Call c{.rule = UpdateRule::linear, .T = 64};
  Numbers<float> n(c);
  n.v.row(5).setZero();
  n.k.row(5).setConstant(1e30F);
  n.q.row(9).setConstant(1e30F);
  MatrixXd expected_state = n.state.cast<double>();
  const MatrixXd expected = n.expected(expected_state);
  auto state = n.state;
  const auto O = n.run(state_view(c, state.data()));
  EXPECT_TRUE(O.array().isFinite().all());
  const Eigen::VectorXd sizes = expected.rowwise().lpNorm<Eigen::Infinity>();
  EXPECT_TRUE(support::rows_within(O.cast<double>(), expected, 1e-5 * (sizes.array() + 1)));
}

TEST(LinearAttention, StatesMayBeStoredNarrowElsewhereOrLeftOut) {
  const Call c{.B = 2, .H = 2, .T = 70, .dk = 6};
  const Numbers<float> n(c);
  MatrixXd expected_state = n.state.cast<double>();
  const MatrixXd expected = n.expected(expected_state);

  Numbers<Eigen::half>::Rows narrow = n.state.cast<Eigen::half>();
  EXPECT_TRUE(support::near(n.run(state_view(c, narrow.data())), expected, 2e-3));
  EXPECT_TRUE(support::near(narrow, expected_state, 3e-3));

  // past kept, present by columns
  MatrixX<float> present(c.dv, c.B * c.H * c.dk);
  const attn::TensorView<float> by_columns(present.data(), {c.B, c.H, c.dk, c.dv},
                                           {c.H * c.dk * c.dv, c.dk * c.dv, 1, c.dk});
  Numbers<float>::Rows O(c.B * c.T, c.H * c.dv);
  const auto call = [&](const attn::LinearAttentionStateViews<float>& states) {
    c.layer().into(attn::bthd(O.data(), c.B, c.T, c.H, c.dv), n.tokens(n.q, c.H),
                   n.tokens(n.k, c.H), n.tokens(n.v, c.H), n.decay_part(), n.beta_part(), states);
  };
  const auto past = attn::bhtd(n.state.data(), c.B, c.H, c.dk, c.dv);
  call({past, by_columns});
  EXPECT_TRUE(support::near(O, expected, 1e-5));
  for (Index s = 0; s < c.B * c.H; ++s) {
    const Eigen::Map<const MatrixX<float>> one(present.data() + s * c.dk * c.dv, c.dk, c.dv);
    EXPECT_TRUE(support::near(one, expected_state.middleRows(s * c.dk, c.dk), 1e-5));
  }
  O.setZero();
  call({past, {}});
  EXPECT_TRUE(support::near(O, expected, 1e-5));

  MatrixXd from_zero = MatrixXd::Zero(expected_state.rows(), expected_state.cols());
  const MatrixXd expected_from_zero = n.expected(from_zero);
  call({});
  EXPECT_TRUE(support::near(O, expected_from_zero, 1e-5));
}

TEST(LinearAttention, MatricesWithHeadsAndAStateDecodeAsOneCall) {
  const Call c{.B = 1, .H = 2, .G = 3, .T = 20, .dk = 4, .dv = 5, .decay_per_channel = true};
  Numbers<float> n(c);
  n.state.setZero();
  MatrixXd expected_state = n.state.cast<double>();
  const MatrixXd expected = n.expected(expected_state);
  const attn::Heads heads{.query = 6, .key_value = 2};
  const Eigen::MatrixXf Q = n.q, K = n.k, V = n.v, decay = n.decay, beta = n.beta;
  const attn::LinearAttention layer;  // gated_delta

  attn::LinearAttentionState<float> state;
  const Eigen::MatrixXf O =
      layer(Q, K, V, heads, attn::Decay{decay}, attn::Beta{beta}, state, attn::Threads{2});
  EXPECT_TRUE(support::near(O, expected, 1e-5));
  EXPECT_EQ(state.view().shape, (std::array<Index, 4>{1, 2, 4, 5}));
  const Eigen::Map<const Numbers<float>::Rows> end(state.view().data, 8, 5);
  EXPECT_TRUE(support::near(end, expected_state, 1e-5));

  attn::LinearAttentionState<float> decoding(1, 2, 4, 5);
  attn::Workspace workspace;
  for (Index t = 0; t < c.T; ++t) {
    const Eigen::RowVectorXf o =
        layer.step(Q.row(t), K.row(t), V.row(t), heads, attn::Decay{decay.row(t)},
                   attn::Beta{beta.row(t)}, decoding, workspace);
    EXPECT_TRUE(support::near(o, expected.row(t), 1e-5)) << t;
  }
}

TEST(LinearAttention, TheBitsDoNotDependOnThreads) {
  const Call c{.B = 3, .H = 4, .G = 2, .T = 100, .dk = 8, .dv = 7};
  const Numbers<float> n(c);
  auto one = n.state, three = n.state;
  const auto O = n.run(state_view(c, one.data()));
  attn::Workspace workspace;
  EXPECT_TRUE(
      support::same_bits(O, n.run(state_view(c, three.data()), attn::Threads{3}, workspace)));
  EXPECT_TRUE(support::same_bits(one, three));
}

TEST(LinearAttention, OptionsOutOfRangeAreOneSentence) {
  EXPECT_EQ(
      message_of<std::invalid_argument>([] { attn::LinearAttention({.rule = UpdateRule(7)}); }),
      "attn::LinearAttention: the rule is number 7; it must be linear, gated, delta or "
      "gated_delta");
  EXPECT_EQ(
      message_of<std::invalid_argument>([] { attn::LinearAttention({.scale = std::nan("")}); }),
      "attn::LinearAttention: scale is nan; it must be finite, 0 for 1/sqrt(d_k)");
  EXPECT_EQ(message_of<std::invalid_argument>([] { attn::LinearAttention({.chunk_size = 0}); }),
            "attn::LinearAttention: chunk_size is 0; it is a number of tokens, 1 or more");
}

TEST(LinearAttention, ARuleNeedsOrForbidsItsInputs) {
  const Eigen::MatrixXf X = Eigen::MatrixXf::Ones(3, 2), one = Eigen::MatrixXf::Ones(3, 1);
  const attn::Decay decay{one};
  const attn::Beta beta{one};
  const auto call = [&](UpdateRule rule, const auto&... parts) {
    return message_of<std::invalid_argument>(
        [&] { attn::LinearAttention({.rule = rule})(X, X, X, parts...); });
  };
  EXPECT_EQ(call(UpdateRule::gated),
            "attn::LinearAttention: the rule gated needs Decay, and none "
            "was given; linear and delta do without");
  EXPECT_EQ(call(UpdateRule::linear, decay),
            "attn::LinearAttention: the rule linear takes no Decay, and one was given; gated and "
            "gated_delta take one");
  EXPECT_EQ(call(UpdateRule::delta, decay, beta),
            "attn::LinearAttention: the rule delta takes no Decay, and one was given; gated and "
            "gated_delta take one");
  EXPECT_EQ(
      call(UpdateRule::gated_delta, decay),
      "attn::LinearAttention: the rule gated_delta needs Beta, and none was given; linear and "
      "gated do without");
  EXPECT_EQ(call(UpdateRule::gated, decay, beta),
            "attn::LinearAttention: the rule gated takes no Beta, and one was given; delta and "
            "gated_delta take one");
}

/// A call whose shapes can be spoilt one by one; all memory is one array, apart from the results.
struct Spoilt {
  std::vector<float> in = std::vector<float>(4096, 0.5F), out = std::vector<float>(1024, -1);
  attn::TensorView<const float> q = attn::bhtd<const float>(in.data(), 2, 4, 3, 5);
  attn::TensorView<const float> k = attn::bhtd<const float>(in.data(), 2, 2, 3, 5);
  attn::TensorView<const float> v = attn::bhtd<const float>(in.data(), 2, 2, 3, 6);
  attn::TensorView<const float> decay = attn::bhtd<const float>(in.data(), 2, 2, 3, 1);
  attn::TensorView<const float> beta = attn::bhtd<const float>(in.data(), 2, 2, 3, 1);
  attn::TensorView<const float> past = attn::bhtd<const float>(in.data(), 2, 2, 5, 6);
  attn::TensorView<float> present = attn::bhtd(out.data() + 512, 2, 2, 5, 6);
  attn::TensorView<float> output = attn::bhtd(out.data(), 2, 4, 3, 6);

  std::string said() {
    const std::string text = message_of<std::invalid_argument>([&] {
      attn::LinearAttention().into(output, q, k, v, attn::Decay<float>{decay},
                                   attn::Beta<float>{beta},
                                   attn::LinearAttentionStateViews<float>{past, present});
    });
    const bool untouched =
        std::all_of(out.begin(), out.end(), [](float number) { return number == -1; });
    return untouched ? text : text + " (but something was written)";
  }
};

std::string said(const std::function<void(Spoilt&)>& spoil) {
  Spoilt call;
  spoil(call);
  return call.said();
}

TEST(LinearAttention, WrongSizesAreOneSentenceAndNothingIsWritten) {
  const std::string name = "attn::LinearAttention: ";
  EXPECT_EQ(said([](Spoilt&) {}), "no exception (but something was written)");
  EXPECT_EQ(said([](Spoilt& c) { c.k.shape[0] = 1; }),
            name + "Q has 2 batches, K 1 and V 2; all three need the same number");
  EXPECT_EQ(said([](Spoilt& c) { c.v.shape[1] = 1; }),
            name +
                "K has 2 heads and V has 1; each key needs one value, so both need the same "
                "number");
  EXPECT_EQ(said([](Spoilt& c) { c.q.shape[1] = 3; }),
            name +
                "2 key-value heads do not divide 3 query heads; each key-value head serves the "
                "same number of query heads");
  EXPECT_EQ(said([](Spoilt& c) { c.k.shape[1] = c.v.shape[1] = 0; }),
            name + "there are 4 query heads and 0 key-value heads; both must be 1 or more");
  EXPECT_EQ(said([](Spoilt& c) { c.k.shape[3] = 4; }),
            name +
                "a head of K has 4 features and one of Q has 5; queries and keys need the same "
                "feature size");
  EXPECT_EQ(said([](Spoilt& c) { c.v.shape[2] = 2; }),
            name +
                "Q has 3 tokens, K 3 and V 2; all three need the same number, since each token "
                "writes and then reads");
  EXPECT_EQ(said([](Spoilt& c) { c.decay.shape[3] = 2; }),
            name +
                "Decay is 3 x 4 and must be 3 x 10; it has one factor a head, or one a feature "
                "of K, for every token");
  EXPECT_EQ(said([](Spoilt& c) { c.decay.shape[1] = 1; }),
            name +
                "Decay has 2 batches and 1 heads and must have 2 and 2; it has one factor a "
                "head, or one a feature of K, for every token");
  EXPECT_EQ(said([](Spoilt& c) { c.beta.shape[1] = 3; }),
            name +
                "Beta has 2 batches and 3 heads and must have 2 and 2; it has one number a "
                "head, or one for all heads, for every token");
  EXPECT_EQ(said([](Spoilt& c) { c.past.shape[2] = 4; }),
            name +
                "the past state is 4 x 12 and must be 5 x 12; a state is d_k x d_v for every "
                "key-value head");
  EXPECT_EQ(said([](Spoilt& c) { c.present.shape[3] = 5; }),
            name +
                "the present state is 5 x 10 and must be 5 x 12; a state is d_k x d_v for every "
                "key-value head");
  EXPECT_EQ(said([](Spoilt& c) { c.output.shape[2] = 2; }),
            name + "O is 2 x 24 and must be 3 x 24; a result is never resized");
  EXPECT_EQ(said([](Spoilt& c) { c.q.data = c.output.data; }),
            name + "O overlaps Q in memory; results need memory of their own");
  EXPECT_EQ(said([](Spoilt& c) { c.v.data = c.present.data; }),
            name + "the present state overlaps V in memory; results need memory of their own");
  EXPECT_EQ(said([](Spoilt& c) { c.past.data = c.present.data + 1; }),
            name +
                "O, the past state and the present state overlap in memory; only the two "
                "states may share theirs, number by number");
}

TEST(LinearAttention, StepTakesOneToken) {
  const Eigen::MatrixXf X = Eigen::MatrixXf::Ones(3, 2);
  attn::LinearAttentionState<float> state;
  EXPECT_EQ(message_of<std::invalid_argument>(
                [&] { attn::LinearAttention({.rule = UpdateRule::linear}).step(X, X, X, state); }),
            "attn::LinearAttention: step was given 3 rows; it takes one token, and the call itself "
            "takes many");
  EXPECT_TRUE(state.empty());
}

}  // namespace
