# SPDX-License-Identifier: GPL-2.0-only
# Writes the tables that Documentation/performance.rst includes:
#   awk -v stamp=TEXT -f rst.awk LIST CSV        (LIST: what `bench --list` prints)

BEGIN {
	nr_hosts = split("intel-bochs amd-bochs", hosts, " ")
	vendor["intel-bochs"] = "Intel"
	vendor["amd-bochs"] = "AMD"
	print ".. SPDX-License-Identifier: GPL-2.0-only"
	print ".. Written by `make bench UPDATE=1`; changes here are lost."
}

NR == FNR {
	split($0, field, "\t")
	meaning[field[1]] = field[3]
	next
}

FNR == 1 { FS = ","; $0 = $0; next }

{
	if (!($3 in known))
		order[++rows] = $3
	known[$3]
	unit[$3] = $4
	modes[$2]
	if ($3 ~ /^boot_exits\//)
		booted[$1, $2]
	kvm[$1, $2, $3] = $5
	keel[$1, $2, $3] = $6
	ratio[$1, $2, $3] = $7
}

function cells(h, m, row)
{
	if (!((h, m, row) in kvm))
		return ", -, -, -"
	return ", " kvm[h, m, row] ", " keel[h, m, row] ", " ratio[h, m, row]
}

function table(m,    i, h, line)
{
	if (!(m in modes))
		return
	printf "\n.. csv-table:: With %s\n   :header: row, unit", m == "off" ? \
		"``mitigations=off``" : "the kernel's default mitigations"
	for (h = 1; h <= nr_hosts; h++)
		printf ", %s KVM, %s keel, ratio", vendor[hosts[h]], vendor[hosts[h]]
	printf "\n\n"
	for (i = 1; i <= rows; i++) {
		if (order[i] ~ /\//)
			continue
		line = "   " order[i] ", " unit[order[i]]
		for (h = 1; h <= nr_hosts; h++)
			line = line cells(hosts[h], m, order[i])
		print line
	}
}

function reasons(h, m,    i, why)
{
	printf "\n.. csv-table:: Exits of the Debian guest's boot on %s, by the CPU's reasons, and the " \
		"instructions outside the guest for them, ``mitigations=off``\n   :header: reason, " \
		"KVM, keel, outside: KVM, outside: keel\n\n", vendor[h]
	for (i = 1; i <= rows; i++)
		if (order[i] ~ /^boot_exits\// && (h, m, order[i]) in kvm) {
			why = substr(order[i], 12)
			printf "   %s, %s, %s, %s, %s\n", why, kvm[h, m, order[i]],
				keel[h, m, order[i]], kvm[h, m, "boot_outside/" why],
				keel[h, m, "boot_outside/" why]
		}
}

END {
	meaning["floor"] = "an entry and an exit with the registers saved and nothing else: what the " \
		"CPU itself takes, and the limit"
	meaning["boot_ticks"] = "the Debian guest's boot, from the launcher's start to its end, without " \
		"what the host idled"
	meaning["boot_outside"] = "the same, outside the guest: the launcher's work included"
	meaning["boot_exits"] = "exits of the same boot"
	meaning["boot_huge_pages"] = "huge pages that the host cleared in it; each takes what populate_2m takes"
	print "\n" stamp
	table("off")
	table("default")
	for (h = 1; h <= nr_hosts; h++)
		if ((hosts[h], "off") in booted)
			reasons(hosts[h], "off")
	printf "\n.. csv-table:: What the rows are\n   :header: row, unit, what is measured\n\n"
	for (i = 1; i <= rows; i++)
		if (order[i] !~ /\//) {
			gsub(/"/, "\"\"", meaning[order[i]])
			printf "   %s, %s, \"%s\"\n", order[i], unit[order[i]], meaning[order[i]]
		}
}
