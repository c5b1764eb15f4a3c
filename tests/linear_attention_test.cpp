// SPDX-License-Identifier: Apache-2.0
// LinearAttention against the recurrence as the definition writes it, in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <attn/linear_attention.hpp>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "support/compare.hpp"
#include "support/random.hpp"

namespace {

using attn::Index;
using attn::MatrixX;
using attn::UpdateRule;
using Eigen::MatrixXd;

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

}  // namespace
