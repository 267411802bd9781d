# SPDX-License-Identifier: GPL-2.0-only
# Which functions the instructions of a trace belong to: SYMBOLS TRACE, the first one lines
# `address name [place]`, sorted, the second one what Bochs's debugger has printed. Variables:
#   per	how many operations it was; 0: one for each exit of the guest
#   raw	nothing: a table; one: the instructions from one exit to the next; all: all of them

function hex(s,    i, n)
{
	n = 0
	for (i = 1; i <= length(s); i++)
		n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
	return n
}

# The last symbol at or before an address; both have 16 digits, so they sort as text does.
function find(addr,    low, high, mid)
{
	if (addr in found)
		return found[addr]
	low = 0
	high = symbols + 1
	while (high - low > 1) {
		mid = int((low + high) / 2)
		if ((at[mid] "") <= (addr ""))
			low = mid
		else
			high = mid
	}
	return found[addr] = low
}

# The program is at one address in the host's user mode and in its guests; a guest's code has
# privilege 0.
function place_of(selector, addr)
{
	if ((addr "") >= "8000000000000000")
		return ""
	return hex(selector) % 4 ? "[user]" : "[guest]"
}

# What is neither the kernel's nor the program's, which ends below 4 GiB, has no name: the vDSO.
function name_of(i, addr, place,    name)
{
	name = what[i]
	if (!i || (place != "" && substr(addr, 1, 8) != "00000000"))
		name = "?"
	else if (place == "")
		place = from[i]
	return place == "" ? name : name " " place
}


# `name+0xOFFSET [place]`; a difference of two of these has 32 bits, and awk's numbers 53.
function with_offset(name, i, addr,    part, parts)
{
	if (substr(name, 1, 1) == "?")
		return name
	parts = split(name, part, " ")
	return sprintf("%s+0x%x%s", part[1], hex(substr(addr, 9)) - hex(substr(at[i], 9)),
		       parts > 1 ? " " part[2] : "")
}

FNR == 1 {
	file++
}

file == 1 {
	# Several names of one address: the first one.
	if (($1 "") == (at[symbols] ""))
		next
	at[++symbols] = $1
	what[symbols] = $2
	from[symbols] = $3
	next
}

# (0).[TIME] [PHYSICAL] SELECTOR:LINEAR (CONTEXT): INSTRUCTION ; BYTES
/^\(0\)\.\[[0-9]+\] / {
	# The debugger does not know nested page tables, and shows nothing of AMD's guests.
	if (/physical address not available/) {
		place = "[guest]"
		i = 0
		name = "? [guest]"
	} else {
		split($3, where, ":")
		addr = where[2]
		place = place_of(where[1], addr)
		i = find(addr)
		name = name_of(i, addr, place)
	}
	n++
	count[name]++
	if (in_guest && place != "[guest]")
		exit_at[++exits] = n
	in_guest = place == "[guest]"
	if (in_guest)
		guest++
	if (raw == "")
		next
	insn = $0
	if (!sub(/^.*ctxt\): /, "", insn))
		insn = ""
	sub(/ *;[^;]*$/, "", insn)
	text[n] = sprintf("%-48s %s", with_offset(name, i, addr), insn)
}

END {
	if (!n)
		exit 1
	if (raw != "") {
		first = 1
		last = n
		if (raw == "one" && exits > 1) {
			first = exit_at[int(exits / 2)]
			last = exit_at[int(exits / 2) + 1] - 1
		}
		for (i = first; i <= last; i++)
			print text[i]
		exit
	}
	if (!per)
		per = exits ? exits : 1
	printf "%d instructions, %d of them in the guest; %d exits\n", n, guest, exits
	printf "%10.1f %6s  of %d, each\n", n / per, "%", per
	fflush()
	sort = "sort -k1,1nr -k3"
	for (name in count)
		printf("%10.1f %6.1f  %s\n", count[name] / per, 100 * count[name] / n, name) | sort
}
