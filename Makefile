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

HOST := $(shell uname -m)
ARCH ?= $(HOST)

# SAN=1: this machine's glibc and clang with ASan and UBSan, which musl has no runtime for.
TARGET := $(if $(SAN),asan,$(ARCH))
B      := build/$(TARGET)
BIN    := $(if $(filter $(HOST),$(TARGET)),build,$(B))/openshell-static

# How to run what was built: qemu's user mode for another machine's binaries.
RUN := $(if $(filter $(HOST) asan,$(TARGET)),,qemu-$(ARCH)-static)

# --- flags ------------------------------------------------------------------------------------

SYSROOT := $(B)/sysroot
CROSS   := $(if $(filter $(HOST) asan,$(TARGET)),,$(ARCH)-linux-gnu-)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wvla -Wswitch-enum -Wformat=2 -Wundef

CPPFLAGS := -D_GNU_SOURCE -DMBEDTLS_USER_CONFIG_FILE='"mbedtls_user.h"' -Isrc \
	-isystem build/gen -isystem $(SYSROOT)/include

CFLAGS  := -std=gnu11 -g -ffile-prefix-map=$(CURDIR)=. $(WARN)
LDFLAGS := -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--build-id=none
LDLIBS  := -lmbedtls -lnghttp2 -lprotobuf-c -lcjson -lyaml -lllhttp

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
# relative relocations packed, which musl can read; the aarch64 linker of Debian 12 cannot write them
ifeq ($(TARGET),x86_64)
LDFLAGS += -Wl,-z,pack-relative-relocs
endif

# --- what there is ----------------------------------------------------------------------------

SRC    := $(shell find src -name '*.c')
TESTS  := $(wildcard test/unit/*_test.c)
PROTOS := $(shell find proto -name '*.proto') \
	$(patsubst %,google/protobuf/%.proto,any descriptor duration empty struct timestamp wrappers)
# descriptor_set is the serialized google.protobuf.FileDescriptorSet of them all, for reflection
GEN    := $(patsubst proto/%,%,$(PROTOS:.proto=.pb-c.c)) descriptor_set.c

OBJ       := $(patsubst %.c,$(B)/%.o,$(filter-out src/main.c,$(SRC))) $(GEN:%.c=$(B)/gen/%.o)
LIB       := $(B)/libopenshell.a
TEST_BIN  := $(TESTS:%.c=$(B)/%)

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

THIRD := vendor/sources.lock vendor/third.mk vendor/musl.specs.in vendor/mbedtls_user.h \
	scripts/fetch scripts/sysroot

$(B)/sysroot.stamp: $(THIRD) | build/setup-build $(if $(CROSS),build/setup-cross) \
		$(if $(SAN),build/setup-check)
	@scripts/sysroot $(TARGET) $(SYSROOT)
	@touch $@

# --- generated code ---------------------------------------------------------------------------

$(GEN:%=build/gen/%) &: $(filter proto/%,$(PROTOS)) scripts/protoc-gen-c3 \
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
	$(call run,CC,$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<)

# A thin archive names its members by their paths, so that two folders may each have a server.c.
$(LIB): $(OBJ) $(B)/objects
	@rm -f $@
	$(call run,AR,$(CROSS)ar rcsT $@ $(OBJ))

$(BIN): $(B)/src/main.o $(LIB)
	$(call run,LD,$(CC) $(CFLAGS) $(LDFLAGS) $(MAP) -o $@.full $^ $(SYSROOT_LIBS))
	$(CROSS)objcopy --only-keep-debug $@.full $@.debug
	$(CROSS)strip -s -o $@ $@.full
	$(CROSS)objcopy --add-gnu-debuglink=$@.debug $@
	@rm -f $@.full

MAP := -Wl,-Map=$(B)/openshell-static.map
SYSROOT_LIBS := -L$(SYSROOT)/lib $(LDLIBS)

# --- tests ------------------------------------------------------------------------------------

$(B)/test/%.o: test/%.c $(B)/flags $(B)/sysroot.stamp | $(GEN:%=build/gen/%)
	@mkdir -p $(@D)
	$(call run,CC,$(CC) $(CPPFLAGS) -Itest/unit $(CFLAGS) -MMD -MP -c -o $@ $<)

$(TEST_BIN): $(B)/test/unit/%: $(B)/test/unit/%.o $(B)/test/unit/test.o $(LIB)
	$(call run,LD,$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(SYSROOT_LIBS))

test-unit: $(TEST_BIN)
	@scripts/run-units "$(RUN)" $(TEST_BIN)

# --- upkeep -----------------------------------------------------------------------------------

format: | build/setup-check
	clang-format-14 -i $$(git ls-files --cached --others --exclude-standard '*.c' '*.h')

clean:
	rm -rf build

.PHONY: all clean format test-unit

-include $(shell find $(B) -name '*.d' 2>/dev/null)
