# SPDX-License-Identifier: BSD-2-Clause
"""The article's two hosts, the levels of policies, and what goes wrong."""

import re

import pytest

from lab import ADDRESS, ARTICLE, PROTO_AH, PROTO_ESP, clear_between, snmp

PHOENIX, CARDINAL = ADDRESS["phoenix"], ADDRESS["cardinal"]
THERE = [(PROTO_AH, 15700), (PROTO_ESP, 15701)]
BACK = [(PROTO_AH, 24500), (PROTO_ESP, 24501)]


def conf(host, suffix="", version=4):
    text = (ARTICLE / f"{host}{suffix}.conf").read_text()
    return text.replace(PHOENIX[4], PHOENIX[version]).replace(CARDINAL[4], CARDINAL[version])


def start(lab, suffix="", version=4):
    daemons = {host: lab.daemon(host) for host in ("phoenix", "cardinal")}
    for host in daemons:
        lab.load(host, conf(host, suffix, version))
    return daemons


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("suffix", ["", "-require"])
def test_article(lab, suffix, version):
    daemons = start(lab, suffix, version)
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[version])
    assert lab.pings("cardinal", PHOENIX[version])
    packets = [p for p in capture.packets() if p.between(PHOENIX[version], CARDINAL[version])]
    there = [p.layers() for p in packets if p.src == PHOENIX[version]]
    back = [p.layers() for p in packets if p.src == CARDINAL[version]]
    assert there == [THERE] * 6
    assert back == [BACK] * 6
    for daemon in daemons.values():
        counters = daemon.counters()
        assert counters["out.protected"] == counters["in.opened"] == 6
        daemon.stop()


def test_tcpdump_shows_the_article(lab):
    """The lines that the article prints."""
    lab.article()
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[4])
    text = capture.text()
    assert re.search(r"192\.0\.2\.10 > 198\.51\.100\.10: AH\(spi=0x00003d54,seq=0x1,icv=0x[0-9a-f]{24}\): "
                     r"ESP\(spi=0x00003d55,seq=0x1\), length", text), text
    assert re.search(r"198\.51\.100\.10 > 192\.0\.2\.10: AH\(spi=0x00005fb4,seq=0x1,icv=0x[0-9a-f]{24}\): "
                     r"ESP\(spi=0x00005fb5,seq=0x1\), length", text), text


def test_wrong_ah_key_on_cardinal(lab):
    _, cardinal = start(lab, "-require").values()
    lab.load("cardinal", conf("cardinal", "-require").replace('"1234567890123456"', '"1234567890123457"', 1))
    assert lab.mute("phoenix", CARDINAL[4])
    counters = cardinal.counters()
    assert counters["drop.icv"] == 2
    assert counters["in.opened"] == 0


def test_wrong_esp_key_on_cardinal(lab):
    """The article's ESP has no ICV: what a wrong key yields is rubbish, and no echo request."""
    start(lab, "-require")
    lab.load("cardinal", conf("cardinal", "-require").replace('"12345"', '"12346"', 1))
    capture = lab.router_capture()
    echos = snmp(lab, "cardinal", "Icmp", "InEchos")
    assert lab.mute("phoenix", CARDINAL[4])
    assert snmp(lab, "cardinal", "Icmp", "InEchos") == echos
    assert clear_between(capture.packets()) == []


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_require_without_sa_stays_silent(lab, version):
    phoenix, _ = start(lab, "-require", version).values()
    lab.load("phoenix", "flush;")
    capture = lab.router_capture()
    before = phoenix.counters()
    assert lab.mute("phoenix", CARDINAL[version])
    assert [p for p in capture.packets() if p.between(PHOENIX[version], CARDINAL[version])] == []
    assert phoenix.counters().since(before, "drop.no-sa-out") == 2


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_clear_packet_into_require(lab, version):
    """cardinal has no daemon and asks in clear."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", conf("phoenix", "-require", version))
    capture = lab.router_capture()
    before = phoenix.counters()
    assert lab.mute("cardinal", PHOENIX[version])
    assert phoenix.counters().since(before, "drop.policy-clear") == 2
    seen = clear_between(capture.packets(), version)
    assert [p.src for p in seen] == [CARDINAL[version]] * 2  # the requests came, no reply went


@pytest.mark.steering
def test_default_level_without_sa_passes_in_clear(lab):
    """`default` is `use`: what there is no SA for goes as it is."""
    phoenix, _ = start(lab).values()
    for host in ("phoenix", "cardinal"):
        lab.load(host, "flush;")
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[4])
    assert len(clear_between(capture.packets())) == 6
    assert phoenix.counters()["out.protected"] == 0


def test_use_with_one_of_two_sas(lab):
    """`use` skips what it has no SA for and applies the rest: ESP is gone, AH stays."""
    start(lab)
    for host in ("phoenix", "cardinal"):
        lab.load(host, f"deleteall {PHOENIX[4]} {CARDINAL[4]} esp; deleteall {CARDINAL[4]} {PHOENIX[4]} esp;")
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[4])
    layers = [p.layers() for p in capture.packets() if p.between(PHOENIX[4], CARDINAL[4])]
    assert layers == [THERE[:1], BACK[:1]] * 3


@pytest.mark.steering
def test_discard_and_none(lab):
    """The first policy that matches decides: none lets a host by, discard stops the rest."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", f"spdadd {PHOENIX[4]} {ADDRESS['router'][4]} any -P out none;"
                        f"spdadd {PHOENIX[4]} 0.0.0.0/0 any -P out discard;")
    capture = lab.router_capture()
    assert lab.pings("phoenix", ADDRESS["router"][4])
    assert lab.mute("phoenix", CARDINAL[4])
    assert [p for p in capture.packets() if p.dst == CARDINAL[4]] == []
    assert phoenix.counters()["drop.policy-discard"] == 2

    lab.load("phoenix", f"spdflush; spdadd {CARDINAL[4]} {PHOENIX[4]} any -P in discard;")
    before = phoenix.counters()
    assert lab.mute("cardinal", PHOENIX[4])
    assert lab.pings("phoenix", ADDRESS["router"][4])
    assert phoenix.counters().since(before, "drop.policy-discard") == 2

    lab.load("phoenix", "spdflush;")
    assert lab.pings("phoenix", CARDINAL[4])
    phoenix.stop()


