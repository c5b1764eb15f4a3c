// SPDX-License-Identifier: Apache-2.0
// Zip archives of .npy files, as numpy.savez and numpy.savez_compressed write them (.npz).
//
//     member: local header, name, extra, bytes ... directory: an entry a member ... end record
//
// Source: APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3.7, 4.3.12 and 4.3.16. Archives of 4 GiB and
// more (zip64) are not read or written; .safetensors has no such limit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <attn/config.hpp>
#include <attn/engine/file.hpp>
#include <attn/engine/inflate.hpp>
#include <attn/engine/npy.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// The names and sizes of the records.
namespace zip {
inline constexpr std::uint32_t local_mark = 0x04034b50, entry_mark = 0x02014b50,
                               end_mark = 0x06054b50, zip64 = 0xffffffff;
inline constexpr std::size_t local_size = 30, entry_size = 46, end_size = 22;
inline constexpr std::uint16_t stored = 0, deflated = 8;
}  // namespace zip

class NpzFile {
 public:
  explicit NpzFile(FilePlace place) : file_(std::move(place)) { read_directory(); }

  const FilePlace& place() const { return file_.place(); }

  /// Without their ending .npy.
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& [name, member] : members_) list.push_back(name);
    return list;
  }

  /// Unpacks no more than `limit` bytes of numbers.
  StoredTensor read(const std::string& name, std::uint64_t limit) {
    const Member& m = members_.at(name);
    const std::string what = "tensor '" + name + "'";
    constexpr std::uint64_t most_of_a_header = 1 << 16;
    if (m.method == zip::deflated && m.size > limit + most_of_a_header)
      place().bad({"has ", what, ", which would unpack to ", std::to_string(m.size),
                   " bytes; in the layer it takes ", std::to_string(limit), " at most"});
    const std::string head = file_.read(m.local, zip::local_size, what.c_str());
    if (read_little<std::uint32_t>(head, 0) != zip::local_mark)
      place().bad({"is damaged: ", what, " does not begin where the directory says"});
    const std::uint64_t first = m.local + zip::local_size + read_little<std::uint16_t>(head, 26) +
                                read_little<std::uint16_t>(head, 28);
    std::string bytes = file_.read(first, m.packed, what.c_str());
    if (m.method == zip::deflated) {
      auto unpacked = Inflater(bytes, static_cast<std::size_t>(m.size)).unpack();
      bytes = unpacked ? std::move(*unpacked) : std::string();
    }
    if (bytes.size() != m.size || crc32(bytes) != m.sum)
      place().bad({"is damaged: ", what, " is not what its sum says"});
    return parse_npy(place(), what, std::move(bytes));
  }

 private:
  struct Member {
    std::uint16_t method;
    std::uint32_t sum;
    std::uint64_t packed, size, local;
  };

  [[noreturn]] void damaged(std::string_view why) const { place().bad({"is damaged: ", why}); }

  /// The end record, behind which only a comment of the length that it states may follow.
  std::string find_end(std::uint64_t& at) {
    constexpr std::uint64_t longest = zip::end_size + 0xffff;
    const std::uint64_t count = std::min(file_.size(), longest);
    const std::string tail = file_.read(file_.size() - count, count, "the end");
    for (std::size_t k = tail.size() < zip::end_size ? 0 : tail.size() - zip::end_size + 1;
         k-- > 0;)
      if (read_little<std::uint32_t>(tail, k) == zip::end_mark &&
          read_little<std::uint16_t>(tail, k + 20) == tail.size() - zip::end_size - k) {
        at = file_.size() - count + k;
        return tail.substr(k, zip::end_size);
      }
    place().bad({"is no zip archive, or it is cut off: its end record is missing"});
  }

  void read_directory() {
    std::uint64_t end_at = 0;
    const std::string end = find_end(end_at);
    const auto count = read_little<std::uint16_t>(end, 10);
    const auto size = read_little<std::uint32_t>(end, 12),
               first = read_little<std::uint32_t>(end, 16);
    if (first == zip::zip64 || size == zip::zip64) too_large();
    if (std::uint64_t{first} + size > end_at) damaged("its directory is not before its end");
    const std::string directory = file_.read(first, size, "the directory");
    std::size_t at = 0;
    for (unsigned k = 0; k < count; ++k) at = read_entry(directory, at);
    if (at != directory.size()) damaged("its directory has another size than its entries");
  }
  [[noreturn]] void too_large() const {
    place().bad({"is a zip64 archive, of 4 GiB or more; such weights are read from .safetensors"});
  }

  /// Returns where the next entry begins.
  std::size_t read_entry(const std::string& d, std::size_t at) {
    if (d.size() - at < zip::entry_size || read_little<std::uint32_t>(d, at) != zip::entry_mark)
      damaged("an entry of its directory is missing");
    const auto flags = read_little<std::uint16_t>(d, at + 8);
    const Member member{
        read_little<std::uint16_t>(d, at + 10), read_little<std::uint32_t>(d, at + 16),
        read_little<std::uint32_t>(d, at + 20), read_little<std::uint32_t>(d, at + 24),
        read_little<std::uint32_t>(d, at + 42)};
    const std::size_t name_size = read_little<std::uint16_t>(d, at + 28);
    const std::size_t more = std::size_t{read_little<std::uint16_t>(d, at + 30)} +
                             read_little<std::uint16_t>(d, at + 32);
    const std::size_t name_at = at + zip::entry_size;
    if (d.size() - name_at < name_size + more) damaged("an entry of its directory is cut off");
    if (member.packed == zip::zip64 || member.size == zip::zip64 || member.local == zip::zip64)
      too_large();
    std::string name = d.substr(name_at, name_size);
    constexpr std::string_view ending = ".npy";
    if (!name.ends_with(ending))
      place().bad({"holds '", name, "'; an .npz archive holds .npy files alone"});
    name.resize(name.size() - ending.size());
    if ((flags & 1) != 0) place().bad({"holds '", name, "' encrypted"});
    if (member.method != zip::stored && member.method != zip::deflated)
      place().bad({"holds '", name, "' packed by method ", Index{member.method},
                   "; 0 (stored) and 8 (deflated) can be read"});
    if (!members_.emplace(name, member).second)
      place().bad({"holds two tensors of the name '", name, "'"});
    return name_at + name_size + more;
  }

  InputFile file_;
  std::map<std::string, Member> members_;
};

