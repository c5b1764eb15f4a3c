// SPDX-License-Identifier: Apache-2.0
// Behind the front door: arguments become views of plain scalars, are checked, and the engine runs.
#pragma once

#include <array>
#include <tuple>
#include <type_traits>
#include <utility>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/backward.hpp>
#include <attn/engine/call_check.hpp>
#include <attn/engine/forward.hpp>
#include <attn/engine/packed.hpp>
#include <attn/engine/parts.hpp>
#include <attn/result.hpp>
#include <attn/tensor_view.hpp>
#include <attn/workspace.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Views whose scalar another argument decides: A, or T itself, to be read; T to be written.
template <class T, class A = T>
using Read = std::type_identity_t<TensorView<const A>>;
template <class T>
using Written = std::type_identity_t<TensorView<T>>;

/// A workspace among the arguments, or one for this call.
template <class... Parts>
Workspace& workspace_of(Workspace& own, Parts&... parts) {
  Workspace* found = &own;
  [[maybe_unused]] const auto look = [&](auto& part) {
    if constexpr (PartOf<decltype(part), role::workspace>) found = &part;
  };
  (look(parts), ...);
  return *found;
}

/// Everything of a forward call that may be wrong.
template <class T, class Tokens, class Program, class Executor, class Out, class... Parts>
void check_forward(const char* name, const Inputs<T, Tokens>& in, const Program& program,
                   const Executor& executor, const Out& out, const Parts&... parts) {
  check_inputs(name, in, program, parts...);
  check_part(executor, CallSizes{.name = name});
  if (out.are_new) return;
  check_view(name, "O", out.output, in.q.heads(), in.n_q(), in.v.features(), in);
  check_view(name, "L", out.log_sum_exp, in.q.heads(), in.n_q(), 1, in);
  check_apart(name, "O", out.output, "L", out.log_sum_exp);
  if constexpr (has_weights<Out>) {
    check_view(name, "P", out.weights, in.q.heads(), in.n_q(), in.n_k(), in);
    check_apart(name, "P", out.weights, "O", out.output);
    check_apart(name, "P", out.weights, "L", out.log_sum_exp);
  }
}

/// Checks a forward call and runs it. `out` is Outputs, which braces may stand for, or
/// WeightedOutputs; views without data are not asked for.
template <class T, class Tokens, class Out = Outputs<T, Accumulator<T>>, class... Parts>
void forward_call(const char* name, const Inputs<T, Tokens>& in, const Out& out, Parts&... parts) {
  using A = Accumulator<T>;
  StackScratch small;
  Workspace own(small);
  with_program<A>(
      in.n_q(), in.n_k(),
      [&](const auto& program) {
        const auto& executor = part_of<role::executor>(default_executor, parts...);
        Workspace& workspace = workspace_of(own, parts...);
        check_forward(name, in, program, executor, out, parts...);
        if constexpr (is_packed<Parts...>)
          run_packed_forward(in, part_of<role::sequences>(nullptr, parts...), program, executor,
                             workspace, out);
        else
          run_forward(in, program, executor, workspace, out);
      },
      parts...);
}

/// Checks a backward call and runs it.
template <class T, class... Parts>
auto backward_call(const char* name, const Inputs<T>& in,
                   const BackwardViews<T, Accumulator<T>>& views, Parts&... parts) {
  using A = Accumulator<T>;
  StackScratch small;
  Workspace own(small);
  return with_program<A>(
      in.n_q(), in.n_k(),
      [&](const auto& program) {
        const auto& executor = part_of<role::executor>(default_executor, parts...);
        Workspace& workspace = workspace_of(own, parts...);
        check_inputs(name, in, program, parts...);
        check_part(executor, CallSizes{.name = name});
        check_backward(name, in, views);
        auto gradients = program.zero_gradients();
        if constexpr (is_packed<Parts...>)
          run_packed_backward(in, part_of<role::sequences>(nullptr, parts...), program, executor,
                              workspace, views, gradients);
        else
          run_backward(in, program, executor, workspace, views, gradients);
        return gradients;
      },
      parts...);
}

/// The expression itself where its numbers are in memory, else its value.
template <class E>
decltype(auto) in_memory(const E& e) {
  if constexpr (TensorViewLike<E> || has_direct_access<E>)
    return static_cast<const E&>(e);
  else
    return typename E::PlainObject(e);
}

