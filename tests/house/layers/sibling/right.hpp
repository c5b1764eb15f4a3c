// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: a sibling that includes the other.
#pragma once
#include <attn/left.hpp>
