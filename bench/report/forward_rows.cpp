// SPDX-License-Identifier: Apache-2.0
// Forward without parts: sizes, storage orders, double.
#include "forward_call.hpp"
#include "rows.hpp"

namespace bench::report {

std::vector<Plan> forward_rows() {
  constexpr Goal d_64 = at_least(0.76, 0.84), d_128 = at_least(0.78, 0.88);
  std::vector<Plan> plans;
  for (const Index n : {512, 2048})
    for (const Index d : {64, 128}) {
      const Goal goal = d == 64 ? d_64 : d_128;
      plans.push_back(forward_plan<float, Eigen::RowMajor>("forward", n, d, goal));
      plans.push_back(forward_plan<float, Eigen::ColMajor>("forward", n, d, goal));
    }
  for (const Index n : {512, 2048})
    plans.push_back(forward_plan<float>("forward", n, 32, at_least(0.68, 0.76)));
  plans.push_back(forward_plan<float>("forward", 64, 64, at_least(0.55, 0.65)));
  plans.push_back(forward_plan<float>("forward", 128, 64, at_least(0.66, 0.75)));
  for (const Index n : {512, 2048})
    plans.push_back(forward_plan<double>("forward in double", n, 64, at_least(0.70, 0.80)));
  return plans;
}

}  // namespace bench::report
