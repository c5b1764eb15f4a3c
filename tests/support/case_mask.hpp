// SPDX-License-Identifier: Apache-2.0
// The mask of a case: any mask of the library, chosen at run time, behind one type.
#pragma once

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <attn/concepts.hpp>
#include <attn/mask.hpp>

#include "support/case_fields.hpp"
#include "support/case_storage.hpp"

namespace cases {

/// A mask of any type. Rule, verdict and check are those of the mask inside.
class AnyMask {
 public:
  using role = attn::role::mask;

  template <attn::MaskPart M>
  requires(!std::same_as<M, AnyMask>) AnyMask(M mask)
      : inside_(std::make_shared<Holder<M>>(std::move(mask))) {}  // NOLINT

  bool permits(const attn::Position& at, attn::Extent e) const { return inside_->permits(at, e); }
  attn::Verdict verdict(const attn::Tile& tile) const { return inside_->verdict(tile); }
  void check(const attn::engine::CallSizes& call) const { inside_->check(call); }

 private:
  struct Interface {
    virtual ~Interface() = default;
    virtual bool permits(const attn::Position& at, attn::Extent e) const = 0;
    virtual attn::Verdict verdict(const attn::Tile& tile) const = 0;
    virtual void check(const attn::engine::CallSizes& call) const = 0;
  };
  template <class M>
  struct Holder final : Interface {
    explicit Holder(M m) : mask(std::move(m)) {}
    bool permits(const attn::Position& at, attn::Extent e) const override {
      return mask.permits(at, e);
    }
    attn::Verdict verdict(const attn::Tile& tile) const override { return mask.verdict(tile); }
    void check(const attn::engine::CallSizes& call) const override {
      attn::engine::check_part(mask, call);
    }
    M mask;
  };
  std::shared_ptr<const Interface> inside_;
};

// Found by name lookup for masks of the library only.
using attn::operator&;
using attn::operator|;
using attn::operator!;

/// Every key.
inline AnyMask no_mask() { return attn::SlidingWindow{}; }

/// What a case masks with. Padding is kept apart: the bottom right of a call depends on it.
struct Masks {
  AnyMask rest = no_mask();
  std::optional<attn::KeyPadding> padding;
};

/// Where the diagonal of a mask or of ALiBi lies: "offset": 3, or "bottom_right".
struct Alignment {
  Index offset = 0;
  bool bottom_right = false;

