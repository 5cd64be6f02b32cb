# openshell-static: one static binary from musl, a handful of libraries and our own code.
#
#   make                 build/openshell-static for this machine
#   make ARCH=aarch64    build/aarch64/openshell-static, cross-compiled
#   make test            unit tests, then the real binary against a Python gRPC client
#   make help            the other targets
#
# Everything is made in build/ except what is fetched and the libraries made of it, which are kept
# in ~/.cache/openshell-static (see scripts/sysroot) and shared by all work trees.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

HOST := $(shell uname -m)
ARCH ?= $(HOST)

# SAN=1: this machine's glibc and clang with ASan and UBSan, which musl has no runtime for.
TARGET := $(if $(SAN),asan,$(ARCH))
B      := build/$(TARGET)
BIN    := $(if $(filter $(HOST),$(TARGET)),build,$(B))/openshell-static

# How to run what was built: qemu's user mode for another machine's binaries.
RUN     := $(if $(filter $(HOST) asan,$(TARGET)),,qemu-$(ARCH)-static)
RUN_BIN := $(BIN)$(if $(RUN),.run)

# --- flags ------------------------------------------------------------------------------------

SYSROOT := $(B)/sysroot
CROSS   := $(if $(filter $(HOST) asan,$(TARGET)),,$(ARCH)-linux-gnu-)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wswitch-enum -Wformat=2 -Wundef

CPPFLAGS := -D_GNU_SOURCE -DMBEDTLS_USER_CONFIG_FILE='"mbedtls_user.h"' -Isrc \
	-isystem build/gen -isystem $(SYSROOT)/include

CFLAGS  := -std=gnu11 -g -ffile-prefix-map=$(CURDIR)=. $(WARN)
LDFLAGS := -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--build-id=none
# what mbedTLS asks us for (src/net/entropy.c, src/net/gcm.c), and only after our library was searched
ASKED   := -Wl,-u,mbedtls_hardware_poll,-u,mbedtls_gcm_init
LDLIBS  := -lssh -lmbedtls -lnghttp2 -lprotobuf-c -lcjson -lyaml -lllhttp -lnettle

ifeq ($(TARGET),asan)
CC      := clang-14
CFLAGS  += -Wno-format-nonliteral -O1 -fno-omit-frame-pointer -fsanitize=address,undefined,fuzzer-no-link \
	-fno-sanitize-recover=undefined
LDFLAGS := -fsanitize=address,undefined
else
CC      := $(SYSROOT)/bin/cc
CFLAGS  += -Os -fPIE -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables \
	-fstack-protector-strong
LDFLAGS += -static-pie
endif
LDFLAGS += $(ASKED)
# relative relocations packed, which musl can read; the aarch64 linker of Debian 12 cannot write them
ifeq ($(TARGET),x86_64)
LDFLAGS += -Wl,-z,pack-relative-relocs
endif

# --- what there is ----------------------------------------------------------------------------

SRC    := $(shell find src -name '*.c')
PROTOS := $(shell find proto -name '*.proto') \
	$(patsubst %,google/protobuf/%.proto,any descriptor duration empty struct timestamp wrappers)
# descriptor_set is the serialized google.protobuf.FileDescriptorSet of them all, for reflection
GEN    := $(patsubst proto/%,%,$(PROTOS:.proto=.pb-c.c)) descriptor_set.c

