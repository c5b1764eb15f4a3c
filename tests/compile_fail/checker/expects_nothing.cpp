// SPDX-License-Identifier: Apache-2.0
// A fixture of the checker: refused, but no comment says with which words.
static_assert(false, "a sentence");