  static Alignment read(Fields& fields) {
    Alignment result;
    for (const char* name :
         {"offset", "query_offset", "bottom_right", "from_bottom_right", "align", "alignment"}) {
      const Json* value = fields.find({name});
      if (value == nullptr) continue;
      if (value->is_string() && plain_name(value->get<std::string>()) == "bottomright")
        result.bottom_right = true;
      else if (value->is_boolean())
        result.bottom_right = value->get<bool>();
      else if (value->is_string() &&
               is_one_of(plain_name(value->get<std::string>()), {"topleft", "upperleft"}))
        result.bottom_right = false;
      else
        result.offset = static_cast<Index>(fields.number({name}, 0));
    }
    return result;
  }
};

inline attn::KeyPadding read_padding(Fields& fields) {
  attn::KeyPadding padding{integers_of(
      fields.tensor({"lengths", "length", "key_lengths", "kv_lengths", "seqlens", "key_padding"}))};
  fields.finish();
  return padding;
}

inline bool is_padding(const Fields& fields) {
  return is_one_of(fields.kind(), {"keypadding", "padding", "lengths", "keylengths"});
}

AnyMask read_mask(const Case& source, const Json& object, Storage<bool>& storage);

/// The masks that "and", "or" and "not" join: {"kind": "and", "masks": [...]}, or "a" and "b".
inline std::vector<Json> joined_masks(Fields& fields) {
  std::vector<Json> masks;
  for (const char* name : {"masks", "parts", "of", "operands", "terms", "mask", "a", "b", "left",
                           "right", "and", "or", "not", "all", "any"}) {
    const Json* value = fields.find({name});
    if (value == nullptr) continue;
    if (value->is_array())
      masks.insert(masks.end(), value->begin(), value->end());
    else
      masks.push_back(*value);
  }
  fields.finish();
  if (masks.empty()) throw Unsupported(fields.describe() + " without masks");
  return masks;
}

/// The logical operation that joins masks, or "" where the object is a mask of its own.
inline std::string operation_of(const Fields& fields) {
  const std::string& kind = fields.kind();
  const auto either = [&](const char* field) {
    return kind.empty() && fields.object().contains(field);
  };
  if (is_one_of(kind, {"and", "all", "allof", "intersection", "conjunction"}) || either("and") ||
      either("all"))
    return "and";
  if (is_one_of(kind, {"or", "any", "anyof", "union", "disjunction"}) || either("or") ||
      either("any"))
    return "or";
  if (is_one_of(kind, {"not", "complement", "negation", "inverse"}) || either("not")) return "not";
  return "";
}

inline AnyMask join_masks(const std::string& operation, Fields& fields, Storage<bool>& storage) {
  std::optional<AnyMask> joined;
  for (const Json& object : joined_masks(fields)) {
    const AnyMask mask = read_mask(fields.source(), object, storage);
    if (operation == "not") {
      if (joined) throw Unsupported("mask not with more than one mask");
      joined = AnyMask(!mask);
    } else {
      joined = !joined             ? mask
               : operation == "or" ? AnyMask(*joined | mask)
                                   : AnyMask(*joined & mask);
    }
  }
  return *joined;
}

inline AnyMask read_window(Fields& fields) {
  const Index left = static_cast<Index>(
      fields.number({"left", "left_window", "window_left", "left_window_size"}, -1));
  const Index right = static_cast<Index>(
      fields.number({"right", "right_window", "window_right", "right_window_size"}, -1));
  const Alignment place = Alignment::read(fields);
  return attn::SlidingWindow{left, right, place.offset, place.bottom_right};
}

inline AnyMask read_causal(Fields& fields) {
  Alignment place = Alignment::read(fields);
  if (fields.kind() == "causalbottomright") place.bottom_right = true;
  return attn::Causal{place.offset, place.bottom_right};
}

inline AnyMask read_documents(Fields& fields) {
  const auto ids = [&](Names names) {
    const Tensor tensor = fields.tensor(names);
    if (tensor.shape.size() > 1 && tensor.shape[0] != 1)
      throw Unsupported("mask documents with ids that differ from batch to batch");
    return integers_of(tensor);
  };
  const bool shared = fields.object().contains("ids");
  const auto query =
      shared ? ids({"ids"}) : ids({"query_ids", "query", "q_ids", "query_documents"});
  const auto key = shared ? query : ids({"key_ids", "key", "k_ids", "kv_ids", "key_documents"});
  return attn::Documents{query, key};
}

/// One mask: its kind decides, and every field must be known.
inline AnyMask read_simple_mask(Fields& fields, Storage<bool>& storage) {
  const std::string& kind = fields.kind();
  if (is_one_of(kind, {"none", "full"})) return no_mask();
  if (is_one_of(kind, {"causal", "causalbottomright"})) return read_causal(fields);
  if (is_one_of(kind, {"slidingwindow", "window", "localwindow", "local"}))
    return read_window(fields);
  if (is_one_of(kind, {"prefixlm", "prefix", "prefixcausal"}))
    return attn::PrefixLm{
        static_cast<Index>(fields.number({"n", "prefix", "prefix_length", "length"}, 0))};
  if (is_one_of(kind, {"documents", "document", "documentmask", "segments"}))
    return read_documents(fields);
  if (is_one_of(kind, {"dense", "densemask", "boolean", "bool"}))
    return attn::DenseMask{storage.copy(fields.tensor({"mask", "M", "m"}))};
  if (is_padding(fields)) return read_padding(fields);
  fields.unknown();
}

inline AnyMask read_mask(const Case& source, const Json& object, Storage<bool>& storage) {
  if (object.is_array())
    return read_mask(source, Json{{"kind", "and"}, {"masks", object}}, storage);
  Fields fields(source, object, "mask");
  const std::string operation = operation_of(fields);
  if (!operation.empty()) return join_masks(operation, fields, storage);
  const AnyMask mask = read_simple_mask(fields, storage);
  fields.finish();
  return mask;
}

/// The mask of a pipeline: null, one mask, or a list that must all permit.
inline Masks read_masks(const Case& source, const Json& object, Storage<bool>& storage) {
  Masks masks;
  if (object.is_null() || (object.is_array() && object.empty())) return masks;
  std::vector<Json> all = {object};
  if (object.is_array()) {
    all.assign(object.begin(), object.end());
  } else if (Fields fields(source, object, "mask"); operation_of(fields) == "and") {
    all = joined_masks(fields);
  }
  for (const Json& one : all) {
    Fields fields(source, one, "mask");
    if (is_padding(fields) && !masks.padding)
      masks.padding = read_padding(fields);
    else
      masks.rest = masks.rest & read_mask(source, one, storage);
  }
  return masks;
}

}  // namespace cases
