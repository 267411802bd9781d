# SPDX-License-Identifier: GPL-2.0-only
# Compares keel's figures with those of the committed table:
#   awk [-v tap=1] -f compare.awk TABLE NEW        (both CSV)
# A row that is worse by more than 5% fails: a line `row host,mitigations old new +x%` for each, and
# the status. With tap=1 a line for every row instead. Rows of the table that were not measured this
# time do not count, nor do the floor, which is the CPU's, the host's huge pages, the parts of a row,
# and what a machine of its own has measured.

BEGIN {
	FS = ","
	ROOM = 1.05
	status = 0
}

function fail(text)
{
	status = 1
	print (tap ? "not ok - " : "") text
}

FNR == 1 { next }
$1 == "native" || $3 == "floor" || $3 == "boot_huge_pages" || $3 ~ /\// { next }

NR == FNR {
	old[$1, $2, $3] = $6
	next
}

{
	where = $3 " " $1 "," $2
	was = ($1, $2, $3) in old ? old[$1, $2, $3] : "none"
	compared++
}

was == "none" {
	if (tap)
		fail($3 ": not in the table: " $6 " " $4)
	else
		print where ": not in the table"
	next
}

was == "-" {
	if (tap)
		fail($3 ": no figure in the table: " $6 " " $4)
	next
}

$6 == "-" {
	fail(tap ? $3 ": no figure (table: " was ")" : where " " was " none")
	next
}

{
	change = was > 0 ? sprintf("%+.1f%%", ($6 / was - 1) * 100) : "from 0"
	if ($6 > was * ROOM)
		fail(tap ? $3 " " $6 " " $4 " (table: " was "), " change : \
			where " " was " " $6 " " change)
	else if (tap)
		print "ok - " $3 " " $6 " " $4 " (table: " was \
			($6 * ROOM < was ? ", which is old)" : ")")
}

END {
	if (!compared)
		fail("nothing to compare")
	exit status
}
