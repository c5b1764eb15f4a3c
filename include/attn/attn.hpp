// SPDX-License-Identifier: Apache-2.0
// attn: attention for C++ on Eigen. This header brings everything but the optional integrations.
#pragma once

#include <attn/attention.hpp>
#include <attn/block_mask.hpp>
#include <attn/check.hpp>
#include <attn/concepts.hpp>
#include <attn/config.hpp>
#include <attn/dual.hpp>
#include <attn/executor.hpp>
#include <attn/explain.hpp>
#include <attn/feature_map.hpp>
#include <attn/heatmap.hpp>
#include <attn/heatmap_page.hpp>
#include <attn/html.hpp>
#include <attn/kernel_attention.hpp>
#include <attn/kv_cache.hpp>
#include <attn/linear_attention.hpp>
#include <attn/mask.hpp>
#include <attn/math.hpp>
#include <attn/multi_head.hpp>
#include <attn/multi_head_parameters.hpp>
#include <attn/normalizer.hpp>
#include <attn/packed_sequences.hpp>
#include <attn/paged_kv_cache.hpp>
#include <attn/parameter.hpp>
#include <attn/plan.hpp>
#include <attn/pooling.hpp>
#include <attn/prob_mod.hpp>
#include <attn/reference.hpp>
#include <attn/result.hpp>
#include <attn/rotary.hpp>
#include <attn/score.hpp>
#include <attn/score_mod.hpp>
#include <attn/tensor_view.hpp>
#include <attn/user_function.hpp>
#include <attn/workspace.hpp>
