# SPDX-License-Identifier: Apache-2.0
# A saved model answers as before; one of another shape is refused.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
write_texts(${WORK}/texts.tsv)

foreach(kind none pooling additive dot scaled_dot multi_head)
  expect(0 ARGS --train texts.tsv --test texts.tsv --attention ${kind} --save ${kind}.model
    --no-baselines --metrics trained.json --epochs 8 --learning-rate 0.01)
  expect(0 ARGS --load ${kind}.model --test texts.tsv --metrics loaded.json)
  file(READ ${WORK}/trained.json trained)
  file(READ ${WORK}/loaded.json loaded)
  string(JSON before GET "${trained}" models 0 accuracy)
  string(JSON after GET "${loaded}" models 0 accuracy)
  if(NOT before EQUAL after OR before LESS 0.9)
    message(SEND_ERROR "${kind}: accuracy ${before} when trained, ${after} when loaded")
  endif()
  expect(0 ARGS --load ${kind}.model --classify "what a good film" SAYS "class pos" "good")
endforeach()

expect(2 ARGS --load dot.model --embed-dim 16 --test texts.tsv
  SAYS "dot.model:2: the saved model has another shape: its embed_dim is 48")
expect(2 ARGS --load dot.model --attention additive --classify x SAYS "another shape")
file(WRITE ${WORK}/other.tsv "neutral\tso so\n")
expect(2 ARGS --load dot.model --test other.tsv SAYS "other.tsv:1: the class 'neutral'")
