# SPDX-License-Identifier: GPL-2.0-only
# A 16550 does not know its terminal's size: ask the terminal where its last corner is.
if [ -t 0 ] && [ "$(stty size 2>/dev/null)" = "0 0" ]; then
	saved=$(stty -g)
	stty raw -echo min 0 time 20
	printf '\0337\033[r\033[999;999H\033[6n\0338' >/dev/tty
	IFS='[;R' read -r -d R _ rows cols </dev/tty
	stty "$saved"
	case $rows$cols in
	''|*[!0-9]*)	stty rows 24 cols 80 ;;
	*)		stty rows "$rows" cols "$cols" ;;
	esac
	unset saved rows cols
fi