/// An archive of stored members.
inline std::string format_npz(const FilePlace& place,
                              const std::vector<std::pair<std::string, StoredTensor>>& tensors) {
  std::string bytes, directory;
  for (const auto& [name, tensor] : tensors) {
    const std::string file = name + ".npy", content = format_npy(tensor);
    if (bytes.size() + content.size() + directory.size() > 0xfff00000)
      place.bad({"would have 4 GiB or more, too much for .npz; .safetensors has no such limit"});
    std::string common;                                     // what both headers have
    for (const unsigned word : {20u, 0u, 0u, 0u, 0x0021u})  // version, flags, stored, 1980-01-01
      append_little(common, static_cast<std::uint16_t>(word));
    append_little(common, crc32(content));
    append_little(common, static_cast<std::uint32_t>(content.size()));
    append_little(common, static_cast<std::uint32_t>(content.size()));
    append_little(common, static_cast<std::uint16_t>(file.size()));
    append_little(common, std::uint16_t{0});
    append_little(directory, zip::entry_mark);
    append_little(directory, std::uint16_t{20});
    directory += common + std::string(10, '\0');  // comment, disk, attributes
    append_little(directory, static_cast<std::uint32_t>(bytes.size()));
    directory += file;
    append_little(bytes, zip::local_mark);
    bytes += common + file + content;
  }
  const auto first = static_cast<std::uint32_t>(bytes.size());
  bytes += directory;
  append_little(bytes, zip::end_mark);
  bytes += std::string(4, '\0');
  for (int k = 0; k < 2; ++k) append_little(bytes, static_cast<std::uint16_t>(tensors.size()));
  append_little(bytes, static_cast<std::uint32_t>(directory.size()));
  append_little(bytes, first);
  append_little(bytes, std::uint16_t{0});
  return bytes;
}

}  // namespace engine
ATTN_END_NAMESPACE
