# SPDX-License-Identifier: GPL-2.0-only
# Tests of the instruction emulator, on the machine at hand and without root:
#
#	make -f selftests/emul.mk unit|diff|lencheck|fuzz [OUT=dir]
#
# Each target builds with ASan and UBSan, runs, and prints TAP. diff needs an x86-64 CPU,
# lencheck libzydis-dev, fuzz clang (FUZZ_SECONDS, default 20); what is missing is a skip.

KEEL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keel
OUT ?= $(KEEL_CACHE)/build/unit/emul
FUZZ_SECONDS ?= 20
FUZZ_CC ?= clang

here := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
emul := $(here)/../module/emul
emul_src := $(wildcard $(emul)/*.c)
emul_hdr := $(wildcard $(emul)/*.h $(here)/unit/emul_*.h $(here)/diff/*.h)
unit_names := $(patsubst $(here)/unit/%.c,%,$(filter-out %/emul_machine.c,$(wildcard $(here)/unit/emul_*.c)))

# The handlers share one signature; not all use it.
EMUL_CFLAGS := -std=gnu11 -g -O1 -Wall -Wextra -Werror -Wno-unused-parameter
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all

.PHONY: unit diff lencheck fuzz
.DELETE_ON_ERROR:

unit: $(addprefix $(OUT)/,$(unit_names))
	@status=0; for t in $^; do echo "# $${t##*/}"; $$t || status=1; done; exit $$status

diff: $(OUT)/emul_diff
	@echo '# emul_diff'; $<

ifneq ($(wildcard /usr/include/Zydis/Zydis.h),)
lencheck: $(OUT)/emul_lencheck
	@echo '# emul_lencheck'; $<
else
lencheck:
	@echo '1..0 # SKIP no Zydis library: install libzydis-dev'; exit 4
endif

ifneq ($(shell command -v $(FUZZ_CC)),)
fuzz: $(OUT)/emul_fuzz
	@echo '# emul_fuzz'; mkdir -p $(OUT)/corpus; \
	$(here)/fuzz/seeds.sh $(OUT)/corpus; \
	if $< -max_len=168 -len_control=0 -max_total_time=$(FUZZ_SECONDS) \
	      -artifact_prefix=$(OUT)/ $(OUT)/corpus >$(OUT)/fuzz.log 2>&1; then \
		echo "ok 1 - emul_fuzz: $$(tail -1 $(OUT)/fuzz.log)"; echo 1..1; \
	else \
		tail -40 $(OUT)/fuzz.log | sed 's/^/# /'; \
		echo "not ok 1 - emul_fuzz, see $(OUT)/fuzz.log"; echo 1..1; exit 1; \
	fi
else
fuzz:
	@echo '1..0 # SKIP no clang'; exit 4
endif

$(OUT):
	mkdir -p $@

$(OUT)/%: $(here)/unit/%.c $(here)/unit/emul_machine.c $(emul_src) $(emul_hdr) | $(OUT)
	$(CC) $(EMUL_CFLAGS) $(SANITIZE) -o $@ $(filter %.c,$^)

# Native code has fixed places, and memory of its own at low addresses.
$(OUT)/emul_diff: $(here)/diff/emul_diff.c $(here)/diff/native.c $(here)/diff/native_stub.S \
		  $(emul_src) $(emul_hdr) | $(OUT)
	$(CC) $(EMUL_CFLAGS) $(SANITIZE) -no-pie -fno-pie -o $@ $(filter %.c %.S,$^)

$(OUT)/emul_lencheck: $(here)/diff/emul_lencheck.c $(emul_src) $(emul_hdr) | $(OUT)
	$(CC) $(EMUL_CFLAGS) $(SANITIZE) -o $@ $(filter %.c,$^) -lZydis

$(OUT)/emul_fuzz: $(here)/fuzz/emul_fuzz.c $(emul_src) $(emul_hdr) | $(OUT)
	$(FUZZ_CC) $(EMUL_CFLAGS) -O2 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $(filter %.c,$^)
