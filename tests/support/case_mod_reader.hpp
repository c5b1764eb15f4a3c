// SPDX-License-Identifier: Apache-2.0
// Reads the score and probability modifiers of a case.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/prob_mod.hpp>
#include <attn/score_mod.hpp>

#include "support/case_fields.hpp"
#include "support/case_mask.hpp"
#include "support/case_score_mod.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// Weights times a number, and times a recorded tensor where there is one (the kept pattern of a
/// dropout).
struct ProbMods {
  using role = attn::role::prob_mod;
  static constexpr bool is_linear = true;  // p' = c_ij p
  template <class A>
  using Gradient = attn::NoGradient;
  double factor = 1;
  std::vector<attn::TensorView<const double>> patterns;

  bool is_identity() const { return factor == 1 && patterns.empty(); }
  double factor_at(const attn::Position& at) const {
    double product = factor;
    for (const attn::TensorView<const double>& t : patterns)
      product *= t(t.shape[0] == 1 ? 0 : at.batch, t.shape[1] == 1 ? 0 : at.head,
                   t.shape[2] == 1 ? 0 : at.query, t.shape[3] == 1 ? 0 : at.key);
    return product;
  }
  template <class S, class At>
  S apply(const S& p, const At& at, attn::Extent) const {
    return p * attn::engine::number_for<S>(
                   at, [&](const attn::Position& position) { return factor_at(position); });
  }
  template <class S, class At, class G>
  S backward(const S&, const S& d_out, const At& at, attn::Extent extent, G&) const {
    return apply(d_out, at, extent);
  }
};

/// Which gradients an input, or a number of the pipeline, is recorded under; they add up.
using Origins = std::multimap<std::string, std::string>;

/// Reads one modifier after the other, and notes where the gradients of their parameters come from.
template <class T>
class ModReader {
 public:
  using Any = typename ScoreMods<T>::Any;

  ModReader(Storage<T>& storage, Origins& origins) : storage_(storage), origins_(origins) {}

  /// `part` is what the gradients are collected under.
  Any read(Fields& fields, const std::string& part) {
    part_ = part;
    const Any mod = read_kind(fields);
    fields.finish();
    return mod;
  }

 private:
  Any read_kind(Fields& fields) {
    const std::string& kind = fields.kind();
    if (is_one_of(kind, {"softcap", "tanhcap", "logitsoftcap"})) return softcap(fields);
    if (kind == "alibi") return alibi(fields);
    if (is_one_of(kind, {"densebias", "bias", "attentionbias", "attnbias"}))
      return dense_bias(fields);
    if (is_one_of(kind, {"relativepositionbias", "relativeposition", "relativepositional",
                         "relativepositionalbias", "relativebias", "relativedistance",
                         "addrelativeposition", "addpositiondifference", "t5bias", "t5"}))
      return fields.find({"table", "weight", "embedding", "bias"}) ? relative_bias(fields)
                                                                   : distance(fields);
    if (is_one_of(kind, {"add", "addconstant", "addbias", "constantbias", "constant", "shift"}))
      return attn::score_mod(AddNumber{}, number(fields));
    if (is_one_of(kind, {"multiply", "multiplyconstant", "scale"}))
      return attn::score_mod(MultiplyByNumber{}, number(fields));
    if (is_one_of(kind, {"causal", "causalmask"})) return attn::score_mod(HideFuture{});
    fields.unknown();
  }

  Tensor parameter(Fields& fields, Names names, const char* member) {
    origins_.emplace(fields.origin(names), part_ + "." + member);
    return fields.tensor(names);
  }
  double number(Fields& fields) {
    const Names names = {"value", "constant", "scale", "factor", "number"};
    origins_.emplace(fields.origin(names), part_ + ".parameters");
    return fields.number(names, 0);
  }
  Any softcap(Fields& fields) {
    const Names names = {"cap", "c", "softcap", "soft_cap", "value"};
    origins_.emplace(fields.origin(names), part_ + ".cap");
    return attn::Softcap{fields.number(names, 0)};
  }
  /// Without a table, the plain distance i - j, times a number where there is one.
  Any distance(Fields& fields) {
    const Names names = {"value", "constant", "scale", "factor", "number"};
    return attn::score_mod(AddDistance{}, fields.find(names) ? number(fields) : 1.0);
  }
  Any alibi(Fields& fields) {
    const Tensor slopes = parameter(fields, {"slopes", "slope"}, "slopes");
    const Alignment place = Alignment::read(fields);
    if (slopes.size() == 1) return attn::Alibi{slopes.numbers[0], place.offset, place.bottom_right};
    return attn::Alibi{vector_of<double>(slopes), place.offset, place.bottom_right};
  }
  Any dense_bias(Fields& fields) {
    const Tensor bias = parameter(fields, {"bias", "B", "b"}, "B");
    return attn::DenseBias<T>{attn::TensorView<const T>(storage_.copy(bias))};
  }
  Any relative_bias(Fields& fields) {
    const Tensor table = parameter(fields, {"table", "weight", "embedding", "bias"}, "table");
    fields.expect({"num_buckets", "buckets"}, static_cast<double>(table.shape.at(0)));
    attn::RelativePositionOptions options;
    options.bidirectional = fields.flag({"bidirectional"}, true);
    options.max_distance = static_cast<Index>(fields.number({"max_distance"}, 128));
    options.offset = Alignment::read(fields).offset;
    return attn::RelativePositionBias<T>{matrix_of<T>(table), options};
  }

  Storage<T>& storage_;
  Origins& origins_;
  std::string part_;
};

inline void read_prob_mod(Fields& fields, Storage<double>& storage, ProbMods& mods) {
  if (is_one_of(fields.kind(), {"multiply", "multiplyconstant", "scale"})) {
    fields.need({"value", "constant", "scale", "factor", "number"});
    mods.factor *= fields.number({"value", "constant", "scale", "factor", "number"}, 1);
  } else if (fields.kind() == "dropout" && fields.object().contains("mask")) {
    const double p = fields.number({"p", "rate", "probability"}, 0);
    mods.factor /= 1 - p;
    mods.patterns.push_back(storage.copy(fields.tensor({"mask"})));
  } else {
    fields.unknown();
  }
  fields.finish();
}

}  // namespace cases
