// SPDX-License-Identifier: Apache-2.0
// Why a call does not take a faster path, in sentences: what attn::plan says of the parts.
//
//     parts computed with number by number     their scores or weights fill no packets
//     paths that sizes ask for                 and that some part does not allow
//     inputs                                   copied, converted or gathered first
//     instructions                             that the program is not compiled for
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/forward_path.hpp>
#include <attn/engine/packet.hpp>
#include <attn/engine/program.hpp>
#include <attn/engine/small.hpp>
#include <attn/engine/tile_walk.hpp>
#include <attn/mask.hpp>
#include <attn/normalizer.hpp>
#include <attn/prob_mod.hpp>
#include <attn/score.hpp>
#include <attn/score_mod.hpp>
#include <attn/tensor_view.hpp>
#include <attn/user_function.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// "Causal" for attn::Causal, whatever the compiler writes around it; arguments of templates aside.
template <class P>
std::string type_name() {
#if defined(__GNUC__)
  std::string_view name = __PRETTY_FUNCTION__;
  name.remove_prefix(name.find("P = ") + 4);
  name = name.substr(0, name.find_first_of("<;]"));
  if (const auto colons = name.rfind("::"); colons != name.npos) name.remove_prefix(colons + 2);
  return std::string(name);
#else
  return "a part";
#endif
}

/// As users write the parts of a call.
struct PartName {
  template <class P>
  static std::string of(const P&) {
    return type_name<P>();
  }
  template <class F>
  static std::string of(const ScoreFunction<F>&) {
    return "score_function";
  }
  template <class F, class... P>
  static std::string of(const ScoreMod<F, P...>&) {
    return "score_mod";
  }
  template <class F, class... P>
  static std::string of(const ProbMod<F, P...>&) {
    return "prob_mod";
  }
  template <class F>
  static std::string of(const MaskMod<F>&) {
    return "mask_mod";
  }
  template <class A, class B>
  static std::string of(const AndMask<A, B>& m) {
    return of(m.a) + " & " + of(m.b);
  }
  template <class A, class B>
  static std::string of(const OrMask<A, B>& m) {
    return "(" + of(m.a) + " | " + of(m.b) + ")";
  }
  template <class A>
  static std::string of(const NotMask<A>& m) {
    return "!(" + of(m.a) + ")";
  }
};

/// Sentences on the parts that are computed with number by number, not by packets.
template <class A>
class ScalarParts {
 public:
  std::vector<std::string> names;
  std::vector<std::string> reasons;

  /// The parts of a call; a mask only matters where tiles are mixed.
  template <class Program>
  ScalarParts(const Program& program, bool has_mixed_tiles) {
    note(program.score);
    note_all(program.mods);
    if (has_mixed_tiles) note_all(program.masks);
    note_all(program.probs);
  }

 private:
  template <class P>
  void note(const P& part) {
    const std::size_t before = reasons.size();
    look_at(part);
    if (reasons.size() > before) names.push_back(PartName::of(part));
  }
  template <class Tuple>
  void note_all(const Tuple& parts) {
    std::apply([&](const auto&... part) { (note(part), ...); }, parts);
  }

  template <class P>
  void look_at(const P& part) {
    if constexpr (MaskPart<P>)
      if constexpr (!requires(const PackPosition<A>& at) { part.permits(at, Extent{}); })
        reasons.push_back(type_name<P>() +
                          " has no rule for packets: where a tile is mixed it is " +
                          "asked score by score");
  }
  template <class F>
  void look_at(const ScoreFunction<F>&) {
    reasons.push_back("score_function is called pair by pair; its scores are no matrix product");
  }
  template <class F, class... P>
  void look_at(const ScoreMod<F, P...>&) {
    if (!takes_packs<A, F, P...>)
      reasons.push_back(
          "score_mod takes a Position, not auto: it runs once a score, not once a packet");
  }
  template <class F, class... P>
  void look_at(const ProbMod<F, P...>&) {
    if (!takes_packs<A, F, P...>)
      reasons.push_back(
          "prob_mod takes a Position, not auto: it runs once a weight, not once a packet");
  }
  template <class T>
  void look_at(const RelativePositionBias<T>&) {
    reasons.push_back(
        "RelativePositionBias looks the bucket of every score up by itself; a DenseBias made of it "
        "once is read by packets");
  }
  template <class T>
  void look_at(const DenseBias<T>& part) {
    if (!std::is_same_v<T, A>)
      reasons.push_back(
          "DenseBias is stored in another type than scores are computed in: its "
          "numbers are converted one by one");
    else if (part.B.tensor().shape[2] == 1 || part.B.tensor().strides[2] != 1)
      reasons.push_back(
          "DenseBias has its queries apart in memory: its numbers are read one by "
          "one; a column-major B is read by packets");
  }
  void look_at(const Dropout&) {
    reasons.push_back("Dropout draws a number for every weight by itself");
  }
  void look_at(const DenseMask&) {
    reasons.push_back(
        "DenseMask is read for every verdict, and score by score where a tile is "
        "mixed: BlockMask keeps the verdicts");
  }
  template <class F>
  void look_at(const MaskMod<F>&) {
    reasons.push_back("mask_mod is asked for every score: BlockMask keeps the verdicts of tiles");
  }
  template <class M, class N>
  void look_at(const AndMask<M, N>& mask) {
    look_at(mask.a);
    look_at(mask.b);
  }
  template <class M, class N>
  void look_at(const OrMask<M, N>& mask) {
    look_at(mask.a);
    look_at(mask.b);
  }
  template <class M>
  void look_at(const NotMask<M>& mask) {
    look_at(mask.a);
  }
};