/// f(inputs) with views of Q, K and V, whatever they are.
template <class Q, class K, class V, class F, class... Parts>
decltype(auto) with_inputs(const char* name, const Q& Q_, const K& K_, const V& V_, F&& f,
                           const Parts&... parts) {
  using T = typename Q::Scalar;
  if constexpr (TensorViewLike<Q>) {
    return f(Inputs<T>{Q_, K_, V_});
  } else {
    const Heads heads = part_of<role::heads>(default_heads, parts...);
    check_heads(name, heads, Q_.cols(), K_.cols(), V_.cols());
    const auto& q = in_memory(Q_);
    const auto& k = in_memory(K_);
    const auto& v = in_memory(V_);
    return f(Inputs<T>{view_columns<const T>(q.data(), q, heads.query),
                       view_columns<const T>(k.data(), k, heads.key_value_heads()),
                       view_columns<const T>(v.data(), v, heads.key_value_heads())});
  }
}

/// A plain matrix for a result: Q's storage order, unless Eigen demands another for a vector.
template <class T, int Rows, int Cols, bool RowMajor>
using ResultMatrix = Eigen::Matrix<T, Rows, Cols,
                                   (Cols == 1 && Rows != 1)   ? Eigen::ColMajor
                                   : (Rows == 1 && Cols != 1) ? Eigen::RowMajor
                                   : RowMajor                 ? Eigen::RowMajor
                                                              : Eigen::ColMajor>;

template <class Q, class V, class... Parts>
using OutputOf =
    ResultMatrix<typename Q::Scalar, Q::RowsAtCompileTime,
                 count_of<role::heads, Parts...> == 0 ? V::ColsAtCompileTime : Eigen::Dynamic,
                 Q::IsRowMajor>;

template <class Q, class... Parts>
using LogSumExpOf = Eigen::Matrix<Accumulator<typename Q::Scalar>, Eigen::Dynamic,
                                  count_of<role::heads, Parts...> == 0 ? 1 : Eigen::Dynamic>;

template <class Q>
using WeightsOf = ResultMatrix<typename Q::Scalar, Eigen::Dynamic, Eigen::Dynamic, Q::IsRowMajor>;

/// {1, heads, n_q, 1} over a matrix with a column a head.
template <class M>
auto log_sum_exp_view(M& matrix) {
  return view_columns<std::remove_pointer_t<decltype(matrix.data())>>(matrix.data(), matrix,
                                                                      matrix.cols());
}

/// {1, heads, n_q, n_k} over weights whose heads are stacked by rows.
template <class M>
auto stacked_view(M& weights, Index heads) {
  auto v = view_columns<typename M::Scalar>(weights.data(), weights, 1);
  v.shape[1] = heads;
  v.shape[2] = heads > 0 ? weights.rows() / heads : 0;
  v.strides[1] = v.shape[2] * v.strides[2];
  return v;
}

/// Makes a new output the size that a call needs.
template <class M, class T>
Outputs<T, Accumulator<T>> resize_output(M& output, const Inputs<T>& in) {
  output.resize(in.n_q(), in.q.heads() * in.v.features());
  return {view_columns<T>(output.data(), output, in.q.heads()), {}, true};
}
template <class M, class T>
TensorView<Accumulator<T>> resize_log_sum_exp(M& log_sum_exp, const Inputs<T>& in) {
  log_sum_exp.resize(in.n_q(), in.q.heads());
  return log_sum_exp_view(log_sum_exp);
}
template <class M, class T>
TensorView<T> resize_weights(M& weights, const Inputs<T>& in) {
  weights.resize(in.q.heads() * in.n_q(), in.n_k());
  return stacked_view(weights, in.q.heads());
}

/// Where results may be written.
template <class O>
consteval bool diagnose_output() {
  using Plain = std::remove_reference_t<O>;
  static_assert(is_array<Plain>,
                "attn::attention_into: the first argument must be the output O, a writable Eigen "
                "expression (or a TensorView).");
  if constexpr (TensorViewLike<Plain>) {
    constexpr bool is_const = std::is_const_v<std::remove_pointer_t<decltype(Plain::data)>>;
    static_assert(!is_const,
                  "attn::attention_into: the output O is a view of const numbers. Pass a view that "
                  "can be written to.");
    return !is_const;
  } else if constexpr (is_array<Plain>) {
    constexpr bool is_lvalue =
        (Eigen::internal::traits<std::remove_cv_t<Plain>>::Flags & Eigen::LvalueBit) != 0;
    static_assert(!std::is_const_v<Plain> && is_lvalue,
                  "attn::attention_into: the output O is const. Pass an expression that can be "
                  "written to.");
    return !std::is_const_v<Plain> && is_lvalue;
  } else {
    return false;
  }
}

