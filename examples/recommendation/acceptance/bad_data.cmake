# SPDX-License-Identifier: Apache-2.0
# Bad data and bad options: one sentence with file and line, exit code 2.
include(${CMAKE_CURRENT_LIST_DIR}/../../support/acceptance.cmake)

expect(2 ARGS --ratings missing.csv SAYS "missing.csv: there is no such file.")
file(WRITE ${WORK}/empty.csv "")
expect(2 ARGS --ratings empty.csv SAYS "empty.csv: the file holds no rating.")
file(WRITE ${WORK}/fields.dat "1::2::3::4\n1::2::3\n")
expect(2 ARGS --ratings fields.dat SAYS
  "fields.dat:2: this line has 3 fields, and the four user, item, rating and timestamp are needed."
)
file(WRITE ${WORK}/time.csv "user,item,rating,timestamp\n1,2,3,noon\n")
expect(2 ARGS --ratings time.csv SAYS "time.csv:2: the timestamp 'noon' is not a number.")
# An invalid byte cannot be written by CMake; a program that turns octal escapes into bytes can.
execute_process(COMMAND printf "1,caf\\351,3,4\\n" OUTPUT_FILE ${WORK}/latin.csv)
expect(2 ARGS --ratings latin.csv SAYS "latin.csv:1: byte 6 of this line (0xE9) is not valid UTF-8")
expect(2 ARGS --ratings latin.csv --encoding windows-1252
  SAYS "latin.csv: no user has 5 ratings or more, so there is nothing to test with.")

set(ratings "")
foreach(user RANGE 1 6)
  foreach(item RANGE 1 6)
    string(APPEND ratings "${user},i${item},5,${item}\n")
  endforeach()
endforeach()
file(WRITE ${WORK}/good.csv "${ratings}")
file(WRITE ${WORK}/titles.csv "i1,One\ni2\n")
expect(2 ARGS --ratings good.csv --titles titles.csv
  SAYS "titles.csv:2: this line has one field, and an item and its title are needed.")
expect(2 ARGS --ratings good.csv --user nobody
  SAYS "good.csv: there is no user 'nobody', whom --user names.")
expect(2 ARGS --load good.csv SAYS "good.csv:1: this is not a saved")

expect(2 ARGS --no-such-option SAYS "no-such-option")
expect(2 ARGS --min-ratings 2 SAYS "--min-ratings")
expect(2 ARGS --epochs 0 SAYS "--epochs")
expect(2 ARGS --dropout nan SAYS "--dropout: nan is no number.")
expect(2 ARGS --heads 5 SAYS "--heads must divide --embed-dim.")
expect(2 ARGS --titles titles.csv SAYS "--titles names the items of --ratings, which is missing.")
expect(2 ARGS --ratings good.csv --users 7 SAYS "--users is for the made-up catalogue")
expect_unwritable(OPTIONS save metrics html TRAINING "epoch" ARGS --ratings good.csv)
expect(0 ARGS --help SAYS "--min-ratings")
