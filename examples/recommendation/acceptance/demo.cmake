# SPDX-License-Identifier: Apache-2.0
# The made-up catalogue, smaller than by default: attention beats what has none, looks at what
# decides, and gives the same whatever the number of threads.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)
set(small --users 1500 --layers 1 --embed-dim 32 --epochs 15 --learning-rate 0.01)

expect(0 ARGS ${small} --metrics one.json --threads 1 --user 7
  SAYS "the catalogue is made up" "users of 240 items; 1500 users have 5 or more" "epoch 1/15"
    "histories/s" "validation HR@10" "NDCG@10 %" "popularity" "co-occurrence" "last item"
    "best possible" "which decides" "attention.html" "User 7 took" "may like" "10. "
)
if(NOT EXISTS ${WORK}/attention.html)
  message(SEND_ERROR "there is no attention.html")
endif()
file(READ ${WORK}/one.json one)
foreach(i RANGE 4)
  string(JSON ndcg_${i} GET "${one}" models ${i} ndcg)
  string(JSON hit_rate_${i} GET "${one}" models ${i} hit_rate)
endforeach()
foreach(i RANGE 1 3)
  if(NOT ndcg_0 GREATER ndcg_${i} OR NOT hit_rate_0 GREATER hit_rate_${i})
    message(SEND_ERROR "attention does not stand above the baselines: ${one}")
  endif()
endforeach()
if(NOT ndcg_0 LESS ndcg_4)
  message(SEND_ERROR "it is better than possible: ${one}")
endif()
string(JSON attention GET "${one}" deciding_share attention)
string(JSON items GET "${one}" deciding_share items)
if(NOT attention GREATER items)
  message(SEND_ERROR "the attention does not fall on what decides: ${one}")
endif()

expect(0 ARGS ${small} --metrics three.json --threads 3 --quiet)
file(READ ${WORK}/three.json three)
string(JSON repeated GET "${three}" models 0 ndcg)
if(NOT repeated STREQUAL ndcg_0)
  message(SEND_ERROR "threads change the result: ${repeated} and ${ndcg_0}")
endif()
