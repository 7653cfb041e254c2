# SPDX-License-Identifier: BSD-2-Clause
"""A VLAN's interface as the protected one, and its parent, which carries other traffic.

Where the kernel has no VLANs these tests are skipped; tests/kernel/test_vlan.py then runs
them under Debian's.
"""

import pytest

from lab import ADDRESS, BUILD_PLAIN, PROTO_ESP, read_pcap

VLAN = 100
MINE, PEER = {4: "10.100.0.1", 6: "fd00:100::1"}, {4: "10.100.0.2", 6: "fd00:100::2"}
ROUTER = ADDRESS["router"]
TAG = b"\x81\x00\x00\x64"  # 802.1Q, VLAN 100
ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}


@pytest.fixture
def vlan(lab):
    """VLAN 100 between phoenix and the router."""
    for host, parent, addresses in (("phoenix", "eth0", MINE), ("router", "west", PEER)):
        made = lab.run(host, "ip", "link", "add", "link", parent, "name", f"{parent}.{VLAN}", "type", "vlan",
                       "id", VLAN, check=False)
        if "Unknown device type" in made.stderr or "not supported" in made.stderr:
            pytest.skip("this kernel has no VLANs (8021q); `tests/run.py kernel` tries them under Debian's")
        assert made.returncode == 0, made.stderr
        lab.run(host, "sh", "-c", f"ip address add {addresses[4]}/24 dev {parent}.{VLAN};"
                f"ip address add {addresses[6]}/64 dev {parent}.{VLAN} nodad; ip link set {parent}.{VLAN} up")
    return lab


def conf(host, selectors=None):
    text = "flush; spdflush;"
    for version in (4, 6):
        ends = (MINE[version], PEER[version]) if host == "phoenix" else (PEER[version], MINE[version])
        for spi, (src, dst) in enumerate((ends, ends[::-1]) if host == "phoenix" else (ends[::-1], ends), 2001):
            text += f"add {src} {dst} esp {spi} -E aes-gcm-16 0x{str(spi) * 10};\n"
        both = (selectors[version],) * 2 if selectors else (f"{ends[0]} {ends[1]}", f"{ends[1]} {ends[0]}")
        for what, way in zip(both, ("out", "in")):
            text += f"spdadd {what} any -P {way} ipsec esp/transport//require;\n"
    return text


def start(lab, interface, selectors=None, driver=()):
    daemons = [lab.daemon("phoenix", *driver, interface=interface, build=BUILD_PLAIN),
               lab.daemon("router", interface=f"west.{VLAN}", build=BUILD_PLAIN)]
    for host in ("phoenix", "router"):
        lab.setkey(host, "-c", input=conf(host, selectors if host == "phoenix" else None), build=BUILD_PLAIN)
    return daemons


def tagged(capture):
    """(IP version, protocol) of the frames with our tag."""
    capture.packets()
    found = []
    for frame in read_pcap(capture.path.read_bytes()):
        for version, kind in ETHERTYPES.items():
            if frame[12:16] == TAG and frame[16:18] == kind:
                found.append((version, frame[18 + (9 if version == 4 else 6)]))
    return found


@pytest.mark.parametrize("driver, everything", [((), False), ((), True), (("-d", "tc-cbpf"), True)],
                         ids=["tc-pair", "tc-everything", "tc-cbpf-everything"])
def test_vlan(vlan, driver, everything):
    """Between its hosts all is protected and tagged; what the parent carries is not looked at."""
    daemons = start(vlan, f"eth0.{VLAN}", {4: "0.0.0.0/0 0.0.0.0/0", 6: "::/0 ::/0"} if everything else None, driver)
    for version in (4, 6):
        capture = vlan.router_capture()
        vlan.run("phoenix", "ip", f"-{version}", "neighbour", "flush", "dev", f"eth0.{VLAN}")
        before = [daemon.counters() for daemon in daemons]
        assert vlan.pings("phoenix", PEER[version]) and vlan.pings("router", MINE[version])
        for daemon, was in zip(daemons, before):
            now = daemon.counters()
            assert now.since(was, "out.protected") == now.since(was, "in.opened") == 6
        assert vlan.pings("phoenix", ROUTER[version]), "the parent's own"
        assert [kind for kind in tagged(capture) if kind[1] == PROTO_ESP] == [(version, PROTO_ESP)] * 12
        assert not [kind for kind in tagged(capture) if kind[1] in (1, 128)]
        echos = [p for p in capture.packets() if p.between(ADDRESS["phoenix"][version], ROUTER[version])]
        assert sum(p.proto in (1, 58) for p in echos) >= 6 and not any(p.protected for p in echos)
    for daemon in daemons:
        daemon.stop()


def test_parent_for_its_vlan(vlan):
    """Steering goes by addresses: who protects the parent protects what its VLANs carry too."""
    daemons = start(vlan, "eth0")
    capture = vlan.router_capture()
    for version in (4, 6):
        assert vlan.pings("phoenix", PEER[version]) and vlan.pings("router", MINE[version])
    assert (4, 1) not in tagged(capture)
    assert sum(kind[1] == PROTO_ESP for kind in tagged(capture)) == 24
    for daemon in daemons:
        daemon.stop()


def test_vlan_and_its_parent(vlan):
    """Not both at once: their packets are taken twice, and then go nowhere rather than in clear."""
    daemons = start(vlan, "eth0", driver=("-i", f"eth0.{VLAN}"))
    capture = vlan.router_capture()
    assert vlan.mute("phoenix", PEER[4]) and vlan.mute("router", MINE[4])
    assert (4, 1) not in tagged(capture)
    for daemon in daemons:
        daemon.stop()
