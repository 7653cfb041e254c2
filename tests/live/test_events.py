# SPDX-License-Identifier: BSD-2-Clause
"""What a listener is told unasked: SAs that are past a limit, and SAs that are missing."""

import re
import subprocess
import time

import pytest

from lab import BUILD, wait_until

EXPIRE, ACQUIRE = 8, 6


class Listener:
    """setkey -x on a host, and the messages that it has shown."""

    def __init__(self, lab, host):
        self.lab, self.host = lab, host
        self.log = lab.dir / f"listen-{host}"
        self.file = self.log.open("w")
        self.process = subprocess.Popen(["ip", "netns", "exec", host, BUILD / "setkey", "-x"],
                                        stdout=self.file, stderr=subprocess.STDOUT)
        # It listens once it hears what another one asks.
        def hears():
            lab.setkey(host, "-D")
            return self.messages(10)
        wait_until(hears, 10, "a listener")

    def messages(self, kind):
        """[text] of the messages of a type."""
        return [text for text in self.log.read_text(errors="replace").split("\n\n")
                if re.search(rf"sadb_msg{{ version=2 type={kind} ", text)]

    def stop(self):
        self.process.kill()
        self.process.wait(10)
        self.file.close()


@pytest.fixture
def article(lab):
    daemon = lab.daemon("phoenix")
    listener = Listener(lab, "phoenix")
    yield lab, listener
    listener.stop()
    daemon.stop()


def test_a_missing_sa_is_told_once(article):
    """Ten packets lack their SA within a second, one ACQUIRE comes; none of them leaves."""
    lab, listener = article
    lab.setkey("phoenix", "-c", input=(
        "spdadd 192.0.2.10 198.51.100.10 icmp -P out ipsec esp/transport//require ah/transport//require;"))
    capture = lab.router_capture()
    lab.ping("phoenix", "198.51.100.10", "-c", "10", "-i", "0.05", "-W", "1")
    wait_until(lambda: listener.messages(ACQUIRE), 5, "an ACQUIRE")
    time.sleep(0.3)
    told = listener.messages(ACQUIRE)
    assert len(told) == 1, told
    assert "satype=3" in told[0] and "c000020a" in told[0] and "c633640a" in told[0], told[0]
    assert "sadb_prop{ replay=" in told[0] and "pid=0" in told[0], told[0]
    assert not [packet for packet in capture.packets() if packet.dst == "198.51.100.10"]


def test_limits_are_told_when_they_are_passed(article):
    """2 s soft, 4 s hard: dying, then gone, each with an EXPIRE, and no sooner."""
    lab, listener = article
    began = time.time()
    lab.setkey("phoenix", "-c", input=(
        'add 192.0.2.10 198.51.100.10 ah 0x1001 -ls 2 -lh 4 -A hmac-md5 "1234567890123456";'))
    states = {}
    while len(states) < 3 and time.time() < began + 12:
        shown = re.search(r"state=(\w+)|No SAD entries", lab.setkey("phoenix", "-D").stdout)
        states.setdefault(shown[1] or "gone", time.time() - began)
        time.sleep(0.1)
    assert list(states) == ["mature", "dying", "gone"], states
    assert 2 <= states["dying"] < 5 and 4 <= states["gone"] < 7, states
    soft, hard = listener.messages(EXPIRE)
    assert "state=2" in soft and "state=3" in hard and "31323334" not in soft + hard, soft + hard


def test_limits_in_bytes(article):
    """Past 200 bytes dying, past 1000 gone, with packets to count."""
    lab, listener = article
    lab.setkey("phoenix", "-c", input=(
        "spdadd 192.0.2.10 198.51.100.10 icmp -P out ipsec ah/transport//require;"
        'add 192.0.2.10 198.51.100.10 ah 0x1001 -bs 200 -bh 1000 -A hmac-md5 "1234567890123456";'))
    lab.ping("phoenix", "198.51.100.10", "-c", "3", "-i", "0.05", "-W", "1")
    wait_until(lambda: len(listener.messages(EXPIRE)) == 1, 5, "the soft limit")
    lab.ping("phoenix", "198.51.100.10", "-c", "9", "-i", "0.05", "-W", "1")
    wait_until(lambda: len(listener.messages(EXPIRE)) == 2, 5, "the hard limit")
    assert lab.setkey("phoenix", "-D").stdout == "No SAD entries.\n"
