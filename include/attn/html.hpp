// SPDX-License-Identifier: Apache-2.0
// Text for HTML, and the frame of a page that needs nothing but itself: no network, light and dark.
//
//     any bytes -> escape_html -> valid UTF-8 that stands for itself wherever text may stand
//     title, style, body -> html_page -> one document
//
// Next: heatmap_page.hpp (what a page of weights shows), heatmap.hpp (the page itself).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine {

/// How many bytes the UTF-8 character at the start of `text` takes; 0 where the bytes are not one:
/// a stray continuation, a truncated or overlong sequence, a surrogate, a value above U+10FFFF.
/// Source      RFC 3629, section 4
inline std::size_t utf8_size(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return 0;
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  const unsigned second = byte(1);
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool beyond = (lead == 0xED && second > 0x9F) || (lead == 0xF4 && second > 0x8F);
  return overlong || beyond ? 0 : size;
}

/// What stands for the character that begins with `c`, where it cannot stand for itself.
inline std::string_view html_replacement(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    case '\t':
    case '\n':
    case '\r':
      return {};
    default:  // HTML has no control characters
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? "&#65533;" : std::string_view{};
  }
}

// One look for all pages: warm greys, the system's own letters, colours that follow the reader's
// choice of light or dark.
inline constexpr std::string_view kPageStyle = R"(:root {
  --page: #f6f5f2; --card: #ffffff; --text: #22252b; --faint: #63686f; --edge: #dedcd6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181d; --card: #1f2229; --text: #e6e4df; --faint: #9a9fa8; --edge: #343842;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 4rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { margin: 0 0 .25rem; font-size: 1.6rem; line-height: 1.25; }
p { margin: .25rem 0; }
.faint { color: var(--faint); }
)";

}  // namespace engine

namespace explain {

/// `text` as it stands in a page, between tags or within quotes: & < > " ' are written as entities;
/// bytes that are not UTF-8 and control characters become U+FFFD; everything else is itself.
///
/// Cost        linear in the bytes of `text`
/// Example     examples/character_model/loss_page.hpp
inline std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const std::size_t size = engine::utf8_size(text);
    const std::string_view instead =
        size == 0 ? std::string_view("&#65533;") : engine::html_replacement(text.front());
    const std::size_t taken = size == 0 ? 1 : size;
    escaped += instead.empty() ? text.substr(0, taken) : instead;
    text.remove_prefix(taken);
  }
  return escaped;
}

/// A whole document in the look of `heatmap_html`'s pages, for a page of one's own.
///
/// Params      title  escaped
///             style  CSS behind that of the frame, whose colours are --page, --card, --text,
///                    --faint and --edge; inserted as it is
///             body   HTML, inserted as it is
inline std::string html_page(std::string_view title, std::string_view style,
                             std::string_view body) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      // A page without an icon of its own would ask a server for one.
      "<link rel=\"icon\" href=\"data:,\">\n<title>";
  page += escape_html(title);
  page += "</title>\n<style>\n";
  page += engine::kPageStyle;
  page += style;
  page += "</style>\n</head>\n<body>\n";
  page += body;
  page += "</body>\n</html>\n";
  return page;
}

}  // namespace explain
ATTN_END_NAMESPACE
