# SPDX-License-Identifier: GPL-2.0-only
# Draws the CSV's ratios of mitigations=off as SVG, two bars for each row: Intel and AMD.
#   awk -v title=TEXT -v stamp=TEXT -f chart.awk CSV

BEGIN {
	FS = ","
	LEFT = 130; WIDE = 480; RIGHT = 60; TOP = 74; ROW = 26; BAR = 9
	MOST = 1.5		# what is longer is cut, with its figure
	name["intel-bochs"] = "Intel"; colour["intel-bochs"] = "#1f6fb4"
	name["amd-bochs"] = "AMD"; colour["amd-bochs"] = "#d9731a"
	nr_hosts = split("intel-bochs amd-bochs", hosts, " ")
}

FNR > 1 && $2 == "off" && $3 != "floor" && $3 !~ /\// && $7 != "-" {
	if (!($3 in known))
		order[++rows] = $3
	known[$3]
	ratio[$1, $3] = $7
}

function text(x, y, more, s)
{
	gsub(/&/, "\\&amp;", s)
	gsub(/</, "\\&lt;", s)
	printf "<text x=\"%g\" y=\"%g\" %s>%s</text>\n", x, y, more, s
}

# A line across all rows, at a ratio, with what it is above it.
function mark(at, style, label,    x)
{
	x = LEFT + at / MOST * WIDE
	printf "<line x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\" %s/>\n", x, TOP - 4, x, bottom, style
	text(x, TOP - 9, "text-anchor=\"middle\" fill=\"#444\"", label)
}

function bar(h, row, y,    r, wide)
{
	r = ratio[h, row]
	wide = (r > MOST ? MOST : r) / MOST * WIDE
	printf "<rect x=\"%g\" y=\"%g\" width=\"%.1f\" height=\"%g\" fill=\"%s\"/>\n",
		LEFT, y, wide, BAR, colour[h]
	text(LEFT + wide + 4, y + BAR - 1, "font-size=\"10\" fill=\"#222\"", r (r > MOST ? " →" : ""))
}

END {
	bottom = TOP + rows * ROW + 2
	width = LEFT + WIDE + RIGHT
	height = bottom + 26
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" " \
		"height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n", width, height, width, height
	printf "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, height
	text(10, 20, "font-size=\"14\" font-weight=\"bold\" fill=\"#111\"", title)
	for (i = 1; i <= nr_hosts; i++) {
		x = 10 + (i - 1) * 70
		printf "<rect x=\"%g\" y=\"31\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x, colour[hosts[i]]
		text(x + 17, 41, "fill=\"#222\"", name[hosts[i]])
	}
	for (i = 1; i <= rows; i++) {
		y = TOP + (i - 1) * ROW
		if (i % 2)
			printf "<rect x=\"0\" y=\"%g\" width=\"%d\" height=\"%d\" fill=\"#f3f5f7\"/>\n",
				y, width, ROW
	}
	for (i = 1; i <= rows; i++) {
		y = TOP + (i - 1) * ROW
		text(LEFT - 8, y + ROW / 2 + 4, "text-anchor=\"end\" fill=\"#111\"", order[i])
		for (h = 1; h <= nr_hosts; h++)
			if ((hosts[h], order[i]) in ratio)
				bar(hosts[h], order[i], y + 3 + (h - 1) * (BAR + 2))
	}
	mark(1 / 3, "stroke=\"#2a8a3a\" stroke-dasharray=\"5 3\"", "1/3")
	mark(1, "stroke=\"#b02020\"", "KVM = 1")
	text(10, height - 9, "font-size=\"10\" fill=\"#555\"", stamp)
	print "</svg>"
}
