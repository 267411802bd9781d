# SPDX-License-Identifier: GPL-2.0-only
# Reads what run-list prints and writes one TAP line, without a number, for each case of each
# program:
#   awk -v prefix=HOST -v list="PROGRAM..." -v lenient=0 -f flatten.awk
# A program that ends badly without a failed case, that runs fewer cases than it planned, that
# the host did not survive or that did not get its turn counts as a failed case. With lenient=1 a
# program without any TAP stands for its exit status. Diagnostics are shown with failures only,
# except for lines that start with `# note: `.

function result(word, text)
{
	printf "%s - %s/%s\n", word, prefix, text
	if (word == "not ok")
		printf "%s", diag
	diag = ""
}

function finish(status)
{
	ended[current] = 1
	if ((status == 4 || skip) && !cases)
		result("ok", current " # SKIP " reason)
	else if (status != 0 && !bad && status != 4)
		result("not ok", current ": ended with status " status \
			(status == 137 || status == 143 ? " (time limit?)" : \
			 status == 124 ? " (the host hung)" : \
			 status == 125 ? " (the host died)" : ""))
	else if (plan >= 0 && cases != plan && !bad)
		result("not ok", current ": " cases " of " plan " cases reported")
	else if (!cases && plan != 0 && lenient)
		result("ok", current)
	else if (!cases && plan != 0)
		result("not ok", current ": reported nothing")
	current = ""
}

function case_line(word, line)
{
	cases++
	sub(/^(not )?ok[ \t]*[0-9]*[ \t]*(- )?/, "", line)
	result(word, current ": " line)
}

{ sub(/\r$/, "") }
/^@begin / {
	current = $2
	cases = bad = skip = 0
	plan = -1
	reason = "it gave no reason"
	diag = ""
	next
}
/^@end / { finish($3); next }
current == "" { next }
/^1\.\.[0-9]+/ {
	# What make runs for one target may be several programs with a plan each.
	plan = (plan < 0 ? 0 : plan) + substr($1, 4)
	if (match($0, /# *SKIP */)) {
		reason = substr($0, RSTART + RLENGTH)
		skip = 1
	}
	next
}
/^not ok/ { bad++; case_line("not ok", $0); next }
/^ok/ { case_line("ok", $0); next }
/^# note: / {
	sub(/^# note: /, "")
	printf "# %s/%s: %s\n", prefix, current, $0
	next
}
/^TAP version/ || /^# +(RUN|OK) / || /^# Starting / || /^# PASSED/ || /^# Totals/ { next }
/^$/ { next }
{
	line = $0
	sub(/^# */, "", line)
	if (line ~ /SKIP/)
		reason = line
	diag = diag "#   " line "\n"
}

END {
	if (current != "") {
		ended[current] = 1
		result("not ok", current ": the host ended in the middle of it")
	}
	n = split(list, names, " ")
	for (i = 1; i <= n; i++)
		if (!(names[i] in ended))
			result("not ok", names[i] ": not run")
}
