# make demo     show the suite at work on loopback: no root, no clock touched
# make test     everything that is tested; as root, also in network namespaces and a booted guest
# make check    formatting and lints
# make bench    accuracy against the bound and the peers (docs/accuracy), cost: ns per packet, wake-ups, memory
# make soak     the long runs: many seeds, many rounds; as root, also a guest with a PTP hardware clock
# make install  DESTDIR= PREFIX=/usr/local

CARGO  ?= cargo
PREFIX ?= /usr/local
PROGRAMS = dante4l dante2sys danteshm pmc-lite

.PHONY: all build demo test check bench soak install clean

all: build

build:
	$(CARGO) build --release --locked --workspace --bins

demo: build
	@./target/release/dantesim demo

test:
	@tests/packages.sh
	$(CARGO) build --locked --workspace --bins
	$(CARGO) test --locked --workspace
	RUSTFLAGS="--cfg loom" $(CARGO) test --locked --target-dir target/loom -p dante-core --lib seqlock
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

bench: build
	$(CARGO) run --locked --release -p dante-bench --bin accuracy | tee docs/accuracy/table.txt
	$(CARGO) bench --locked -p dante-core --bench decode
	$(CARGO) bench --locked -p dante-tests --bench cost

soak: build
	SOAK=200 $(CARGO) test --locked --release -p dante-sim --test scenarios
	PROPTEST_CASES=20000 $(CARGO) test --locked --release -p dante-core --lib
	SOAK=1 $(CARGO) test --locked -p dante-tests --test guest --test guest_phc -- --nocapture
	for round in 1 2 3 4 5 6 7 8 9 10; do $(CARGO) test --locked -p dante-tests || exit 1; done

install: build
	for program in $(PROGRAMS); do \
	    install -D -m 755 target/release/$$program $(DESTDIR)$(PREFIX)/sbin/$$program || exit 1; done
	install -D -m 755 target/release/dantesim $(DESTDIR)$(PREFIX)/bin/dantesim
	install -D -m 644 files/dante4l.toml $(DESTDIR)/etc/dante4l.toml.example
	[ -e $(DESTDIR)/etc/dante4l.toml ] || install -m 644 files/dante4l.toml $(DESTDIR)/etc/dante4l.toml
	for unit in files/systemd/*.service; do \
	    install -d $(DESTDIR)$(PREFIX)/lib/systemd/system && sed 's|/usr/sbin/|$(PREFIX)/sbin/|' $$unit \
	        > $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} || exit 1; done

clean:
	$(CARGO) clean