@pytest.mark.steering
def test_policy_for_one_protocol(lab):
    """Only ICMP is to be protected; UDP between the same hosts is nobody's business."""
    for host, other in (("phoenix", "cardinal"), ("cardinal", "phoenix")):
        lab.daemon(host)
        sas = [line for line in conf(host, "-require").splitlines() if line.startswith(("add", "flush"))]
        ends = f"{ADDRESS[host][4]} {ADDRESS[other][4]}", f"{ADDRESS[other][4]} {ADDRESS[host][4]}"
        lab.load(host, "\n".join(sas) + "".join(
            f"\nspdadd {pair} icmp -P {way} ipsec esp/transport//require ah/transport//require;"
            for pair, way in zip(ends, ("out", "in"))))
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[4])
    send_udp = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                f"s.sendto(b'clear', ('{CARDINAL[4]}', 9))")
    lab.run("phoenix", "/usr/bin/python3", "-c", send_udp)
    packets = [p for p in capture.packets() if p.between(PHOENIX[4], CARDINAL[4])]
    assert [p.proto for p in packets if p.src == PHOENIX[4]] == [PROTO_AH] * 3 + [17]
    # cardinal's "port unreachable" is ICMP again
    assert [p.layers() for p in packets if p.src == CARDINAL[4]] == [BACK] * 4


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_large_packets(lab, version):
    """What still fits is carried; what does not is refused at home with the MTU that would."""
    phoenix, _ = start(lab, "-require", version).values()
    capture = lab.router_capture()
    asked = lab.ping("phoenix", CARDINAL[version], "-M", "do", "-s", "1452", "-c", "2", "-i", "0.2", "-W", "1")
    assert "100% packet loss" in asked.stdout
    mtu = int(re.search(r"mtu[ =:]+(\d+)", asked.stdout + asked.stderr)[1])
    assert 1400 < mtu < 1500
    header = {4: 28, 6: 48}[version]
    assert lab.pings("phoenix", CARDINAL[version], "-M", "do", "-s", str(mtu - header), "-c", "2", "-i", "0.2")
    packets = capture.packets()
    assert clear_between(packets, version) == []
    assert max(len(p.ip) for p in packets) <= 1500
    assert phoenix.counters()["out.protected"] >= 2


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [1400, 1452, 4000, 20000])
def test_large_datagrams(lab, version, size):
    """Transport mode protects whole datagrams; what does not fit then is cut, and nothing leaves in clear."""
    phoenix, _ = start(lab, "-require", version).values()
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[version], "-M", "dont", "-s", size, "-c", "3", "-i", "0.2", "-W", "2")
    packets = capture.packets()
    assert clear_between(packets, version) == []
    assert max(len(p.ip) for p in packets) <= 1500
    counters = phoenix.counters()
    # one datagram is protected however many pieces it came in
    assert counters["out.protected"] == 3 and counters["in.opened"] == 3, counters


@pytest.mark.steering
def test_all_or_nothing(lab):
    """What --atomic has loaded is in force when it answers; what it refuses has changed nothing."""
    daemons = {host: lab.daemon(host) for host in ("phoenix", "cardinal")}
    for host in daemons:
        lab.setkey(host, "--atomic", "-f", ARTICLE / f"{host}-require.conf")
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL[4])
    before = lab.dumps("phoenix")
    refused = "flush; spdflush; delete 192.0.2.10 198.51.100.10 ah 1000;"
    result = lab.setkey("phoenix", "--atomic", "-c", input=refused, check=False)
    assert result.returncode == 1 and "nothing was done" in result.stderr, result.stderr
    after = lab.dumps("phoenix")
    mask = re.compile(r"(seq|allocated|lastused|current):?.*")
    assert mask.sub("", before) == mask.sub("", after)
    assert lab.pings("phoenix", CARDINAL[4])
    packets = [p for p in capture.packets() if p.between(PHOENIX[4], CARDINAL[4])]
    assert [p.layers() for p in packets] == [THERE, BACK] * 6
    lab.setkey("phoenix", "--atomic", "-c", input="spdflush; flush;")
    lab.setkey("cardinal", "--atomic", "-c", input="spdflush; flush;")
    assert lab.pings("phoenix", CARDINAL[4])
    assert [p.protected for p in capture.packets()][-6:] == [False] * 6
    for daemon in daemons.values():
        daemon.stop()


