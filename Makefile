# make demo     run the suite on loopback for 25 s: no root, no clock is set
# make test     run all tests; as root also those in network namespaces and in a booted guest
# make check    check formatting, lints and the links of the documentation
# make bench    measure accuracy against the theoretical bound and other programs (docs/accuracy), cost: ns per packet,
#               wake-ups, memory; as root also accuracy through a Linux bridge under load (40 minutes)
# make soak     run the long tests: many seeds, many rounds; as root also a guest with a PTP hardware clock
# make fuzz     fuzz untrusted input, guided by coverage: FUZZ_SECONDS=600 for each target
# make pictures draw docs/pictures from the running programs: as root, two minutes
# make man      write man pages and shell completions to target/man and target/completions
# make install  DESTDIR= PREFIX=/usr/local; without DESTDIR it also creates users, pages and device permissions, as the package does;
#               PROFILE=dev for a quick build (also for make deb)
# make deb      build the Debian package target/debian/dante4l_*.deb

CARGO  ?= cargo
PREFIX ?= /usr/local
# dev builds quickly, in target/debug; release builds small and fast programs.
PROFILE ?= release
BUILT  = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
PROGRAMS = dante4l dante2sys danteshm pmc-lite

.PHONY: all build demo test test-load test-long-guest test-others check bench soak fuzz corpora pictures man install deb clean

all: build

# BUILD=true skips the build.
BUILD = $(CARGO) build --profile $(PROFILE) --locked --workspace --bins

build:
	$(BUILD)

demo: build
	@./$(BUILT)/dantesim demo

# Tests mostly wait for network events, so more of them run in parallel than there are processors.
test: export RUST_TEST_THREADS ?= 4
test:
	@tests/packages.sh
	$(CARGO) build --locked --workspace --bins --tests
	@+$(MAKE) --no-print-directory test-load
	@+$(MAKE) --no-print-directory --jobs=2 test-long-guest test-others

