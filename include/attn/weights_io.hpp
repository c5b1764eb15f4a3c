// SPDX-License-Identifier: Apache-2.0
// Weights of layers from files and to files: .safetensors, .npz, and folders of .npy, under the
// names of PyTorch's state dictionaries. Optional: needs nlohmann-json.
//
//     attn::load_weights(layer, "model.safetensors", "encoder.layers.0.self_attn.");
//     attn::save_weights(layer, "layer.npz");
//
// What a file is made of: engine/safetensors.hpp, engine/zip.hpp, engine/npy.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/engine/file.hpp>
#include <attn/engine/npy.hpp>
#include <attn/engine/safetensors.hpp>
#include <attn/engine/zip.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// Anything whose parameters.for_each(f) calls f(name, tensor).
template <class Layer>
concept HasParameters = requires(Layer& layer) {
  layer.parameters.for_each([](std::string_view, auto&) {});
};

/// A folder of .npy files, named after their tensors.
class NpyFolder {
 public:
  explicit NpyFolder(FilePlace place) : place_(std::move(place)) {
    std::error_code failed;
    for (std::filesystem::directory_iterator at(place_.path, failed), end; at != end && !failed;
         at.increment(failed))
      if (at->path().extension() == ".npy") names_.push_back(at->path().stem().string());
    if (failed) place_.bad({"cannot be listed"});
    std::sort(names_.begin(), names_.end());
  }

  const FilePlace& place() const { return place_; }
  const std::vector<std::string>& names() const { return names_; }
  StoredTensor read(const std::string& name, std::uint64_t) const {
    return read_file({place_.function, place_.path / (name + ".npy")}, "tensor '" + name + "'");
  }
  static StoredTensor read_file(const FilePlace& place, const std::string& what) {
    InputFile file(place);
    return parse_npy(place, what, file.read(0, file.size(), "it"));
  }

 private:
  FilePlace place_;
  std::vector<std::string> names_;
};

/// Of rank 1 for vectors.
template <class M>
StoredShape shape_of(const M& tensor) {
  if constexpr (M::IsVectorAtCompileTime)
    return {static_cast<std::uint64_t>(tensor.size())};
  else
    return {static_cast<std::uint64_t>(tensor.rows()), static_cast<std::uint64_t>(tensor.cols())};
}

/// A number of the bytes, by its place among them.
template <class T>
T number_at(const StoredTensor& from, std::size_t k) {
  const std::string_view bytes = from.bytes;
  switch (from.type) {
    case NumberType::half:
      return static_cast<T>(static_cast<float>(
          Eigen::numext::bit_cast<Eigen::half>(read_little<std::uint16_t>(bytes, 2 * k))));
    case NumberType::bfloat16:
      return static_cast<T>(
          std::bit_cast<float>(std::uint32_t{read_little<std::uint16_t>(bytes, 2 * k)} << 16));
    case NumberType::single:
      return static_cast<T>(std::bit_cast<float>(read_little<std::uint32_t>(bytes, 4 * k)));
    default:
      return static_cast<T>(std::bit_cast<double>(read_little<std::uint64_t>(bytes, 8 * k)));
  }
}

/// Fills a tensor of the same shape.
template <class M>
void fill(M& tensor, const StoredTensor& from) {
  const Index rows = tensor.rows(), cols = tensor.cols();
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j)
      tensor(i, j) = number_at<typename M::Scalar>(
          from, static_cast<std::size_t>(from.by_columns ? j * rows + i : i * cols + j));
}

template <class T>
inline constexpr NumberType number_type = std::is_same_v<T, double>        ? NumberType::twice
                                          : std::is_same_v<T, float>       ? NumberType::single
                                          : std::is_same_v<T, Eigen::half> ? NumberType::half
                                                                           : NumberType::bfloat16;

/// The bits of a number as an integer of its size.
template <class T>
auto bits_of(T number) {
  if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<std::uint64_t>(number);
  else if constexpr (std::is_same_v<T, float>)
    return std::bit_cast<std::uint32_t>(number);
  else
    return static_cast<std::uint16_t>(Eigen::numext::bit_cast<std::uint16_t>(number));
}

/// As numbers of type S, in C order.
template <class S, class M>
StoredTensor stored(const M& tensor) {
  StoredTensor result{number_type<S>, shape_of(tensor), false, {}};
  for (Index i = 0; i < tensor.rows(); ++i)
    for (Index j = 0; j < tensor.cols(); ++j)
      append_little(result.bytes, bits_of(static_cast<S>(tensor(i, j))));
  return result;
}

/// NumPy has no bfloat16; float holds every one of them.
template <class T>
using NpyNumber = std::conditional_t<std::is_same_v<T, Eigen::bfloat16>, float, T>;

/// The name of a parameter in a file, and the shape that it must have there.
struct WantedTensor {
  std::string name;
  StoredShape shape;
};

