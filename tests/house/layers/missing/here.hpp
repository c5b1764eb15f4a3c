// SPDX-License-Identifier: Apache-2.0
// A fixture of the layering test: the one header that exists.
#pragma once
