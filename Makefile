# SPDX-License-Identifier: BSD-2-Clause
# The front door. What is built, and how, stands in meson.build.
#
#   make            build/setkey, build/sallyport, build/sallyportd
#   make demo       the article's two hosts, on this machine, in a minute
#   make check      every test, under AddressSanitizer and UBSan
#   make bench      what it costs: ciphers, engine, look-ups, loading, TCP; beside limits and peers
#   make bench-kernel  the same into the IPsec of Debian's kernel, in a guest
#   make fuzz       the fuzz targets for longer: FUZZ_SECONDS=600 each
#   make install    to PREFIX=/usr/local, under DESTDIR= where that is set
#   make clean

PREFIX       = /usr/local
FUZZ_SECONDS = 600

# An ordinary user may have no home; nothing is to be written beside the sources.
export PYTHONDONTWRITEBYTECODE = 1
export XDG_CACHE_HOME = $(CURDIR)/build/.cache
export PATH := $(PATH):/usr/sbin:/sbin

# Debian's own Python has Debian's modules; another one first in PATH has not.
PYTHON = $(firstword $(wildcard /usr/bin/python3) python3)
MESON  = $(firstword $(wildcard /usr/bin/meson) meson)

all: build/build.ninja
	@ninja -C build

build/build.ninja:
	@command -v $(MESON) >/dev/null || { \
	    echo "meson is missing: 'contrib/prepare-host demo' says what else is, and as root installs it"; \
	    exit 1; }
	@$(MESON) setup build --prefix='$(PREFIX)'

# A second make, because what the first line installs decides whether the rest can work.
demo:
	@contrib/prepare-host demo
	@$(MAKE) --no-print-directory all
	@contrib/in-namespaces examples/article/demo build

check:
	@contrib/prepare-host check
	@contrib/prepare-host kernel
	@$(MAKE) --no-print-directory all
	@$(PYTHON) tests/run.py

bench:
	@contrib/prepare-host bench
	@$(MAKE) --no-print-directory all
	@$(PYTHON) bench/all build

bench-kernel:
	@contrib/prepare-host kernel
	@$(MAKE) --no-print-directory all
	@bench/load --guest build

fuzz:
	@contrib/prepare-host check
	@$(PYTHON) tests/run.py --fuzz-seconds $(FUZZ_SECONDS) fuzz

install: all
	@$(MESON) configure build -Dprefix='$(PREFIX)'
	@DESTDIR='$(DESTDIR)' $(MESON) install -C build

clean:
	rm -rf build build-asan build-fuzz build-tsan

.PHONY: all demo check bench bench-kernel fuzz install clean
