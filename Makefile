# SPDX-License-Identifier: GPL-2.0-only
# The targets that a person uses; `make help` lists them. The module itself is built by the
# kernel's own make, from Kbuild.

PREFIX ?= /usr/local
MANDIR ?= $(PREFIX)/share/man
UDEVDIR ?= /usr/lib/udev
TIER ?= all

CACHE := $(or $(KEEL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keel)
HOSTDIR := selftests/testhost
RUNNING := /lib/modules/$(shell uname -r)/build
# The running kernel's headers if they are there, else those of the emulated hosts' kernel. Only
# recipes that build for a kernel may expand it, since it may have to be fetched.
KDIR ?= $(or $(patsubst %/Makefile,%,$(wildcard $(RUNNING)/Makefile)),$(shell $(HOSTDIR)/fetch.sh headers))
MAN_PAGES := $(wildcard Documentation/*.[1-8] Documentation/man/*.[1-8] userspace/*.[1-8])
JOBS := $(shell nproc)
# The folder in /lib/modules. In Debian's headers this is where its name is; the target
# kernelrelease and include/config say another one. Only recipes may expand it, as KDIR.
RELEASE = $(shell sed -n 's/.* UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h)
DEPMOD = depmod $(if $(DESTDIR),-b $(DESTDIR)) $(RELEASE)

.PHONY: all help deps module userspace selftests run test test-oracle bench check install uninstall
.PHONY: clean clean-cache

all: module userspace

help:
	@echo 'To try it:'
	@echo '  make run          boot a Debian guest under keel; with a terminal, a login shell'
	@echo '  make test         run the tests; TIER= one of fast, tcg, e2e, bochs, intel,'
	@echo '                    models, debug, all (default)'
	@echo '  make test-oracle  run the behavioural tests on stock KVM, in the same hosts'
	@echo '  make bench        measure stock KVM and keel side by side: see HOSTS=, ROWS=, BOOT=0,'
	@echo '                    CHECK=1 and UPDATE=1 in Documentation/performance.rst'
	@echo 'To build:'
	@echo '  make module       module/keel.ko; KDIR= names a kernel build folder'
	@echo '  make userspace    userspace/keel, the launcher'
	@echo '  make selftests    the test programs; KSRC= names a kernel source tree'
	@echo '  make check        compile with W=1 and sparse, and say what they find'
	@echo '  make install      module, launcher, man pages, udev rule; DESTDIR=, PREFIX='
	@echo '  make uninstall    take them away again'
	@echo 'To clean up:'
	@echo '  make clean        what was built here'
	@echo '  make clean-cache  what was fetched or made in $(CACHE)'
	@echo 'HOST= decides where `make run` runs: native, amd (QEMU), bochs, intel (Bochs);'
	@echo 'KEEL_CACHE= moves the cache. Missing Debian packages are listed and installed (root, or sudo).'

deps:
	@$(HOSTDIR)/deps.sh build run test check

module:
	@$(HOSTDIR)/deps.sh build
	$(MAKE) -C $(KDIR) M=$(CURDIR) -j$(JOBS) modules

userspace:
	@$(HOSTDIR)/deps.sh build
	$(MAKE) -C userspace

selftests:
	@$(HOSTDIR)/deps.sh build
	@$(if $(KSRC),,$(HOSTDIR)/fetch.sh selftests >/dev/null)
	$(MAKE) -C selftests OUTPUT=$(CURDIR)/selftests
	$(MAKE) -C selftests/launcher launch

run:
	@$(HOSTDIR)/run.sh

test:
	@$(HOSTDIR)/test.sh $(TIER)

test-oracle:
	@$(HOSTDIR)/test.sh oracle

bench:
	@selftests/bench/bench.sh

check:
	@$(HOSTDIR)/check.sh

install: module userspace
	$(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR)) modules_install
	$(DEPMOD)
	install -D -m 0755 userspace/keel $(DESTDIR)$(PREFIX)/bin/keel
	install -D -m 0644 userspace/60-keel.rules $(DESTDIR)$(UDEVDIR)/rules.d/60-keel.rules
	$(foreach m,$(MAN_PAGES),install -D -m 0644 $(m) \
		$(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(notdir $(m)) &&) true
	$(if $(DESTDIR),,-udevadm control --reload)

uninstall:
	$(RM) $(DESTDIR)/lib/modules/$(RELEASE)/*/module/keel.ko*
	-$(DEPMOD)
	$(RM) $(DESTDIR)$(PREFIX)/bin/keel $(DESTDIR)$(UDEVDIR)/rules.d/60-keel.rules
	$(RM) $(foreach m,$(MAN_PAGES),$(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(notdir $(m)))

# Without the kernel's make, which would have to be fetched for it.
clean:
	find Kbuild module uapi selftests \( -name '*.o' -o -name '*.ko' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name '*.a' \) -delete
	$(RM) modules.order .modules.order.cmd Module.symvers .Module.symvers.cmd module/modules.order
	$(RM) $(patsubst %.c,%,$(wildcard $(foreach g,abi run mmu irq state,selftests/$(g)/*.c))) selftests/bench/bench
	$(MAKE) -s -C userspace clean
	$(MAKE) -s -C selftests/launcher clean

# By name, whatever folder KEEL_CACHE may name.
clean-cache:
	$(RM) -r $(addprefix $(CACHE)/,bench bench.* build deb guest guest.* headers initramfs kernel linux-6.1 \
		linux-6.1.new lock run.* test-logs tmp.* *.log)
	-rmdir $(CACHE)
