# SPDX-License-Identifier: Apache-2.0
# Ratings and titles from files; a saved model recommends as before.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

# Users take the items of a ring in turn, each from another place on.
set(ratings "userId,movieId,rating,timestamp\n")
set(titles "movieId,title,genres\n")
foreach(user RANGE 1 40)
  foreach(step RANGE 1 8)
    math(EXPR item "(${user} + ${step}) % 20")
    math(EXPR time "1000 + ${step}")
    string(APPEND ratings "u${user},${item},4.5,${time}\n")
  endforeach()
endforeach()
foreach(item RANGE 0 19)
  string(APPEND titles "${item},\"Film, the ${item}th\",Drama|War\n")
endforeach()
file(WRITE ${WORK}/ratings.csv "${ratings}")
file(WRITE ${WORK}/titles.csv "${titles}")

set(data --ratings ratings.csv --titles titles.csv --user u3)
expect(0 ARGS ${data} --layers 1 --embed-dim 16 --context 6 --batch-size 8 --epochs 60 --patience 0
  --learning-rate 0.02 --save a.model --metrics trained.json
  SAYS "320 ratings by 40 users of 20 items; 40 users have 5 or more" "epoch 60/60"
    "Film, the 11th" "1. Film, the 12th"
)
string(REGEX MATCH "User u3 took.*\n  10[^\n]*" advice "${OUTPUT}")
expect(0 ARGS ${data} --load a.model --metrics loaded.json SAYS "1. Film, the 12th")
string(REGEX MATCH "User u3 took.*\n  10[^\n]*" again "${OUTPUT}")
if(NOT advice OR NOT advice STREQUAL again OR OUTPUT MATCHES "epoch")
  message(SEND_ERROR "the loaded model says '${again}' and said '${advice}'")
endif()
file(READ ${WORK}/trained.json trained)
file(READ ${WORK}/loaded.json loaded)
string(JSON before GET "${trained}" models 0 ndcg)
string(JSON after GET "${loaded}" models 0 ndcg)
if(NOT before STREQUAL after OR before LESS 0.9)
  message(SEND_ERROR "the NDCG was ${before}, and is ${after} when loaded")
endif()

# Histories that leave nothing to train on: what remains is popularity.
file(WRITE ${WORK}/short.csv "a,1,5,1\na,2,5,2\na,3,5,3\nb,1,5,1\nb,3,5,2\nb,2,5,3\n")
expect(0 ARGS --ratings short.csv --min-ratings 3 --epochs 2 --user a
  SAYS "6 ratings by 2 users of 3 items; 2 users have 3 or more" "nothing, having taken every item"
)

expect(2 ARGS --load a.model --heads 2 SAYS "--heads means a new model, not --load's.")
file(WRITE ${WORK}/other.csv "${ratings}u1,new,5,1\n")
expect(2 ARGS --ratings other.csv --load a.model
  SAYS "other.csv: the model in a.model does not know the item 'new', which it did not learn from.")
file(WRITE ${WORK}/damaged.model "attn recommender 1\n{\"description\": {}, \"tensors\": []}\n")
expect(2 ARGS --ratings ratings.csv --load damaged.model
  SAYS "damaged.model:2: the description of the saved model is damaged")
