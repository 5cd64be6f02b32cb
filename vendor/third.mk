# Compiles the libraries of sources.lock straight from their .c files, without their own build
# systems, into P/lib, and puts their public headers into P/include. Called by scripts/sysroot:
#
#   make -f third.mk S=unpacked sources, a folder a library   P=where to   CC= AR= CFLAGS=
#                    yaml_version=   nghttp2_version=   ssh_version=
#
# musl and the kernel's headers are laid into P by scripts/sysroot before.

V := $(dir $(lastword $(MAKEFILE_LIST)))
O := $(S)/obj

all:

LIBS := mbedtls nettle nghttp2 protobuf-c cjson yaml llhttp ssh

mbedtls.dir  := $(S)/mbedtls
mbedtls.3rd  := $(mbedtls.dir)/3rdparty
mbedtls.src  := $(wildcard $(mbedtls.dir)/library/*.c) \
	$(addprefix $(mbedtls.3rd)/everest/library/,everest.c x25519.c Hacl_Curve25519_joined.c) \
	$(addprefix $(mbedtls.3rd)/p256-m/,p256-m_driver_entrypoints.c p256-m/p256-m.c)
mbedtls.flag := -I$(V) -DMBEDTLS_USER_CONFIG_FILE='"mbedtls_user.h"' \
	-I$(mbedtls.dir)/include -I$(mbedtls.dir)/library \
	-I$(mbedtls.3rd)/everest/include -I$(mbedtls.3rd)/everest/include/everest \
	-I$(mbedtls.3rd)/everest/include/everest/kremlib -I$(mbedtls.3rd)/p256-m \
	-I$(mbedtls.3rd)/p256-m/p256-m/include -I$(mbedtls.3rd)/p256-m/p256-m/include/p256-m
mbedtls.head := $(mbedtls.dir)/include/mbedtls $(mbedtls.dir)/include/psa $(V)mbedtls_user.h $(V)gcm_alt.h

# Of nettle, AES-GCM alone: its modes in C, and each of its primitives in C and in the assembler of processors that have
# instructions for it, which are the files for a "fat" library on either machine. LGPL: see README.md.
nettle.src  := $(addprefix $(S)/nettle/,gcm.c ctr16.c memxor.c memxor3.c ghash-set-key.c ghash-update.c \
	aes128-encrypt.c aes192-encrypt.c aes256-encrypt.c aes-encrypt-internal.c aes-encrypt-table.c)
nettle.cpu  := $(if $(filter aarch64-%,$(shell $(CC) -dumpmachine)),arm64,x86_64)
nettle.asm  := $(patsubst %,$(O)/nettle/$(nettle.cpu)/fat/%-2.o,aes128-encrypt aes192-encrypt aes256-encrypt \
	ghash-set-key ghash-update)
nettle.m4   := -Dsrcdir=. -DSYMBOL_PREFIX= -DELF_STYLE=yes -DTYPE_FUNCTION=%function -DTYPE_PROGBITS=%progbits \
	-DALIGN_LOG=no -DW64_ABI=no -DWORDS_BIGENDIAN=no -DASM_X86_ENDBR= -DRODATA='.section .rodata' \
	m4-utils.m4 asm.m4 $(nettle.cpu)/machine.m4
nettle.flag := -I$(O)/nettle -I$(S)/nettle -DHAVE_CONFIG_H
nettle.head := $(O)/include/nettle
$(nettle.head):
	mkdir -p $@
	cp $(wildcard $(addprefix $(S)/nettle/,aes.h camellia.h gcm.h nettle-types.h sm4.h)) $@
$(O)/nettle/config.h: $(V)nettle_config.h
	mkdir -p $(@D)
	cp $< $@
$(nettle.asm): $(O)/%.o: $(S)/%.asm
	@mkdir -p $(@D)
	cd $(S)/nettle && m4 $(nettle.m4) $< >$(@:.o=.s)
	$(CC) $(CFLAGS) -Wa,--noexecstack -c -o $@ $(@:.o=.s)

nghttp2.src  := $(wildcard $(S)/nghttp2/lib/*.c)
nghttp2.flag := -I$(S)/nghttp2/lib/includes -I$(S)/nghttp2/lib -DNGHTTP2_STATICLIB \
	-DHAVE_ARPA_INET_H -DHAVE_NETINET_IN_H -DHAVE_CLOCK_GETTIME -DHAVE_DECL_CLOCK_MONOTONIC=1
nghttp2.head := $(S)/nghttp2/lib/includes/nghttp2

# A tarball of upstream's repository lacks what its configure makes.
nghttp2.ver  := $(S)/nghttp2/lib/includes/nghttp2/nghttp2ver.h
nghttp2.num   = $(call hex,1)$(call hex,2)$(call hex,3)
hex           = $(shell printf %02x $(word $(1),$(subst ., ,$(nghttp2_version))))
$(nghttp2.ver): $(nghttp2.ver).in
	sed 's/@PACKAGE_VERSION@/$(nghttp2_version)/; s/@PACKAGE_VERSION_NUM@/0x$(nghttp2.num)/' $< >$@

protobuf-c.src  := $(S)/protobuf-c/protobuf-c/protobuf-c.c
protobuf-c.flag := -I$(S)/protobuf-c
protobuf-c.head := $(S)/protobuf-c/protobuf-c

cjson.src  := $(S)/cjson/cJSON.c
cjson.flag := -DCJSON_NESTING_LIMIT=100
cjson.head := $(S)/cjson/cJSON.h

yaml.src  := $(wildcard $(S)/yaml/src/*.c)
yaml.part  = $(word $(1),$(subst ., ,$(yaml_version)))
yaml.flag := -I$(S)/yaml/include -DYAML_VERSION_STRING='"$(yaml_version)"' \
	-DYAML_VERSION_MAJOR=$(call yaml.part,1) -DYAML_VERSION_MINOR=$(call yaml.part,2) \
	-DYAML_VERSION_PATCH=$(call yaml.part,3)
yaml.head := $(S)/yaml/include/yaml.h

# Upstream's own tarball is TypeScript. The C that is generated of it comes inside python-aiohttp and,
# laid out in another way, inside nodejs.
llhttp.dir  := $(wildcard $(addprefix $(S)/llhttp/,vendor/llhttp deps/llhttp))
llhttp.src  := $(wildcard $(addprefix $(llhttp.dir)/,build/c/*.c src/native/*.c src/*.c))
llhttp.head := $(wildcard $(addprefix $(llhttp.dir)/,build/llhttp.h include/llhttp.h))
llhttp.flag := -I$(dir $(llhttp.head))

# libssh on mbedTLS: without the files of its other crypto libraries, and of what it can do for a client of
# Kerberos or of hardware tokens. LGPL: see README.md.
ssh.not  := %_crypto.c %_gcrypt.c %/curve25519_fallback.c %/gcrypt_missing.c %/libcrypto.c %/libgcrypt.c \
	%/dh-gex.c %/gssapi.c %/kex-gss.c %/pki_sk.c %/sk_common.c %/sk_usbhid.c %/pcap.c \
	%/sftp.c %/sftp_aio.c %/sftp_common.c %/sftpserver.c
ssh.src  := $(filter-out $(ssh.not),$(wildcard $(S)/ssh/src/*.c)) $(wildcard $(S)/ssh/src/external/*.c) \
	$(addprefix $(S)/ssh/src/threads/,mbedtls.c noop.c pthread.c)
ssh.flag := -I$(O)/ssh -I$(S)/ssh/include -I$(S)/ssh/src -DLIBSSH_STATIC $(mbedtls.flag)
ssh.head := $(S)/ssh/include/libssh
ssh.ver  := $(S)/ssh/include/libssh/libssh_version.h
ssh.num   = $(word $(1),$(subst ., ,$(ssh_version)))
$(ssh.ver): $(ssh.ver).cmake
	sed -e 's/@libssh_VERSION_MAJOR@/$(call ssh.num,1)/' -e 's/@libssh_VERSION_MINOR@/$(call ssh.num,2)/' \
		-e 's/@libssh_VERSION_PATCH@/$(call ssh.num,3)/' $< >$@
$(O)/ssh/config.h: $(V)libssh_config.h
	mkdir -p $(@D)
	cp $< $@

all: $(LIBS:%=$(P)/lib/lib%.a)

define library
$(1).obj := $$(patsubst $(S)/%.c,$(O)/%.o,$$($(1).src))
$$($(1).obj): $(O)/%.o: $(S)/%.c
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) $$($(1).flag) -c -o $$@ $$<
$(P)/lib/lib$(1).a: $$($(1).obj) $$($(1).asm)
	cp -R $$($(1).head) $(P)/include/
	$$(AR) rcs $$@ $$^
endef
$(foreach l,$(LIBS),$(eval $(call library,$(l))))
$(nghttp2.obj): $(nghttp2.ver)
# What every byte of a relay and of TLS goes through is worth some KiB.
$(addprefix $(O)/mbedtls/library/,aes.o aesni.o aesce.o chacha20.o cipher.o poly1305.o): override CFLAGS += -O2
$(nettle.obj): override CFLAGS += -O2
$(nettle.obj): $(O)/nettle/config.h $(nettle.head)
$(ssh.obj): $(ssh.ver) $(O)/ssh/config.h
