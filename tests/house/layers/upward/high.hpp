// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: the upper header.
#pragma once
