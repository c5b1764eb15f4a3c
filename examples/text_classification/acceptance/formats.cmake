# SPDX-License-Identifier: Apache-2.0
# The ways to give data: tabs, commas, TREC, a label at the end, one file a class, folders, folds.
include(${CMAKE_CURRENT_LIST_DIR}/support.cmake)
write_texts(${WORK}/texts.tsv)
set(fast --no-baselines --epochs 3 --quiet)

set(csv "")
set(trec "")
set(last "")
set(pos "")
set(neg "")
set(labels "")
set(lines "")
foreach(i RANGE 1 20)
  string(APPEND csv "pos,\"good, number ${i}\"\nneg,\"bad, number ${i}\"\n")
  string(APPEND trec "POS:good What is good , number ${i} ?\nNEG:bad What is bad , number ${i} ?\n")
  string(APPEND last "good number ${i}\t1\nbad number ${i}\t0\n")
  string(APPEND pos "good number ${i}\n")
  string(APPEND neg "bad number ${i}\n")
  string(APPEND labels "pos\nneg\n")
  string(APPEND lines "good number ${i}\nbad number ${i}\n")
endforeach()
foreach(name csv trec last pos neg)
  file(WRITE ${WORK}/${name}.txt "${${name}}")
endforeach()
file(WRITE ${WORK}/folder/seq.in "${lines}")
file(WRITE ${WORK}/folder/label "${labels}")

expect(0 ARGS --train texts.tsv --valid texts.tsv --test texts.tsv ${fast}
  SAYS "60 training, 60 validation, 60 test texts")
expect(0 ARGS --train csv.txt --train-fraction 0.5 ${fast}
  SAYS "18 training, 2 validation, 20 test texts")
expect(0 ARGS --train trec.txt --test trec.txt ${fast} SAYS "POS:" "NEG:")
expect(0 ARGS --train last.txt --label last --cross-validate 4 ${fast} SAYS "fold 4/4" "Test set")
expect(0 ARGS --class-file pos=pos.txt neg=neg.txt --encoding windows-1252 --cross-validate 2 ${fast}
  SAYS "fold 2/2")
expect(0 ARGS --train folder --test folder ${fast} SAYS "36 training")
file(WRITE ${WORK}/vectors.txt "good 1 0 0 0\nbad 0 1 0 0\n")
expect(0 ARGS --train texts.tsv --test texts.tsv --glove vectors.txt ${fast} SAYS "Test set")
expect(2 ARGS --train texts.tsv --test texts.tsv --glove vectors.txt --embed-dim 8 ${fast}
  SAYS "vectors.txt:1: the vectors have 4 numbers, and --embed-dim asks for 8.")
