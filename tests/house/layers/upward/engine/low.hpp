// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: the lower header includes the upper one.
#pragma once
#include "../high.hpp"
