// SPDX-License-Identifier: Apache-2.0
// Ids of packed sequences: one for each position, and the runs of equal ids, so that a question
// about a range costs by the runs in it and not by its positions.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <tuple>
#include <vector>

#include <attn/config.hpp>
#include <attn/parameter.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Neighbouring positions with the same id, as many as there are; bounds included.
struct IdRun {
  Index id;
  Index first;
  Index last;
};

/// Ids, copied from whatever holds integers.
class DocumentIds {
 public:
  DocumentIds() = default;

  template <std::integral T>
  DocumentIds(std::initializer_list<T> ids)  // NOLINT(google-explicit-constructor)
      : DocumentIds(Integers(ids)) {}

  template <class Ids>
  requires std::constructible_from<Integers, const Ids&> DocumentIds(
      const Ids& ids)  // NOLINT(google-explicit-constructor)
      : ids_(ids) {
    for (Index k = 0; k < size(); ++k) {
      if (k == 0 || ids_(k) != ids_(k - 1)) by_position_.push_back({ids_(k), k, k});
      by_position_.back().last = k;
      run_of_.push_back(static_cast<std::uint32_t>(by_position_.size() - 1));
    }
    by_id_ = by_position_;
    std::sort(by_id_.begin(), by_id_.end(), [](const IdRun& a, const IdRun& b) {
      return std::tie(a.id, a.first) < std::tie(b.id, b.first);
    });
  }

  Index size() const { return ids_.size(); }
  Index operator()(Index k) const { return ids_(k); }

  /// The runs that meet first..last; those at its ends may reach beyond.
  std::span<const IdRun> runs(Index first, Index last) const {
    const std::size_t begin = run_of_[static_cast<std::size_t>(first)];
    const std::size_t end = run_of_[static_cast<std::size_t>(last)] + std::size_t{1};
    return {by_position_.data() + begin, end - begin};
  }

  /// Whether an id stands anywhere in first..last.
  bool holds(Index id, Index first, Index last) const {
    const auto run = std::partition_point(by_id_.begin(), by_id_.end(), [=](const IdRun& r) {
      return r.id < id || (r.id == id && r.last < first);
    });
    return run != by_id_.end() && run->id == id && run->first <= last;
  }

 private:
  Integers ids_;
  std::vector<std::uint32_t> run_of_;  ///< the run of each position
  std::vector<IdRun> by_position_;
  std::vector<IdRun> by_id_;  ///< the same, sorted by id and then by position
};

}  // namespace engine
ATTN_END_NAMESPACE
