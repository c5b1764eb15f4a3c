// SPDX-License-Identifier: Apache-2.0
// Queries and keys side by side: token t is query t and key t + offset, as far as they exist, and a
// query sees the keys up to its own token.
//
// Causal masks have an offset; whoever sees all keys has one of n_k, so that all keys come first.
#pragma once

#include <algorithm>
#include <array>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Tokens of a chunk: 64, see linear_chunk.hpp.
inline constexpr Index walk_tokens = 64;

/// What the tokens of one step of a walk do.
enum class TokenKind { write, read, both };

/// A stretch of tokens, first .. first + count - 1, of one kind.
struct TokenStretch {
  Index first;
  Index count;
  TokenKind kind;
};

/// Query t and key t + offset stand at the same token; a query sees the keys up to its own.
class Alignment {
 public:
  Alignment(Index n_q, Index n_k, Index offset)
      : n_q_(n_q), n_k_(n_k), offset_(n_k == 0 ? -n_q : std::clamp(offset, -n_q, n_k)) {}

  Index offset() const { return offset_; }
  /// Queries before this one see no key.
  Index first_seeing() const { return std::max<Index>(0, -offset_); }

  /// f(stretch) along the tokens from the first key or seeing query to the last query. Backwards,
  /// queries write and keys read.
  template <class F>
  void for_each(bool backwards, F&& f) const {
    const Index both = first_seeing(), rest = std::clamp(n_k_ - offset_, both, n_q_);
    const TokenKind keys_only = backwards ? TokenKind::read : TokenKind::write;
    const TokenKind queries_only = backwards ? TokenKind::write : TokenKind::read;
    std::array<TokenStretch, 3> stretches{{{-offset_, std::max<Index>(0, offset_), keys_only},
                                           {both, rest - both, TokenKind::both},
                                           {rest, n_q_ - rest, queries_only}}};
    if (backwards) std::reverse(stretches.begin(), stretches.end());
    for (const TokenStretch& s : stretches)
      for (Index done = 0; done < s.count; done += walk_tokens) {
        const Index count = std::min(walk_tokens, s.count - done);
        f(TokenStretch{s.first + (backwards ? s.count - done - count : done), count, s.kind});
      }
  }

 private:
  Index n_q_;
  Index n_k_;
  Index offset_;
};

}  // namespace engine
ATTN_END_NAMESPACE
