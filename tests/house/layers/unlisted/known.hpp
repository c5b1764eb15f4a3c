// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: a header that a layer names.
#pragma once
