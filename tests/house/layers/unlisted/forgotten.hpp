// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: no layer names this header.
#pragma once
