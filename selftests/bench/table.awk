# SPDX-License-Identifier: GPL-2.0-only
# Writes the CSV as text, a table for each host.

BEGIN { FS = "," }

FNR == 1 { next }

$1 SUBSEP $2 != host {
	host = $1 SUBSEP $2
	split_off = 0
	printf "\n%s, mitigations=%s\n\n", $1, $2
	printf "%-34s %-12s %14s %14s %8s\n", "row", "unit", "KVM", "keel", "keel/KVM"
}

# The parts of a row stand below all rows.
$3 ~ /\// && !split_off {
	split_off = 1
	printf "\n"
}

{ printf "%-34s %-12s %14s %14s %8s\n", $3, $4, $5, $6, $7 }
