// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: one of two siblings.
#pragma once
