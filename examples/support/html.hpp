// SPDX-License-Identifier: Apache-2.0
// Text for HTML, and the frame of a page that needs nothing but itself: no network, light and dark.
#pragma once

#include <string>
#include <string_view>

namespace examples {

/// `text` with the five characters that mean something to HTML replaced.
inline std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

/// A whole document. `style` and `body` are inserted as they are; `title` is escaped.
inline std::string html_page(std::string_view title, std::string_view style,
                             std::string_view body) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>";
  page += escape_html(title);
  page += "</title>\n<style>\n";
  page += style;
  page += "</style>\n</head>\n<body>\n";
  page += body;
  page += "</body>\n</html>\n";
  return page;
}

}  // namespace examples
