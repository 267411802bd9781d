#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# seeds.sh FOLDER: inputs for the fuzzer to start from. An input is mode, CPL, seed,
# segments, CR bits, 15 bytes of instruction, then flags, rip and registers.
set -e
folder=$1
n=0
# Instructions in hexadecimal, for 64-bit and 32-bit mode alike.
while read -r insn; do
	for mode in 04 14 03 00; do
		for seed in 00 03; do
			hex=${mode}00${seed}0000$insn
			while [ ${#hex} -lt 40 ]; do
				hex+=90
			done
			hex+=020200000010000000000000
			for ((r = 0; r < 16; r++)); do
				printf -v reg '%02x%02x000000000000' $((r * 8)) $((r * 16))
				hex+=$reg
			done
			# shellcheck disable=SC2001
			printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" >"$folder/seed-$n"
			n=$((n + 1))
		done
	done
done <<END
0107
f00107
8b4608
c70612345678
f3a4
f3a5
f3ab
f2ae
f3a6
f36d
f36f
ec
ee
ff36
8f06
60
61
c8100000
c9
e800000000
c3
0fb607
0fa307
f00fab07
0fc70f
f0480fc70f
0fb10f
870f
660f6f07
660f7f07
f30f6f07
0f2007
0f22c0
0f32
0f30
0fa2
0f01d9
0f0137
f4
fb
9c
9d
0f38f007
d7
0fa5
f7f1
END
