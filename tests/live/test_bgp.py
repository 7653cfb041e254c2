# SPDX-License-Identifier: BSD-2-Clause
"""bird and bird, as in examples/bgp: one with a password in its kernel, one that knows of none."""

import contextlib
import re
import time

import pytest

from lab import ROOT, needs, wait_until

BGP = ROOT / "examples/bgp"
PEERS = {"phoenix": ("cardinal4", "cardinal6"), "cardinal": ("phoenix4", "phoenix6")}
ROUTES = {"phoenix": ("203.0.113.64/26", "2001:db8:b::/48"), "cardinal": ("203.0.113.0/26", "2001:db8:a::/48")}
UP_S = 20  # bird waits before it connects, and again after a failure


@pytest.fixture
def bird():
    needs("bird", "bird2")


class Bird:
    def __init__(self, lab, host, config):
        self.lab, self.host, self.control = lab, host, lab.dir / f"{host}.ctl"
        path = lab.dir / f"{host}.bird.conf"
        path.write_text(config)
        self.process = lab.spawn(host, "bird", "-f", "-c", path, "-s", self.control, "-P", lab.dir / f"{host}.pid")
        wait_until(self.control.exists, 5, f"bird on {host}")

    def ask(self, *words):
        return self.lab.run(self.host, "birdc", "-r", "-s", self.control, *words).stdout

    def established(self):
        """The protocols that are."""
        return set(re.findall(r"^(\S+) +BGP .*Established", self.ask("show", "protocols"), re.MULTILINE))

    def up(self):
        return self.established() == set(PEERS[self.host])


@contextlib.contextmanager
def birds(lab, passive=None):
    """Both, of which one may wait to be called."""
    running = []
    try:
        for host in PEERS:
            config = (BGP / f"{host}.bird.conf").read_text()
            running.append(Bird(lab, host, config.replace("multihop 2;", "multihop 2; passive;")
                                if host == passive else config))
        yield running
    finally:
        for each in running:
            each.process.kill()
            each.process.communicate()


@pytest.mark.steering
@pytest.mark.parametrize("passive", ["phoenix", "cardinal"])
def test_session(lab, bird, passive):
    """Established by either side, routes exchanged, and held for longer than its hold time."""
    phoenix = lab.daemon("phoenix")
    lab.setkey("phoenix", "-f", BGP / "phoenix.conf")
    capture = lab.capture("router", "west", "tcp port 179", ("-s", "2000"))
    with birds(lab, passive) as both:
        for each in both:
            wait_until(each.up, UP_S, f"BGP of {each.host}")
        time.sleep(11)
        for each in both:
            assert each.up()
            for route in ROUTES[each.host]:
                assert "BGP" in each.ask("show", "route", "all", "for", route)
            said = each.ask("show", "protocols", "all")
            assert not re.search(r"Last error", said), said
    lines = capture.text("-v", "-M", "a secret of the two routers")
    segments = lines.count("md5 valid")
    assert segments > 20 and "md5 (invalid)" not in lines and "can't check" not in lines
    print(f"figure: bird and bird, {passive} passive: both families established and held for 11 s (hold time 9 s), "
          f"{segments} segments, all md5 valid")
    phoenix.stop()


def test_wrong_key(lab, bird):
    """Never established, in either family; with the right key it is, and bird was not touched."""
    phoenix = lab.daemon("phoenix")
    right = (BGP / "phoenix.conf").read_text()
    lab.load("phoenix", right.replace("a secret", "another secret"))
    with birds(lab) as both:
        deadline = time.monotonic() + 12
        while time.monotonic() < deadline:
            assert [each.established() for each in both] == [set(), set()]
            time.sleep(0.5)
        assert phoenix.counters()["drop.icv"] >= 4  # what cardinal tried
        lab.load("phoenix", right)
        for each in both:
            wait_until(each.up, 40, f"BGP of {each.host}")
    phoenix.stop()


def test_without_us(lab, bird):
    """The detector: what phoenix sends unsigned cardinal does not take."""
    with birds(lab) as both:
        time.sleep(6)
        assert [each.established() for each in both] == [set(), set()]