# Integration tests by name: in benches, lib/* and tests, as one file or as a folder with main.rs.
LOAD_TESTS  = field flood
GUEST_TESTS = guest guest_phc
ALL_TESTS   = $(notdir $(basename $(wildcard */tests/*.rs lib/*/tests/*.rs)) $(patsubst %/main.rs,%,$(wildcard */tests/*/main.rs lib/*/tests/*/main.rs)))
HOST_TESTS  = $(filter-out $(LOAD_TESTS) $(GUEST_TESTS),$(ALL_TESTS))
# Always the whole workspace: with part of it, the features of the dependencies differ, and cargo builds them again.
TEST = $(CARGO) test --locked --workspace

# These load the processors on purpose: nothing else runs beside them.
test-load:
	$(TEST) $(LOAD_TESTS:%=--test %)

# A guest occupies most of a processor, at a high priority, and its timestamps suffer from other load: never more than two of the
# guests and the other tests run at the same time. LONG_GUEST takes as long as all others together.
LONG_GUEST = host_survives

test-long-guest:
	$(TEST) --test guest -- $(LONG_GUEST)

test-others:
	$(TEST) --lib --bins
	$(TEST) --doc
	$(TEST) $(HOST_TESTS:%=--test %)
	$(TEST) --test guest -- --skip $(LONG_GUEST)
	$(TEST) --test guest_phc

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

bench: build
	$(CARGO) run --locked --release -p dante-bench --bin accuracy | tee docs/accuracy/table.txt
	$(CARGO) bench --locked -p dante-core --bench decode
	$(CARGO) bench --locked -p dante-os --bench pages
	$(CARGO) bench --locked -p dante-tests --bench cost
	$(CARGO) bench --locked -p dante-tests --bench field

soak: build
	SOAK=200 $(CARGO) test --locked --release -p dante-sim --test scenarios
	SOAK=200 $(CARGO) test --locked --release -p dante-sim --test utc -- replaced_reference
	PROPTEST_CASES=20000 $(CARGO) test --locked --release -p dante-core --lib
	SOAK=1 $(CARGO) test --locked --release -p dante-os --lib -- --nocapture torn_sample
	SOAK=1 $(CARGO) test --locked -p dante-tests --test guest --test guest_phc -- --nocapture
	SOAK=5 $(CARGO) test --locked -p dante-tests --test flood --test corpora -- --nocapture
	for round in 1 2 3 4 5 6 7 8 9 10; do $(CARGO) test --locked -p dante-tests || exit 1; done

# Needs a C++ compiler. Runs without a sanitizer, which needs a nightly Rust: the fuzzed code is safe Rust, except the mapping of a page.
# New inputs go to target/fuzz; `make corpora` adds to fuzz/corpus those that reach code which no input there reaches.
FUZZ_SECONDS ?= 600
TARGETS = config engine management packet page
fuzz     = target/tools/bin/cargo-fuzz
fuzzing  = $(fuzz) run --sanitizer none --target-dir target/fuzz

$(fuzz):
	$(CARGO) install cargo-fuzz --version 0.13.2 --locked --root target/tools

fuzz: $(fuzz)
	for target in $(TARGETS); do mkdir -p target/fuzz/corpus/$$target && \
	    $(fuzzing) $$target target/fuzz/corpus/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 || exit 1; done

corpora: $(fuzz)
	for target in $(TARGETS); do \
	    $(fuzzing) $$target fuzz/corpus/$$target target/fuzz/corpus/$$target -- \
	        -set_cover_merge=1 -use_counters=0 -max_len=2048 || exit 1; done

pictures:
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked -p dante-tests --test pictures

man: build
	@./$(BUILT)/dante-manual target

# The list of installed files, also for `make deb`. $(call put,MODE,FILES,FOLDER) installs all FILES.
ROOT   = $(DESTDIR)$(PREFIX)
DOC    = $(ROOT)/share/doc/dante4l
UNITS  = $(ROOT)/lib/systemd/system
ZSH    = site-functions
put    = for file in $(wildcard $(2)); do install -D -m $(1) -t $(3) $$file || exit 1; done
move   = sed -i -e 's,/usr/sbin/\(dante\|pmc\),$(PREFIX)/sbin/\1,' -e 's,/usr/lib/dante4l,$(PREFIX)/lib/dante4l,'

install: build man
	$(call put,755,$(PROGRAMS:%=$(BUILT)/%),$(ROOT)/sbin)
	$(call put,755,$(BUILT)/dantesim,$(ROOT)/bin)
	$(call put,755,files/reserve-pages,$(ROOT)/lib/dante4l)
	$(call put,644,files/include/*.h,$(ROOT)/include)
	$(call put,644,files/systemd/*.service,$(UNITS))
	sed -e 's|^Description=.*|& (%i)|' -e 's|-f /etc/dante4l.toml|-f /etc/dante4l.%i.toml --instance=%i|' \
	    -e 's|reserve-pages dante4l$$|& @%i|' \
	    -e '/^# dante4l@NAME/d' $(UNITS)/dante4l.service >$(UNITS)/dante4l@.service
	chmod 644 $(UNITS)/dante4l@.service
	$(move) $(UNITS)/dante*.service
	for unit in chrony chronyd; do $(call put,644,files/systemd/chrony.service.d/*.conf,$(UNITS)/$$unit.service.d); done
	$(call put,644,files/sysusers.d/*.conf,$(ROOT)/lib/sysusers.d)
	$(call put,644,files/tmpfiles.d/*.conf,$(ROOT)/lib/tmpfiles.d)
	$(call put,644,files/udev/*.rules,$(ROOT)/lib/udev/rules.d)
	$(call put,644,files/dante4l.toml files/systemd/examples/* files/chrony/dante-refclock-*.conf files/include/examples/*,$(DOC)/examples)
	$(move) $(DOC)/examples/*.service
	$(call put,644,files/grafana/*.json,$(ROOT)/share/dante4l/grafana)
	[ -e $(DESTDIR)/etc/dante4l.toml ] || install -D -m 644 -t $(DESTDIR)/etc files/dante4l.toml
	[ -e $(DESTDIR)/etc/chrony/dante-ntpd.conf ] || { $(call put,644,files/chrony/dante-ntpd.conf,$(DESTDIR)/etc/chrony); }
	$(call put,644,README.md files/debian/copyright,$(DOC))
	install -m 644 CHANGELOG.md $(DOC)/changelog
	install -D -m 644 files/debian/lintian-overrides $(ROOT)/share/lintian/overrides/dante4l
	$(call put,644,docs/*.md docs/*.json,$(DOC)/docs)
	$(call put,644,docs/accuracy/*,$(DOC)/docs/accuracy)
	$(call put,644,docs/pictures/*,$(DOC)/docs/pictures)
	$(call put,644,target/man/*.1,$(ROOT)/share/man/man1)
	$(call put,644,target/man/*.5,$(ROOT)/share/man/man5)
	$(call put,644,target/man/*.8,$(ROOT)/share/man/man8)
	$(call put,644,target/completions/bash/*,$(ROOT)/share/bash-completion/completions)
	$(call put,644,target/completions/zsh/*,$(ROOT)/share/zsh/$(ZSH))
	$(call put,644,target/completions/fish/*,$(ROOT)/share/fish/vendor_completions.d)
	$(if $(DESTDIR),,$(if $(filter /usr /usr/local,$(PREFIX)),files/debian/postinst configure, \
	    @echo 'systemd reads no files in $(PREFIX): docs/package.md lists the remaining steps'))

deb: build
	@files/debian/package.sh

clean:
	$(CARGO) clean
