// SPDX-License-Identifier: Apache-2.0
// Pages of the examples' own have the look of the library's: its `escape_html` and `html_page`.
#pragma once

#include <attn/html.hpp>

namespace examples {

using attn::explain::escape_html;
using attn::explain::html_page;

}  // namespace examples