/// What of the parts stands against decoding; empty where nothing does.
template <class Program>
std::string why_not_decoded(const Program& program) {
  using Score = ScoreTileOf<Program>;
  if (!Score::is_product) return PartName::of(program.score) + " is no product of Q and K";
  if (Score::projects_keys) return PartName::of(program.score) + " transforms the keys first";
  if (Program::NormalizerPart::statistic != RowStatistic::sum_of_exp)
    return PartName::of(program.normalizer) + " is no softmax";
  return Program::probs_are_linear ? "" : "prob_mod needs the sums of whole rows";
}

/// What stands against the paths of small heads.
template <class Program>
std::string why_not_small(const Program& program) {
  using Score = ScoreTileOf<Program>;
  if (!Score::is_product || Score::projects_keys || Score::projects_queries)
    return PartName::of(program.score) + " is more than a product of Q and K";
  if (Program::NormalizerPart::statistic != RowStatistic::sum_of_exp)
    return PartName::of(program.normalizer) + " is no softmax";
  const bool is_plain = !Program::has_masks && Program::mod_count + Program::prob_count == 0;
  return is_plain ? "" : "there are masks or modifiers";
}

/// Sentences on paths that the sizes ask for and the parts do not allow.
template <class T, class Program>
void add_path_reasons(const Inputs<T>& in, const Program& program, ForwardPath path,
                      std::vector<std::string>& reasons) {
  const auto add = [&](const char* path_name, const std::string& obstacle) {
    if (!obstacle.empty())
      reasons.push_back(std::string("sizes so small would take ") + path_name + ", but " +
                        obstacle);
  };
  const bool narrow = !std::is_same_v<T, typename Program::Accumulator>;
  if (path != ForwardPath::loops && is_tiny(in))
    add("plain loops", narrow ? "the numbers are stored in 16 bits" : why_not_small(program));
  else if (path != ForwardPath::small && path != ForwardPath::loops && is_small(in))
    add("all keys at once", why_not_small(program));
  if (path != ForwardPath::tiles) return;
  if (decodes(in)) add("decoding", why_not_decoded(program));
  if (Program::NormalizerPart::statistic == RowStatistic::threshold)
    reasons.push_back(PartName::of(program.normalizer) +
                      " needs whole rows: the scores of a block are kept, then computed again");
  else if (!Program::probs_are_linear)
    reasons.push_back(
        "prob_mod needs the finished weights: scores are computed twice, for the sums of their "
        "rows and for their weights");
}

/// Sentences on Q, K and V in memory.
template <class T, class A, class Q, class K, class V>
void add_input_reasons(const Inputs<T>& in, ForwardPath path, std::vector<std::string>& reasons) {
  const auto look_at = [&]<class E>(const char* name, std::type_identity<E>,
                                    const TensorView<const T>& view) {
    if constexpr (!TensorViewLike<E>)
      if constexpr (!has_direct_access<E>)
        reasons.push_back(std::string(name) +
                          " is an expression: it is computed into memory first");
    const bool contiguous = view.strides[3] == 1 || view.strides[2] == 1;
    if (std::is_same_v<T, A> && !contiguous && view.features() > 1 && path == ForwardPath::tiles)
      reasons.push_back(std::string(name) + " has neither tokens nor features side by side in " +
                        "memory: its numbers are gathered");
  };
  look_at("Q", std::type_identity<Q>(), in.q);
  look_at("K", std::type_identity<K>(), in.k);
  look_at("V", std::type_identity<V>(), in.v);
  if (!std::is_same_v<T, A> && path == ForwardPath::tiles)
    reasons.push_back(
        "Q, K and V are stored in 16 bits: they are converted for every block of queries");
}

#if defined(EIGEN_VECTORIZE_AVX512)
inline constexpr const char* instruction_set = "AVX-512";
#elif defined(EIGEN_VECTORIZE_AVX2) && defined(EIGEN_VECTORIZE_FMA)
inline constexpr const char* instruction_set = "AVX2 and FMA";
#elif defined(EIGEN_VECTORIZE_AVX)
inline constexpr const char* instruction_set = "AVX";
#elif defined(EIGEN_VECTORIZE_SSE)
inline constexpr const char* instruction_set = "SSE";
#elif defined(EIGEN_VECTORIZE_NEON)
inline constexpr const char* instruction_set = "NEON";
#elif defined(EIGEN_VECTORIZE)
inline constexpr const char* instruction_set = "what Eigen vectorises for";
#else
inline constexpr const char* instruction_set = "no vectors";
#endif

/// Sentences on what the program is compiled for.
template <class A>
void add_instruction_reasons(std::vector<std::string>& reasons) {
  if (Pack<A>::width == 1)
    reasons.push_back("Eigen's vector instructions are off: a packet is one number");
#if defined(EIGEN_VECTORIZE_SSE) && !defined(EIGEN_VECTORIZE_AVX)
  reasons.push_back(
      "the program is compiled for SSE: -march=native lets it use what this machine has");
#endif
}

}  // namespace engine
ATTN_END_NAMESPACE
