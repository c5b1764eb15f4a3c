// SPDX-License-Identifier: Apache-2.0
// A fixture of the checker: refused, but not with the expected words.
// expect: a sentence that no compiler says
static_assert(false, "another sentence");