/// All of them, read and checked; nothing is changed yet.
template <class Archive>
std::vector<StoredTensor> read_tensors(Archive&& archive, const std::vector<WantedTensor>& wanted,
                                       std::string_view prefix) {
  const FilePlace& place = archive.place();
  const std::vector<std::string> names = archive.names();
  for (const std::string& name : names)
    if (name.starts_with(prefix) &&
        std::none_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == name; }))
      place.bad({"holds a tensor '", name, "', which the layer does not have"});
  std::vector<StoredTensor> tensors;
  for (const auto& [name, shape] : wanted) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      place.bad({"holds no tensor '", name, "', which the layer has"});
    std::uint64_t limit = size_of(NumberType::twice);
    for (const std::uint64_t n : shape) limit *= n;
    tensors.push_back(archive.read(name, limit));
    if (tensors.back().shape != shape)
      place.bad({"holds tensor '", name, "' of shape ", shape_text(tensors.back().shape),
                 "; in the layer it is ", shape_text(shape)});
  }
  return tensors;
}

[[noreturn]] inline void unknown_kind(const FilePlace& place) {
  if (place.path.extension() == ".npy")
    place.bad(
        {"is one tensor, for load_tensor and save_tensor; a layer takes .npz, .safetensors, "
         "or a folder of .npy files"});
  place.bad({"ends in neither .npz nor .safetensors, and it is no folder"});
}

}  // namespace engine

/// Sets the parameters of a layer to those of a file.
///
/// Files    .safetensors; .npz, stored or deflated, below 4 GiB; or a folder with a .npy file a
///          parameter. float16, bfloat16, float32 and float64 are brought to the layer's scalar
/// Names    those of layer.parameters.for_each behind the prefix. What does not begin with it
///          belongs to others; what does must be in the layer, and all of the layer in the file
/// Throws   FileError, one sentence, for everything that is missing, superfluous, of another
///          shape, damaged or cut off; then nothing has changed
template <engine::HasParameters Layer>
void load_weights(Layer& layer, const std::filesystem::path& path, std::string_view prefix = {}) {
  const engine::FilePlace place{"load_weights", path};
  std::vector<engine::WantedTensor> wanted;
  layer.parameters.for_each([&](std::string_view name, const auto& tensor) {
    wanted.push_back({std::string(prefix) += name, engine::shape_of(tensor)});
  });
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  if (!is_folder && path.extension() != ".npz" && path.extension() != ".safetensors")
    engine::unknown_kind(place);
  const std::vector<engine::StoredTensor> tensors =
      is_folder ? engine::read_tensors(engine::NpyFolder(place), wanted, prefix)
      : path.extension() == ".npz"
          ? engine::read_tensors(engine::NpzFile(place), wanted, prefix)
          : engine::read_tensors(engine::SafetensorsFile(place), wanted, prefix);
  std::size_t k = 0;
  layer.parameters.for_each(
      [&](std::string_view, auto& tensor) { engine::fill(tensor, tensors[k++]); });
}

/// Writes the parameters of a layer: what load_weights, NumPy and safetensors read. A folder must
/// be there; a file is replaced once all of it is written.
/// Throws   FileError where that is not possible
template <engine::HasParameters Layer>
void save_weights(const Layer& layer, const std::filesystem::path& path,
                  std::string_view prefix = {}) {
  const engine::FilePlace place{"save_weights", path};
  const bool is_safetensors = path.extension() == ".safetensors";
  std::vector<std::pair<std::string, engine::StoredTensor>> tensors;
  layer.parameters.for_each([&](std::string_view name, const auto& tensor) {
    using T = typename std::decay_t<decltype(tensor)>::Scalar;
    tensors.emplace_back(
        std::string(prefix) += name,
        is_safetensors ? engine::stored<T>(tensor) : engine::stored<engine::NpyNumber<T>>(tensor));
  });
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    for (const auto& [name, tensor] : tensors)
      engine::write_file({place.function, path / (name + ".npy")}, engine::format_npy(tensor));
  } else if (is_safetensors) {
    engine::write_file(place, engine::format_safetensors(tensors));
  } else if (path.extension() == ".npz") {
    engine::write_file(place, engine::format_npz(place, tensors));
  } else {
    engine::unknown_kind(place);
  }
}

/// A .npy file of rank 2, or of rank 1 as one column.  Throws FileError as load_weights.
template <Scalar T>
MatrixX<T> load_tensor(const std::filesystem::path& path) {
  const engine::FilePlace place{"load_tensor", path};
  const engine::StoredTensor stored = engine::NpyFolder::read_file(place, "its tensor");
  if (stored.shape.empty() || stored.shape.size() > 2)
    place.bad({"holds a tensor of shape ", engine::shape_text(stored.shape),
               "; a matrix has two dimensions, or one"});
  MatrixX<T> matrix(static_cast<Index>(stored.shape[0]),
                    stored.shape.size() == 1 ? 1 : static_cast<Index>(stored.shape[1]));
  engine::fill(matrix, stored);
  return matrix;
}

/// Writes a matrix or vector as a .npy file.
template <class E>
void save_tensor(const Eigen::DenseBase<E>& tensor, const std::filesystem::path& path) {
  const auto& plain = tensor.derived().eval();
  using S = engine::NpyNumber<typename E::Scalar>;
  engine::write_file({"save_tensor", path}, engine::format_npy(engine::stored<S>(plain)));
}

ATTN_END_NAMESPACE
