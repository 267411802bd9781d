# SPDX-License-Identifier: GPL-2.0-only
# Unit tests: the module's pure files, built for user space with the sanitizers.
#
#	make -f selftests/unit.mk run OUT=dir	builds and runs all (TAP); fails if one fails
#	make -f selftests/unit.mk OUT=dir	only builds
#
# A test is unit/<name>.c.  It names the files that it tests:
#	UNIT_TESTS += <name>
#	<name>_SRCS := module/...
# and unit/shim/ has what these include of the kernel's headers.

unit_dir := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
top := $(patsubst %/,%,$(dir $(unit_dir)))
OUT ?= $(unit_dir)/unit/out

UNIT_TESTS += gwalk
gwalk_SRCS := module/mmu/gwalk.c

UNIT_TESTS += event
event_SRCS := module/event.c

UNIT_TESTS += lapic_regs
lapic_regs_SRCS := module/irqchip/lapic_regs.c

UNIT_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	       -Wno-missing-field-initializers -fno-strict-aliasing -fno-omit-frame-pointer \
	       -fsanitize=address,undefined -fno-sanitize-recover=all \
	       -I$(unit_dir)/unit/shim -I$(top)/module
UNIT_HDRS := $(wildcard $(top)/module/*.h $(top)/module/*/*.h $(unit_dir)/unit/*.h \
	       $(unit_dir)/unit/shim/*/*.h)

bins := $(addprefix $(OUT)/,$(UNIT_TESTS))

all: $(bins)

.SECONDEXPANSION:
$(bins): $(OUT)/%: $(unit_dir)/unit/%.c $$(addprefix $(top)/,$$($$*_SRCS)) $(UNIT_HDRS)
	@mkdir -p $(OUT)
	$(CC) $(UNIT_CFLAGS) $($*_CFLAGS) -o $@ $(filter %.c,$^)

run: $(bins)
	@fail=0; for t in $(bins); do \
		echo "# unit/$${t##*/}"; timeout 300 $$t || fail=1; \
	done; exit $$fail

clean:
	rm -f $(bins)

.PHONY: all run clean