template <class Q, class F, class DO>
consteval bool diagnose_forward() {
  constexpr bool is_forward = requires(const F& f) { f.output.data(), f.log_sum_exp.data(); };
  static_assert(is_forward,
                "attn::attention_backward: the fourth argument must be the result of "
                "attention_forward.");
  static_assert(
      is_array<DO>,
      "attn::attention_backward: the fifth argument must be dO, the gradient of the output.");
  if constexpr (is_array<DO>) {
    constexpr bool same = std::is_same_v<typename DO::Scalar, typename Q::Scalar>;
    static_assert(same,
                  "attn::attention_backward: dO and Q have different scalar types. Cast one of "
                  "them: dO.cast<float>().");
    return is_forward && same;
  } else {
    return false;
  }
}

/// A view of nothing would mean that a result is not asked for.
template <class T>
void check_is_there(const char* name, const char* which, const TensorView<T>& view) {
  if (!view.data && view.shape == std::array<Index, 4>{})
    raise_shape({name, ": ", which, " is a view of nothing; it must have the shape of the result"});
}

/// f(view of o). An expression without memory of its own is written through a matrix that has.
template <class T, class O, class F>
void with_output(const char* name, O&& o, Index heads, F&& f) {
  using Plain = std::remove_cvref_t<O>;
  static_assert(
      std::is_same_v<typename Plain::Scalar, T>,
      "attn::attention_into: O and Q have different scalar types. Both need the same (and "
      "log_sum_exp the accumulator type).");
  if constexpr (TensorViewLike<Plain>) {
    check_is_there(name, "O", o);
    f(TensorView<T>(o));
  } else {
    if (heads < 1) check_grouping(name, heads, heads);
    check_divides(name, "O", o.cols(), heads);
    if constexpr (has_direct_access<Plain>) {
      f(view_columns<T>(o.data(), o, heads));
    } else {
      typename Plain::PlainObject copy(o.rows(), o.cols());
      f(view_columns<T>(copy.data(), copy, heads));
      o = copy;
    }
  }
}

/// Backward between matrices: gradients go to d_query, d_key, d_value; returns those of the parts.
template <class T, class DQ, class DK, class DV, class F, class DO, class... Parts>
auto backward_into_matrices(const char* name, const Inputs<T>& in, DQ& d_query, DK& d_key,
                            DV& d_value, const F& forward, const DO& d_output_, Parts&... parts) {
  const Index heads = in.q.heads(), key_heads = in.k.heads();
  const auto& d_output = in_memory(d_output_);
  if (forward.log_sum_exp.cols() != heads)
    raise_shape({name, ": the forward result's log_sum_exp has ", forward.log_sum_exp.cols(),
                 " columns and there are ", heads, " heads; it has one a head"});
  check_divides(name, "the forward result's output", forward.output.cols(), heads);
  check_divides(name, "dO", d_output.cols(), heads);
  BackwardViews<T, Accumulator<T>> views;
  views.output = view_columns<const T>(forward.output.data(), forward.output, heads);
  views.log_sum_exp = log_sum_exp_view(forward.log_sum_exp);
  views.d_output = view_columns<const T>(d_output.data(), d_output, heads);
  using Gradients = decltype(backward_call(name, in, views, parts...));
  Gradients gradients;
  with_output<T>(name, d_query, heads, [&](const auto& dq) {
    with_output<T>(name, d_key, key_heads, [&](const auto& dk) {
      with_output<T>(name, d_value, key_heads, [&](const auto& dv) {
        views.d_query = dq;
        views.d_key = dk;
        views.d_value = dv;
        gradients = backward_call(name, in, views, parts...);
      });
    });
  });
  return gradients;
}

/// attention_backward for matrices: results of Q's, K's and V's own types.
template <class Q, class K, class V, class T, class F, class DO, class... Parts>
auto backward_of_matrices(const Inputs<T>& in, const F& forward, const DO& d_output,
                          Parts&... parts) {
  const Index heads = in.q.heads(), key_heads = in.k.heads();
  typename Q::PlainObject dq(in.n_q(), heads * in.q.features());
  typename K::PlainObject dk(in.n_k(), key_heads * in.k.features());
  typename V::PlainObject dv(in.n_k(), key_heads * in.v.features());
  auto gradients =
      backward_into_matrices("attention_backward", in, dq, dk, dv, forward, d_output, parts...);
  return Backward<decltype(dq), decltype(dk), decltype(dv), decltype(gradients)>{
      std::move(dq), std::move(dk), std::move(dv), std::move(gradients)};
}

}  // namespace engine
ATTN_END_NAMESPACE
