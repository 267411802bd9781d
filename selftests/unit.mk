# SPDX-License-Identifier: GPL-2.0-only
# Unit tests: the module's pure files, built for user space with the sanitizers.
#
#	make -f selftests/unit.mk run [OUT=dir]	builds and runs all (TAP); fails if one fails
#	make -f selftests/unit.mk [OUT=dir]	only builds
#
# A test is unit/<name>.c.  It names the files that it tests:
#	UNIT_TESTS += <name>
#	<name>_SRCS := module/...
# and unit/shim/ has what these include of the kernel's headers.

unit_dir := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
top := $(patsubst %/,%,$(dir $(unit_dir)))
KEEL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keel
OUT ?= $(KEEL_CACHE)/build/unit/module

UNIT_TESTS += gwalk
gwalk_SRCS := module/mmu/gwalk.c

UNIT_TESTS += event
event_SRCS := module/event.c

UNIT_TESTS += lapic_regs
lapic_regs_SRCS := module/irqchip/lapic_regs.c

# Fields and bits of VMX are in the kernel's own header, which only a kernel's headers have.
CACHE := $(or $(KEEL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keel)
kernel_x86 := $(patsubst %/include/asm/vmx.h,%,$(firstword $(wildcard \
	$(addsuffix /arch/x86/include/asm/vmx.h,$(KDIR) $(CACHE)/headers/*/usr/src/*-common \
	/lib/modules/$(shell uname -r)/source /usr/src/linux-headers-*-common))))
ifneq ($(kernel_x86),)
UNIT_TESTS += vmx_check
else
run: no_vmx_check
no_vmx_check:
	@echo "# unit/vmx_check: left out, no kernel headers"
endif
vmx_check_SRCS := $(addprefix module/vmx/,check.c check_ctl.c check_seg.c) \
	selftests/unit/vmx_state.c
vmx_check_CFLAGS := -include $(unit_dir)/unit/vmx_fake.h \
	-idirafter $(kernel_x86) -idirafter $(kernel_x86)/include

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

.PHONY: all run clean no_vmx_check
