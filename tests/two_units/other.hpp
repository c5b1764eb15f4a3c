// SPDX-License-Identifier: Apache-2.0
// What the second translation unit of the linking test offers to the first.
#pragma once

#include <Eigen/Core>

/// Causal attention, computed in other.cpp.
Eigen::MatrixXf attend_elsewhere(const Eigen::MatrixXf& Q, const Eigen::MatrixXf& K,
                                 const Eigen::MatrixXf& V);