OBJ      := $(patsubst %.c,$(B)/%.o,$(filter-out src/main.c,$(SRC))) $(GEN:%.c=$(B)/gen/%.o)
LIB      := $(B)/libopenshell.a
UNIT_BIN := $(patsubst %.c,$(B)/%,$(wildcard test/unit/*_test.c))

# Remembers a text in a file, and changes the file only when the text changes: what is made with
# other flags or from other files is made again.
remember = $(shell mkdir -p $(B))$(if $(filter-out $(file <$(1)),$(2))$(filter-out $(2),$(file <$(1))),$(file >$(1),$(2)))
$(call remember,$(B)/flags,$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS))
$(call remember,$(B)/objects,$(OBJ))

# One short line a command; V=1 shows the whole command instead.
ifdef V
run = $(2)
else
MAKEFLAGS += --silent
run = printf '  %-5s %s\n' $(1) '$(patsubst $(B)/%,%,$@)' && $(2)
endif

all: $(BIN)

# --- tools and libraries ----------------------------------------------------------------------

# What a group of targets needs of Debian; see scripts/setup.
build/setup-%: scripts/setup
	@scripts/setup $*
	@mkdir -p $(@D) && touch $@

THIRD := vendor/sources.lock vendor/third.mk vendor/musl.specs.in $(wildcard vendor/*.h) scripts/fetch scripts/sysroot

$(B)/sysroot.stamp: $(THIRD) | build/setup-build $(if $(CROSS),build/setup-cross) \
		$(if $(SAN),build/setup-check)
	@scripts/sysroot $(TARGET) $(SYSROOT)
	@touch $@

# --- generated code ---------------------------------------------------------------------------

$(GEN:%=build/gen/%) $(GEN:%.c=build/gen/%.h) &: $(filter proto/%,$(PROTOS)) scripts/protoc-gen-c3 \
		scripts/embed | build/setup-build
	@mkdir -p build/gen
	protoc --plugin=protoc-gen-c=scripts/protoc-gen-c3 --c_out=build/gen -Iproto -I/usr/include \
		--include_imports --descriptor_set_out=build/gen/descriptor_set \
		$(patsubst proto/%,%,$(PROTOS))
	scripts/embed descriptor_set build/gen/descriptor_set

$(B)/gen/%.o: build/gen/%.c $(B)/flags $(B)/sysroot.stamp
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS) $(filter-out $(WARN),$(CFLAGS)) -w -c -o $@ $<)

# --- our code ---------------------------------------------------------------------------------

$(B)/src/%.o: src/%.c $(B)/flags $(B)/sysroot.stamp | $(GEN:%=build/gen/%)
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS) $(CFLAGS) -MD -MP -c -o $@ $<)

# A thin archive names its members by their paths, so that two folders may each have a server.c.
$(LIB): $(OBJ) $(B)/objects
	@rm -f $@
	$(call run,AR,$(CROSS)ar rcsT $@ $(OBJ))

$(BIN): $(B)/src/main.o $(LIB)
	$(call run,LD,$(CC) $(CFLAGS) $(LDFLAGS) $(MAP) -o $@ $^ $(SYSROOT_LIBS))
ifndef SAN
	$(CROSS)objcopy --only-keep-debug $@ $@.debug
	$(CROSS)strip -s $@
	$(CROSS)objcopy --add-gnu-debuglink=$@.debug $@
endif

MAP := -Wl,-Map=$(B)/openshell-static.map
SYSROOT_LIBS := -L$(SYSROOT)/lib $(LDLIBS)

# --- tests ------------------------------------------------------------------------------------

$(B)/test/%.o: test/%.c $(B)/flags $(B)/sysroot.stamp | $(GEN:%=build/gen/%)
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS) -Itest/unit $(CFLAGS) -MD -MP -c -o $@ $<)

$(UNIT_BIN): $(B)/test/unit/%: $(B)/test/unit/%.o $(B)/test/unit/test.o $(LIB)
	$(call run,LD,$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SYSROOT_LIBS))

test-unit: $(UNIT_BIN)
	@$(RUN_UNITS)

# The tiers above: each folder brings its own runner, which finds the binary in OPENSHELL_BINARY and
# ends with "N passed, N failed".
GRPC_NEEDS := $(RUN_BIN) $(B)/test/kube/kube
test-grpc: $(GRPC_NEEDS) | build/setup-test
	@$(RUN_GRPC)

# The wall on each kind of host: those without a container are part of `make test`, on a true kernel.
HOSTS := $(B)/test/hosts/hosts
HOSTS_NEEDS := $(BIN) $(HOSTS)
RUN_HOSTS := OPENSHELL_BINARY=$(abspath $(BIN)) OPENSHELL_HOSTS_TOOL=$(abspath $(HOSTS)) test/hosts/run
test-podman: $(HOSTS_NEEDS) | build/setup-podman
	@$(RUN_HOSTS) test_podman

# docs/events.md: each row of it told.
RUN_EVENTS := $(filter OPENSHELL_%,$(RUN_HOSTS)) test/events/run
test-events: $(HOSTS_NEEDS) | build/setup-test
	@$(RUN_EVENTS)

# Whatever a workload could try, on each rung of the wall: the table of docs/security.md.
ATTACK := $(B)/test/attack/attack
RUN_ATTACK := OPENSHELL_BINARY=$(abspath $(BIN)) OPENSHELL_ATTACK=$(abspath $(ATTACK)) test/attack/run
test-attack: $(BIN) $(ATTACK) | build/setup-test
	@$(RUN_ATTACK)

# The SFTP server against OpenSSH's clients, which start it.
SFTP := $(B)/test/sftp/sftp
RUN_SFTP := OPENSHELL_SFTP_TOOL=$(abspath $(SFTP)) test/sftp/run
test-sftp: $(SFTP) | build/setup-test
	@$(RUN_SFTP)

# The sandbox's sshd against OpenSSH's clients, with a supervisor of the test's own.
SSH := $(B)/test/ssh/ssh
RUN_SSH := OPENSHELL_SSH_TOOL=$(abspath $(SSH)) test/ssh/run
test-ssh: $(SSH) | build/setup-test
	@$(RUN_SSH)

test: $(UNIT_BIN) $(GRPC_NEEDS) $(HOSTS_NEEDS) $(ATTACK) $(SFTP) $(SSH) | build/setup-test
	@$(RUN_UNITS)
	@$(RUN_GRPC)
	@$(if $(RUN)$(SAN),,$(RUN_HOSTS) test_plain test_door test_relay test_half_close)
	@$(if $(RUN)$(SAN),,$(RUN_EVENTS))
	@$(if $(RUN)$(SAN),,$(RUN_ATTACK))
	@$(if $(RUN)$(SAN),,$(RUN_SFTP))
	@$(if $(RUN)$(SAN),,$(RUN_SSH))

# Emulators and sanitizers are slow.
PATIENCE  := $(if $(RUN)$(SAN),TEST_TIME_SCALE=6 TEST_WAIT=60)
RUN_UNITS := $(PATIENCE) $(if $(RUN),TEST_EMULATOR=1) scripts/run-units "$(RUN)" $(UNIT_BIN)
RUN_GRPC  := $(PATIENCE) OPENSHELL_BINARY=$(abspath $(RUN_BIN)) \
	OPENSHELL_KUBE_TOOL=$(abspath $(B)/test/kube/kube) test/grpc/run $(GRPC_TESTS)

# What to start as the binary: a script where it takes an emulator.
$(BIN).run: $(BIN)
	@printf '#!/bin/sh\nexec $(RUN) $(abspath $(BIN)) "$$@"\n' >$@ && chmod +x $@

# Programs of our own that the higher tiers run: all of test/X/*.c is one, build/…/test/X/X, linked
# like the binary. A .proto beside them is generated as test/X/NAME.pb-c.h, for it alone.
PROGRAMS := $(sort $(patsubst test/%/,%,$(dir $(wildcard $(addsuffix /*.c,test/attack test/bench test/hosts test/interop test/kube test/sftp test/ssh)))))

define program
$(1).gen := $$(patsubst %.proto,%.pb-c.c,$$(wildcard test/$(1)/*.proto))
$(1).obj := $$(patsubst %.c,$(B)/%.o,$$(wildcard test/$(1)/*.c)) $$($(1).gen:%.c=$(B)/gen/%.o)
$(B)/test/$(1)/$(1): $$($(1).obj) $(LIB)
	$$(call run,LD,$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(SYSROOT_LIBS))
$$(filter $(B)/test/%,$$($(1).obj)): | $$($(1).gen:%=build/gen/%)
test-programs: $(B)/test/$(1)/$(1)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

build/gen/test/%.pb-c.c build/gen/test/%.pb-c.h &: test/%.proto scripts/protoc-gen-c3 | build/setup-build
	@mkdir -p build/gen
	protoc --plugin=protoc-gen-c=scripts/protoc-gen-c3 --c_out=build/gen -I. -I/usr/include $<

test-interop: $(BIN) $(B)/test/interop/interop | build/setup-test
	@test/interop/run $(B)/test/interop/interop

test-cluster: $(HOSTS_NEEDS) | build/setup-cluster
	@OPENSHELL_BINARY=$(abspath $(BIN)) OPENSHELL_HOSTS_TOOL=$(abspath $(HOSTS)) test/cluster/run

# The real gateway and CLI, whose paths OPENSHELL_PEER_GATEWAY and OPENSHELL_PEER_CLI are: who has none skips it.
test-peer: $(HOSTS_NEEDS) | build/setup-peer
	@$(filter OPENSHELL_%,$(RUN_HOSTS)) test/peer/run

demo: $(BIN) | build/setup-test
	@OPENSHELL_BINARY=$(abspath $(BIN)) scripts/demo-run

bench: $(HOSTS_NEEDS) $(B)/test/bench/bench | build/setup-test
	@$(filter OPENSHELL_%,$(RUN_HOSTS)) test/bench/run $(B)/test/bench/bench

# The other machine's binary, as far as an emulator of its user mode goes: the unit tests, and a
# sandbox's life through the driver and ctl.
test-aarch64:
	@$(MAKE) ARCH=aarch64 check-elf test-unit
	@$(MAKE) ARCH=aarch64 test-grpc GRPC_TESTS=test_ctl

# --- checks -----------------------------------------------------------------------------------

OURS := $(shell find src test -name '*.[ch]' 2>/dev/null)

check: check-format check-layers check-events check-headers check-cppcheck check-symbols check-elf \
		check-size check-sanitizers
	@echo "check: everything holds"

check-format: | build/setup-check
	@scripts/format $(OURS)

check-layers:
	@scripts/layers

check-events:
	@scripts/events

# A header is a contract that compiles alone (style guide, rule 1).
HEADERS := $(filter src/%.h,$(OURS))
check-headers: $(HEADERS:%=$(B)/%.alone)
	@echo "headers: each of $(words $^) compiles alone"

$(B)/%.h.alone: %.h $(B)/flags $(B)/sysroot.stamp | $(GEN:%=build/gen/%)
	@mkdir -p $(@D)
	@printf '#include "%s"\n' $(<:src/%=%) | $(CC) $(CPPFLAGS) $(CFLAGS) -fsyntax-only \
		-MD -MP -MT $@ -MF $@.d -x c - || { echo "headers: $< does not compile alone" >&2; exit 1; }
	@touch $@

check-cppcheck: | build/setup-check
	@mkdir -p build/cppcheck
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 \
		--inline-suppr --suppressions-list=scripts/cppcheck.suppress \
		--library=scripts/cppcheck.cfg --cppcheck-build-dir=build/cppcheck -Isrc src test
	@echo "cppcheck: nothing to complain about"

check-symbols: $(LIB)
	@scripts/symbols $(LIB)

check-elf: $(BIN) | build/setup-check
	@scripts/elf $(BIN) $(TARGET)

BUDGET := 4194304 # bytes
size: $(BIN)
	@scripts/size $(B)/openshell-static.map $(BIN) $(BUDGET)

check-size: $(BIN)
	@scripts/size $(B)/openshell-static.map $(BIN) $(BUDGET) | tail -n 1

check-sanitizers:
	@$(MAKE) SAN=1 test-unit replay

# --- fuzzing: the sanitizers' build only (SAN=1) ----------------------------------------------

# test/fuzz/x_fuzz.c with its corpus in test/fuzz/corpus/x; what `make fuzz` finds beyond that is
# kept in build/fuzz/x, and an input that crashes in build/fuzz/x-crash-…
FUZZ     := $(patsubst test/fuzz/%_fuzz.c,%,$(wildcard test/fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZ:%=$(B)/test/fuzz/%_fuzz)
FUZZ_SECONDS ?= 20

$(FUZZ_BIN): $(B)/test/fuzz/%: $(B)/test/fuzz/%.o $(LIB)
	$(call run,LD,$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(SYSROOT_LIBS))

replay: $(FUZZ_BIN)
	@scripts/run-fuzz replay $(FUZZ_BIN)

ifdef SAN
fuzz: $(FUZZ_BIN)
	@scripts/run-fuzz $(FUZZ_SECONDS) $(FUZZ_BIN)
else
fuzz:
	@$(MAKE) SAN=1 fuzz
endif

# --- upkeep -----------------------------------------------------------------------------------

format: | build/setup-check
	clang-format-14 -i $(OURS)

# Builds everything from the sources twice, in two folders, and compares the bytes.
repro:
	@scripts/repro $(BIN)

# A file system and an OCI image of it, in which the binary is /openshell-sandbox.
image: $(dir $(BIN))openshell-image.tar
$(dir $(BIN))openshell-image.tar: $(BIN) scripts/image
	@scripts/image $(BIN) $(ARCH) $@

vendor-update: | build/setup-build
	@scripts/vendor-update

clean:
	rm -rf build

help:
	@scripts/help

.PHONY: all bench check check-cppcheck check-elf check-events check-format check-headers check-layers check-symbols \
	check-sanitizers check-size clean demo format fuzz help image replay repro size test test-aarch64 \
	test-attack test-cluster test-events test-grpc test-interop test-peer test-podman test-programs test-sftp test-ssh test-unit vendor-update

-include $(shell find $(B) -name '*.d' 2>/dev/null)
