// SPDX-License-Identifier: Apache-2.0
// A fixture of the checker: nothing is wrong with it.
// expect: anything
int main() {}
