# SPDX-License-Identifier: GPL-2.0-only
# Makes CSV lines of what was measured on one host:
#   awk -v host=HOST -v mitigations=M -v ticks=UNIT -f figures.awk LIST FIGURES...
# LIST is what `bench --list` prints, FIGURES have a line `figure DEVICE ROW VALUE` for each turn.
# ticks is what one of the TSC is there. Of several turns the median counts; of two the lower one,
# as what disturbs a turn makes it longer. A row without a figure has `-`.

function add_row(name, of)
{
	if (name in unit)
		return
	unit[name] = of == "ticks" ? ticks : of
	order[++rows] = name
}

# The median of a row's turns on a device.
function median(device, name,    n, i, j, v, sorted)
{
	n = turns[device, name]
	for (i = 1; i <= n; i++) {
		v = value[device, name, i]
		for (j = i - 1; j > 0 && sorted[j] > v; j--)
			sorted[j + 1] = sorted[j]
		sorted[j + 1] = v
	}
	return n ? sorted[int((n + 1) / 2)] : "-"
}

function print_row(name,    kvm, keel, ratio)
{
	kvm = median("kvm", name)
	keel = median("keel", name)
	ratio = "-"
	if (kvm != "-" && keel != "-" && kvm > 0)
		ratio = sprintf("%.2f", keel / kvm)
	printf "%s,%s,%s,%s,%s,%s,%s\n", host, mitigations, name, unit[name],
		kvm == "-" ? kvm : sprintf("%.0f", kvm),
		keel == "-" ? keel : sprintf("%.0f", keel), ratio
}

# The parts of a row, which is what its name has before a slash, stand below all rows, the heaviest
# first.
function weight(name,    kvm, keel)
{
	kvm = median("kvm", name)
	keel = median("keel", name)
	return (kvm == "-" ? 0 : kvm) + (keel == "-" ? 0 : keel)
}

function before(p, q,    of_p, of_q)
{
	of_p = substr(p, 1, index(p, "/"))
	of_q = substr(q, 1, index(q, "/"))
	if (of_p != of_q)
		return of_p < of_q
	return weight(p) != weight(q) ? weight(p) > weight(q) : p < q
}

BEGIN { add_row("floor", "ticks") }

NR == FNR {
	split($0, field, "\t")
	add_row(field[1], field[2])
	next
}

# What bench does not list is of the guest's boot.
FNR == 1 {
	add_row("boot_ticks", "ticks")
	add_row("boot_outside", "ticks")
	add_row("boot_exits", "exits")
	add_row("boot_huge_pages", "pages")
}

$1 == "figure" {
	if ($3 ~ /\//)
		parts[$3]
	seen[$3]
	if ($4 != "-")
		value[$2, $3, ++turns[$2, $3]] = $4 + 0
}

END {
	for (i = 1; i <= rows; i++)
		if (order[i] in seen)
			print_row(order[i])
	while (1) {
		best = ""
		for (p in parts)
			if (best == "" || before(p, best))
				best = p
		if (best == "")
			break
		unit[best] = best ~ /^boot_exits/ ? "exits" : ticks
		print_row(best)
		delete parts[best]
	}
}
