# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the live tests; `make check` runs them inside contrib/in-namespaces.

By hand: contrib/in-namespaces /usr/bin/python3 -m pytest -p no:cacheprovider tests/live
"""

import os
import pathlib
import subprocess

import pytest

import lab as lab_module


def pytest_configure(config):
    os.environ["SALLYPORT_BACKEND"] = "local"  # no test meets a kernel's databases without asking for them
    config.addinivalue_line("markers", "steering: shows that packets are steered; run without privilege too")


def pytest_sessionstart(session):
    if not pathlib.Path("/run/netns").is_dir() or subprocess.run(
            ["ip", "netns", "add", "trial"], check=False).returncode != 0:
        pytest.exit("no `ip netns` here: run this inside contrib/in-namespaces", returncode=3)
    subprocess.run(["ip", "netns", "del", "trial"], check=False)
    for program in ("setkey", "sallyportd", "sallyport"):
        if not (lab_module.BUILD / program).exists():
            pytest.exit(f"{lab_module.BUILD / program} is not there: build it first", returncode=3)


@pytest.fixture(scope="session")
def tun():
    """What the daemon's interfaces need of the machine."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"/dev/net/tun: {error.strerror}; contrib/prepare-host says what to do")


@pytest.fixture
def lab(tun):
    """The article's network, fresh, without daemons."""
    with lab_module.Lab() as network:
        yield network


@pytest.fixture
def bare():
    """The article's network for what needs no TUN device."""
    with lab_module.Lab() as network:
        yield network


@pytest.fixture
def databases(bare):
    """A daemon on phoenix that holds databases, empty ones; it needs no interface for that."""
    bare.keys = bare.dir / "keys.sock"
    daemon = bare.daemon("phoenix", "-s", bare.keys, interface=None, ready=False)
    lab_module.wait_until(bare.keys.exists, 10, "the socket")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALLYPORT_SOCKET", str(bare.keys))
        yield bare
        daemon.stop()


@pytest.fixture(scope="module")
def wire(tun):
    """phoenix with a daemon, and the test at the other end of its cable."""
    with lab_module.Wire() as network:
        network.phoenix = network.daemon("phoenix")
        yield network
        network.phoenix.stop()