DEFLEV = {4: "net.inet.ipsec", 6: "net.inet6.ipsec6"}


def in_clear(lab, version, asking):
    """Who spoke in clear, as tcpdump saw it between the hosts, while one of them asked the other twice."""
    ends = {"phoenix": PHOENIX[version], "cardinal": CARDINAL[version]}
    capture = lab.router_capture()
    other = "cardinal" if asking == "phoenix" else "phoenix"
    lab.ping(asking, ends[other], "-c", "2", "-i", "0.2", "-W", "1")
    text = capture.text("(icmp or icmp6) and host " + ends["phoenix"] + " and not (icmp6 and ip6[40] >= 133)")
    return {host for host, address in ends.items() if re.search(rf" {re.escape(address)} > ", text)}


def set_level(lab, host, version, value, kinds=("esp", "ah")):
    lab.sysctl(host, *(f"{DEFLEV[version]}.{kind}_trans_deflev={value}" for kind in kinds))


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_deflev_of_the_article(lab, version):
    """The article's own files, whose policies are for `out` and say `default`."""
    start(lab, version=version)
    other = 10 - version
    for level in (1, 2):
        for host in ("phoenix", "cardinal"):
            set_level(lab, host, version, level)
            set_level(lab, host, other, 3 - level)  # the other family's is another
        # with SAs the level does not matter: both ways, protected
        assert lab.pings("phoenix", CARDINAL[version])
        assert in_clear(lab, version, "phoenix") == in_clear(lab, version, "cardinal") == set()
    # 2, without SAs: whoever would speak in clear is silent
    for host in ("phoenix", "cardinal"):
        lab.load(host, "flush;")
    for asking in ("phoenix", "cardinal"):
        assert in_clear(lab, version, asking) == set()
    # 1 on cardinal alone: it speaks in clear, and phoenix, which has no policy for `in`, hears it but does not answer
    set_level(lab, "cardinal", version, 1)
    group = ("Icmp", "InEchos") if version == 4 else None
    before = snmp(lab, "phoenix", *group) if group else None
    assert in_clear(lab, version, "cardinal") == {"cardinal"}
    assert in_clear(lab, version, "phoenix") == set()
    if group:
        assert snmp(lab, "phoenix", *group) == before + 2
    # a policy for `in` of the same words: now phoenix does not even hear it
    lab.load("phoenix", f"spdadd {CARDINAL[version]} {PHOENIX[version]} any -P in ipsec "
                        "esp/transport//default ah/transport//default;")
    before = snmp(lab, "phoenix", *group) if group else None
    family = "ipsec" if version == 4 else "ipsec6"
    refused = lab.stats("phoenix", family)[family]["in_polvio"]
    assert in_clear(lab, version, "cardinal") == {"cardinal"}
    assert lab.stats("phoenix", family)[family]["in_polvio"] == refused + 2
    if group:
        assert snmp(lab, "phoenix", *group) == before
    # 1 on both: clear, both ways, whoever asks
    set_level(lab, "phoenix", version, 1)
    for asking in ("phoenix", "cardinal"):
        assert in_clear(lab, version, asking) == {"phoenix", "cardinal"}


@pytest.mark.steering
@pytest.mark.parametrize("level", [1, 2])
def test_deflev_with_one_of_two_sas(lab, level):
    """ESP's level decides what goes when ESP has no SA; AH's is 1, and AH alone may be missing."""
    start(lab)
    for host in ("phoenix", "cardinal"):
        set_level(lab, host, 4, level, ("esp",))
        set_level(lab, host, 4, 1, ("ah",))

    def layers(gone):
        for host in ("phoenix", "cardinal"):
            lab.load(host, conf(host) + f"deleteall {PHOENIX[4]} {CARDINAL[4]} {gone};"
                                        f"deleteall {CARDINAL[4]} {PHOENIX[4]} {gone};")
        capture = lab.router_capture()
        lab.ping("phoenix", CARDINAL[4], "-c", "2", "-i", "0.2", "-W", "1")
        return [p.layers() for p in capture.packets() if p.between(PHOENIX[4], CARDINAL[4])]

    assert layers("ah") == [THERE[1:], BACK[1:]] * 2
    assert layers("esp") == ([THERE[:1], BACK[:1]] * 2 if level == 1 else [])
