# SPDX-License-Identifier: BSD-2-Clause
"""Each tunable changes what it says: what phoenix sends and lets in, byte by byte.

A test names the tunables that it is about; the last one compares the names with those of
`sallyport sysctl -a`. What needs no packet is in tests/unit/test_tunable.c, test_event.c,
test_engine_natt.c and test_engine_tcpmd5.c, and is named here, too.
"""

import contextlib
import hashlib
import hmac
import re
import socket
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

import ipsec_model as model
from lab import ADDRESS, PROTO_AH, PROTO_ESP, BUILD, inside, wait_until

ME, PHOENIX = ADDRESS["cardinal"], ADDRESS["phoenix"]
IPCOMP = 108
PORT = 7000
KEY = b"12345678901234567890"
V = {4: "net.inet.ipsec", 6: "net.inet6.ipsec6"}
VERSIONS = pytest.mark.parametrize("version", [4, 6])

covered = {  # by unit tests, to which each test here adds its own
    "net.key.spi_trycnt", "net.key.spi_minval", "net.key.spi_maxval", "net.key.larval_lifetime",
    "net.key.blockacq_count", "net.key.blockacq_lifetime", "net.key.esp_keymin", "net.key.esp_auth",
    "net.key.ah_keymin", "net.inet.ipsec.natt_cksum_policy", "net.sallyport.tcp_md5_strip",
    "net.key.natt_keepalive",  # by tests/live/test_natt.py
}


def about(*names):
    covered.update(names)
    return lambda test: test


@pytest.fixture
def host(wire):
    """phoenix with empty databases, tunables as they are at first, and a socket that hears what comes through."""
    wire.load("phoenix", "flush; spdflush;")
    standard = dict(line.split(": ", 1) for line in wire.sysctl("phoenix", "-a").splitlines())
    with inside("phoenix"):
        wire.listener = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        wire.listener.bind(("::", PORT))
        wire.listener.settimeout(0.3)
    yield wire
    wire.listener.close()
    wire.load("phoenix", "flush; spdflush;")
    now = dict(line.split(": ", 1) for line in wire.sysctl("phoenix", "-a").splitlines())
    for name in now:
        if now[name] != standard[name]:
            wire.sysctl("phoenix", f"{name}={standard[name]}")


def speak(host, version, size=32, tos=0, df=None, port=9):
    """phoenix sends a datagram of UDP; what comes out of its interface, or None."""
    host.drain()
    with inside("phoenix"):
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            level = socket.IPPROTO_IP if version == 4 else socket.IPPROTO_IPV6
            s.setsockopt(level, socket.IP_TOS if version == 4 else socket.IPV6_TCLASS, tos)
            if df is not None:
                s.setsockopt(level, 10, 2 if df else 0)  # IP_MTU_DISCOVER
            with contextlib.suppress(OSError):
                s.sendto(bytes(size), (ME[version], port))
    return host.receive(lambda packet: packet.dst == ME[version], 0.5)


def datagram(version, tos=0, df=False, data=b"hello"):
    ip = (IP(src=ME[4], dst=PHOENIX[4], tos=tos, flags="DF" if df else 0) if version == 4
          else IPv6(src=ME[6], dst=PHOENIX[6], tc=tos))
    return bytes(ip / UDP(sport=5, dport=PORT) / Raw(data))


def heard(host, packet):
    """Whether phoenix's socket hears of a packet that arrives."""
    host.listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:  # forget what was late
            host.listener.recv(2000)
    host.listener.settimeout(0.4)
    host.send(packet)
    try:
        return host.listener.recv(2000)
    except TimeoutError:
        return None


def sa(version, proto, spi, out=True, rest='-A hmac-sha1 "12345678901234567890"', options=""):
    ends = f"{PHOENIX[version]} {ME[version]}" if out else f"{ME[version]} {PHOENIX[version]}"
    return f"add {ends} {proto} {spi} {options} {'-E null' if proto == 'esp' and '-E' not in rest else ''} {rest};"


def policy(version, request, out=True, what="any"):
    ends = f"{PHOENIX[version]} {ME[version]}" if out else f"{ME[version]} {PHOENIX[version]}"
    return f"spdadd {ends} {what} -P {'out' if out else 'in'} {request};"


def tunnel(version, proto="esp", level="require", out=True):
    ends = (PHOENIX, ME) if out else (ME, PHOENIX)
    return f"ipsec {proto}/tunnel/{ends[0][version]}-{ends[1][version]}/{level}"


def esp_text(packet):
    """What an ESP packet of the null cipher carries: (payload, pad length), the ICV being right."""
    esp = packet.payload
    assert packet.proto == PROTO_ESP
    assert model.esp_icv("hmac-sha1", KEY, esp[:-12]) == esp[-12:]
    return esp[8:-12 - 2 - esp[-14]], esp[-14]


# ---- what passes ----

@VERSIONS
@pytest.mark.parametrize("kind", ["esp_trans", "esp_net", "ah_trans", "ah_net"])
@about(*(f"{v}.{kind}_deflev" for v in V.values() for kind in ("esp_trans", "esp_net", "ah_trans", "ah_net")))
def test_deflev(host, version, kind):
    """Level `default` is `use` at 1, `require` at 2 and 3: both ways, and for one family alone."""
    proto, mode = kind.split("_")
    for v in (4, 6):
        for out in (True, False):
            request = f"ipsec {proto}/transport//default" if mode == "trans" else tunnel(v, proto, "default", out)
            host.load("phoenix", policy(v, request, out))
    for value, passes in ((1, True), (2, False), (3, False)):
        host.sysctl("phoenix", f"{V[version]}.{kind}_deflev={value}")
        packet = speak(host, version)
        assert (packet is not None and packet.proto == 17) == passes
        assert (heard(host, datagram(version)) == b"hello") == passes
        other = 10 - version
        assert speak(host, other).proto == 17
        assert heard(host, datagram(other)) == b"hello"


@pytest.mark.parametrize("name", ["net.inet.ipsec.def_policy", "net.inet6.ipsec6.def_policy"])
@about("net.inet.ipsec.def_policy")
def test_def_policy(host, name):
    """Where nothing fits: in force when it is answered, both families, both ways, and taken back."""
    for value, passes in ((1, True), (0, False), (1, True)):
        host.sysctl("phoenix", f"{name}={value}")
        for version in (4, 6):
            assert (speak(host, version) is not None) == passes
            assert (heard(host, datagram(version)) == b"hello") == passes
    host.sysctl("phoenix", f"{name}=0")
    host.load("phoenix", policy(4, "none") + policy(4, "none", out=False))
    assert speak(host, 4) and heard(host, datagram(4))
    assert not speak(host, 6)


@VERSIONS
@about("net.inet.ah.ah_enable", "net.inet.esp.esp_enable", "net.inet.ipcomp.ipcomp_enable")
def test_enable(host, version):
    for proto, name in (("ah", "net.inet.ah.ah_enable"), ("esp", "net.inet.esp.esp_enable"),
                        ("ipcomp", "net.inet.ipcomp.ipcomp_enable")):
        host.load("phoenix", "flush; spdflush;" + policy(version, f"ipsec {proto}/transport//require")
                  + (sa(version, "ipcomp", 1000, rest="-C deflate") if proto == "ipcomp"
                     else sa(version, proto, 4096) + sa(version, proto, 4097, out=False)))
        number = {"ah": PROTO_AH, "esp": PROTO_ESP, "ipcomp": IPCOMP}[proto]
        for value in (1, 0):
            host.sysctl("phoenix", f"{name}={value}")
            before = host.stats("phoenix", proto)[proto]["pdrops"]
            packet = speak(host, version, 200)
            assert packet.proto == number if value else packet is None
            if proto == "ah":
                arriving = model.Ah(4097, "hmac-sha1", KEY).protect(datagram(version))
            elif proto == "esp":
                arriving = model.esp_null_protect(datagram(version), 4097, 1, "hmac-sha1", KEY)
            else:
                arriving = None
            if arriving:
                assert heard(host, arriving) == (b"hello" if value else None)
            assert host.stats("phoenix", proto)[proto]["pdrops"] - before == (0 if value else 1 + bool(arriving))
        host.sysctl("phoenix", f"{name}=1")


@about("net.inet.ipsec.check_policy_history")
def test_check_policy_history(host):
    """The policy wants transport; a tunnel of the same SA is another thing, and of the same kind."""
    host.load("phoenix", sa(4, "esp", 4097, out=False, options="-m any")
              + policy(4, "ipsec esp/transport//require", out=False))
    whole = datagram(4)
    headers = bytes(IP(src=ME[4], dst=PHOENIX[4], proto=4) / Raw(whole))
    wrapped = model.esp_null_protect(headers, 4097, 1, "hmac-sha1", KEY)
    assert heard(host, wrapped) is None
    host.sysctl("phoenix", "net.inet.ipsec.check_policy_history=0")
    assert heard(host, wrapped) == b"hello"
    assert heard(host, whole) is None


@about("net.key.preferred_oldsa")
def test_preferred_oldsa(host):
    host.load("phoenix", sa(4, "esp", 5001) + sa(4, "esp", 5002) + policy(4, "ipsec esp/transport//require"))
    for value, spi in ((1, 5001), (0, 5002)):
        assert host.sysctl("phoenix", f"net.key.prefered_oldsa={value}").startswith("net.key.prefered_oldsa: ")
        assert speak(host, 4).layers() == [(PROTO_ESP, spi)]


# ---- AH ----

def ah_icv(packet, offset=0, tos=0):
    """The ICV of an AH packet of IPv4 with so many of the mutable fields counted: RFC 4302 section 3.3.3.1.1.1."""
    fixed = bytearray(packet)
    fixed[1] &= tos
    fixed[6] &= offset >> 8
    fixed[7] &= offset & 0xff
    fixed[8] = fixed[10] = fixed[11] = 0
    fixed[32:44] = bytes(12)
    return hmac.new(KEY, bytes(fixed), hashlib.sha1).digest()[:12]


def resigned(packet, **fields):
    return packet[:32] + ah_icv(packet, **fields) + packet[44:]


@about("net.inet.ipsec.ah_cleartos")
def test_ah_cleartos(host):
    host.load("phoenix", sa(4, "ah", 4096) + sa(4, "ah", 4097, out=False) + policy(4, "ipsec ah/transport//require"))
    packet = model.Ah(4097, "hmac-sha1", KEY).protect(datagram(4, tos=0x10))
    for name in ("net.inet.ipsec.ah_cleartos", "net.inet.ah.ah_cleartos"):
        for value in (1, 0):
            host.sysctl("phoenix", f"{name}={value}")
            tos = 0 if value else 0xff
            assert heard(host, resigned(packet, tos=tos)) == b"hello"
            assert heard(host, resigned(packet, tos=0xff ^ tos)) is None
            sent = speak(host, 4, tos=0x10).ip
            assert sent[1] == 0x10 and ah_icv(sent, tos=tos) == sent[32:44]


@about("net.inet.ipsec.ah_offsetmask")
def test_ah_offsetmask(host):
    host.load("phoenix", sa(4, "ah", 4096) + sa(4, "ah", 4097, out=False) + policy(4, "ipsec ah/transport//require"))
    packet = model.Ah(4097, "hmac-sha1", KEY).protect(datagram(4, df=True))
    for mask in (0, 0x4000):
        host.sysctl("phoenix", f"net.inet.ipsec.ah_offsetmask={mask}")
        assert heard(host, resigned(packet, offset=mask)) == b"hello"
        assert heard(host, resigned(packet, offset=0x4000 ^ mask)) is None
        sent = speak(host, 4, df=True).ip
        assert sent[6] == 0x40 and ah_icv(sent, offset=mask) == sent[32:44]


# ---- tunnels ----

@about("net.inet.ipsec.dfbit")
def test_dfbit(host):
    host.load("phoenix", sa(4, "esp", 4096, options="-m tunnel") + policy(4, tunnel(4)))
    for value, of in ((0, {True: 0, False: 0}), (1, {True: 1, False: 1}), (2, {True: 1, False: 0})):
        host.sysctl("phoenix", f"net.inet.ipsec.dfbit={value}")
        for df in (True, False):
            packet = speak(host, 4, df=df)
            inner, _ = esp_text(packet)
            assert inner[6] >> 6 & 1 == df
            assert packet.ip[6] >> 6 & 1 == of[df]


@VERSIONS
@about("net.inet.ipsec.ecn", "net.inet6.ipsec6.ecn")
def test_ecn(host, version):
    """What the outside shows of a packet marked with CE, and what becomes of a mark made outside."""
    def ecn_of(ip):
        return (ip[1] if version == 4 else ip[1] >> 4) & 3

    host.load("phoenix", sa(version, "esp", 4096, options="-m tunnel") + policy(version, tunnel(version))
              + sa(version, "esp", 4097, out=False, options="-m tunnel")
              + policy(version, tunnel(version, out=False), out=False))
    outside = {-1: 3, 0: 0, 1: 2, 2: 3, 3: 0}  # of CE inside: RFC 3168 section 9.1.1, RFC 6040 section 4.1
    inner = datagram(version)  # not ECT
    header = (IP(src=ME[4], dst=PHOENIX[4], proto=4, tos=3) if version == 4
              else IPv6(src=ME[6], dst=PHOENIX[6], nh=41, tc=3))
    marked = model.esp_null_protect(bytes(header / Raw(inner)), 4097, 1, "hmac-sha1", KEY)
    for value, want in outside.items():
        host.sysctl("phoenix", f"{V[version]}.ecn={value}")
        packet = speak(host, version, tos=3)
        assert ecn_of(esp_text(packet)[0]) == 3
        assert ecn_of(packet.ip) == want
        assert (heard(host, marked) == b"hello") == (value == -1)  # all others drop CE on what knows no ECN


@VERSIONS
@about("net.sallyport.tunnel_ttl")
def test_tunnel_ttl(host, version):
    host.load("phoenix", sa(version, "esp", 4096, options="-m tunnel") + policy(version, tunnel(version)))
    for value in (64, 1, 255):
        host.sysctl("phoenix", f"net.sallyport.tunnel_ttl={value}")
        packet = speak(host, version)
        assert packet.ip[8 if version == 4 else 7] == value
        assert esp_text(packet)[0][8 if version == 4 else 7] == 64


# ---- ESP ----

@VERSIONS
@about("net.inet.ipsec.esp_randpad", "net.inet6.ipsec6.esp_randpad")
def test_esp_randpad(host, version):
    """-1: what must be. Else up to so much more, in whole blocks, never too long for its length byte."""
    host.load("phoenix", sa(version, "esp", 4096) + policy(version, "ipsec esp/transport//require"))
    name = f"{V[version]}.esp_randpad"
    # 8 + 32 bytes of UDP and the trailer's two: two bytes of padding fill a word
    for value, most in ((-1, 2), (0, 2), (3, 2), (40, 42), (255, 254)):
        host.sysctl("phoenix", f"{name}={value}")
        seen = set()
        for _ in range(24 if value > 3 else 3):
            payload, pad = esp_text(speak(host, version))
            assert payload[8:] == bytes(32)
            seen.add(pad)
        assert all(pad % 4 == 2 and pad <= most for pad in seen), seen
        assert len(seen) > 4 if value > 3 else seen == {2}
    # what just fits without is never longer than the interface takes with it
    room = 1500 - {4: 20, 6: 40}[version] - 8 - 8 - 2 - 12
    for value in (-1, 255):
        host.sysctl("phoenix", f"{name}={value}")
        sent = [speak(host, version, room // 4 * 4 - 4) for _ in range(8)]
        assert all(packet is None or len(packet.ip) <= 1500 for packet in sent)
        assert any(sent[1:])  # the first may be refused, with the MTU that fits


@about("net.inet.esp.ctr_compatibility")
def test_ctr_compatibility(host):
    host.load("phoenix", sa(4, "esp", 4096, rest='-E aes-ctr "12345678901234567890" -A hmac-sha1 "12345678901234567890"')
              + policy(4, "ipsec esp/transport//require"))
    for value in (0, 1):
        host.sysctl("phoenix", f"net.inet.esp.ctr_compatibility={value}")
        lengths = {size: len(speak(host, 4, size).payload) - 8 - 8 - 12 for size in range(32, 50, 3)}
        for size, length in lengths.items():
            unit = 16 if value else 4
            assert length == -(-(8 + size + 2) // unit) * unit


@VERSIONS
@about("net.sallyport.ipcomp_threshold")
def test_ipcomp_threshold(host, version):
    host.load("phoenix", sa(version, "ipcomp", 1000, rest="-C deflate")
              + policy(version, "ipsec ipcomp/transport//require"))
    for value, proto in ((90, 17), (40, IPCOMP), (41, 17)):
        host.sysctl("phoenix", f"net.sallyport.ipcomp_threshold={value}")
        assert speak(host, version, 32).proto == proto  # 40 bytes with the header of UDP


@VERSIONS
@about("net.sallyport.tcp_md5_ports")
def test_tcp_md5_ports(host, version):
    """A SYN to a port of the list has the option of RFC 2385, one to another port has not."""
    host.load("phoenix", sa(version, "tcp", 4096, rest='-A tcp-md5 "secret"'))

    def is_signed(port):
        host.drain()
        with inside("phoenix"):
            family = socket.AF_INET if version == 4 else socket.AF_INET6
            with socket.socket(family, socket.SOCK_STREAM) as s:
                s.setblocking(False)
                s.connect_ex((ME[version], port))
                packet = host.receive(lambda p: p.proto == 6 and p.payload[2:4] == port.to_bytes(2, "big"), 1)
        options = packet.payload[20:(packet.payload[12] >> 4) * 4]
        while options and options[0]:
            if options[0] == 19:
                return True
            options = options[1:] if options[0] == 1 else options[options[1]:]
        return False

    assert is_signed(179) and not is_signed(2605)
    host.sysctl("phoenix", "net.sallyport.tcp_md5_ports=2605,2606")
    assert not is_signed(179) and is_signed(2605) and is_signed(2606)
    host.sysctl("phoenix", "net.sallyport.tcp_md5_ports=")
    assert not is_signed(179) and not is_signed(2605)


# ---- the log ----

@VERSIONS
@about("net.inet.ipsec.debug", "net.inet6.ipsec6.debug")
def test_debug(host, version):
    """A line for each dropped packet; without, one in ten seconds."""
    bad = model.esp_null_protect(datagram(version), 0x77777 + version, 1, "hmac-sha1", KEY)

    def lines():
        seen = len(host.phoenix.text())
        before = host.stats("phoenix", "drop")["drop"]["no-sa-in"]
        for _ in range(5):
            host.send(bad)
        wait_until(lambda: host.stats("phoenix", "drop")["drop"]["no-sa-in"] == before + 5, 5, "five drops")
        return len(re.findall(r"dropped arriving: no SA", host.phoenix.text()[seen:]))

    lines()  # the one that is told always
    assert lines() == 0
    host.sysctl("phoenix", f"{V[10 - version]}.debug=1")
    assert lines() == 0
    host.sysctl("phoenix", f"{V[version]}.debug=1")
    assert lines() == 5


@about("net.key.debug")
def test_key_debug(host):
    def said(text):
        seen = len(host.phoenix.text())
        host.setkey("phoenix", "-c", input=text, check=False)
        time.sleep(0.1)
        return host.phoenix.text()[seen:]

    text = sa(4, "esp", 4096) + "delete 192.0.2.10 198.51.100.10 esp 4098;"
    assert said(text) == ""
    host.sysctl("phoenix", "net.key.debug=1")
    lines = said("flush;" + text)
    assert re.search(r"ADD \(3\) of SA type 3 from process \d+: done", lines), lines
    assert re.search(r"DELETE \(4\) of SA type 3 from process \d+: No such process", lines), lines
    assert "1234567890" not in lines


# ---- the command ----

def test_every_tunable_has_a_test(host):
    """Those that can only be read say so; each other one is named by a test."""
    names = [line.split(": ")[0] for line in host.sysctl("phoenix", "-a").splitlines()]
    assert len(names) == len(set(names)) > 40
    fixed = {name for name in names
             if "can only be read" in host.sallyport("phoenix", "sysctl", f"{name}=1", check=False).stderr}
    assert fixed == {"net.inet.ipsec.filtertunnel", "net.inet6.ipsec6.filtertunnel", "net.inet.ipsec.crypto_support",
                     "net.inet.ipsec.async_crypto", "net.key.int_random", "net.key.spdcache.maxentries",
                     "net.key.spdcache.threshold"}
    assert covered == set(names) - fixed


def test_command_line(host):
    def run(*words, **kwargs):
        result = host.sallyport("phoenix", "sysctl", *words, check=False, **kwargs)
        return result.returncode, result.stdout, result.stderr

    assert run("net.key.spi_trycnt") == (0, "net.key.spi_trycnt: 1000\n", "")
    assert run("-n", "net.key.spi_trycnt") == (0, "1000\n", "")
    assert run("net.key.spi_trycnt=0x10", "net.key.spi_trycnt") == (
        0, "net.key.spi_trycnt: 1000 -> 16\nnet.key.spi_trycnt: 16\n", "")
    assert run("-d", "net.key.esp_keymin") == (
        0, "net.key.esp_keymin: shortest key for ESP that ACQUIRE proposes\n", "")
    status, out, err = run("net.key.spi_tricnt", "net.key.blockacq_count")
    assert (status, out) == (1, "net.key.blockacq_count: 10\n")
    assert "did you mean `net.key.spi_trycnt'" in err
    status, out, err = run("net.key.spi_trycnt=0", "net.key.blockacq_count=3")
    assert (status, out) == (1, "net.key.blockacq_count: 10 -> 3\n")
    assert "it takes 1 to 1000000" in err
    assert set(line.split(": ")[0] for line in run("net.key.spdcache")[1].splitlines()) == {
        "net.key.spdcache.maxentries", "net.key.spdcache.threshold"}
    for words in ((), ("-a", "x"), ("-q",), ("-a", "-f", "x")):
        assert run(*words)[0] == 2
    assert run("-h")[0] == 0
    assert run("x" * 300)[0] == 1
    assert run("x" * 300 + "=1")[0] == 1
    assert run("net.key.debug=" + "1" * 300)[0] == 1


def test_file(host):
    path = host.dir / "sysctl.conf"
    path.write_text("# of phoenix\nnet.key.blockacq_count = 5\nnet.key.spi_maxval=0x2000\nnet.key.spi_minval=0x1000\n")
    result = host.sallyport("phoenix", "sysctl", "-f", path)
    assert result.stdout.splitlines() == ["net.key.blockacq_count: 10 -> 5", "net.key.spi_maxval: 268435455 -> 8192",
                                          "net.key.spi_minval: 256 -> 4096"]
    path.write_text("net.key.blockacq_count = 6\nnet.key.spi_minval=0x3000\nnet.key.blokacq_count=1\n")
    result = host.sallyport("phoenix", "sysctl", "-f", path, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0].startswith(f"{path}:2:20: error: then the lowest SPI")
    assert f"{path}:3:1: error: there is no tunable" in result.stderr
    assert host.sysctl("phoenix", "-n", "net.key.blockacq_count") == "5\n"
    result = host.sallyport("phoenix", "sysctl", "-f", "-", input="net.key.blockacq_count=10\n")
    assert result.stdout == "net.key.blockacq_count: 5 -> 10\n"
    assert host.sallyport("phoenix", "sysctl", "-f", "/nonexistent", check=False).returncode == 2


def test_stats_of_sas_and_policies(host):
    """What phoenix sent and what it dropped, by SA and by policy."""
    host.load("phoenix", sa(4, "esp", 4096) + sa(4, "esp", 4097, out=False, options="-r 4")
              + policy(4, "ipsec esp/transport//require") + policy(4, "ipsec esp/transport//require", out=False))
    for _ in range(3):
        assert speak(host, 4, 32)
    packet = model.esp_null_protect(datagram(4), 4097, 1, "hmac-sha1", KEY)
    assert heard(host, packet) == b"hello"
    assert heard(host, packet) is None
    assert heard(host, model.esp_null_protect(datagram(4), 4097, 2, "hmac-sha1", bytes(20))) is None
    assert heard(host, datagram(4)) is None
    shown = host.stats("phoenix", "sa", "policy")
    assert set(shown) == {"sa", "policy"}
    sas = {entry["spi"]: entry for entry in shown["sa"]}
    # 20 of IPv4, 8 of ESP, 8 + 32 of UDP, 2 + 2 of the trailer, 12 of the ICV
    assert (sas[4096]["packets"], sas[4096]["bytes"]) == (3, 3 * 84)
    assert sas[4097]["packets"] == 1
    assert {name: n for name, n in sas[4097]["drop"].items() if n} == {"replay": 1, "icv": 1}
    policies = {entry["direction"]: entry for entry in shown["policy"]}
    assert (policies["out"]["packets"], policies["out"]["bytes"], policies["out"]["drops"]) == (3, 3 * 60, 0)
    assert (policies["in"]["packets"], policies["in"]["drops"]) == (2, 1)
    text = host.sallyport("phoenix", "stats", "-s", "sa").stdout
    assert re.search(r"192\.0\.2\.10 198\.51\.100\.10 esp 4096 \(0x00001000\) mode any reqid 0: packets 3, bytes 252\n", text)


def test_stats_in_words(host):
    before = host.stats("phoenix")
    text = host.sallyport("phoenix", "stats").stdout
    assert re.search(r"^esp:\n(\t.*\n)*\t\d+ packets with a wrong ICV \(badauth\)\n", text, re.MULTILINE)
    assert re.search(r"^interface:\n(\t.*\n)*\t\d+ packets from the driver \(eth0\.rx\)\n", text, re.MULTILINE)
    assert not re.search(r"^\t\d+  \(", text, re.MULTILINE)  # each has words
    assert [line[:-1] for line in text.splitlines() if not line.startswith("\t")] == list(before)
    assert list(before["esp"])[:6] == ["hdrops", "nopf", "notdb", "badkcr", "qfull", "noxform"]  # FreeBSD's order
    assert "\t0 " not in host.sallyport("phoenix", "stats", "-s").stdout
    assert host.sallyport("phoenix", "stats", "nonsense", check=False).returncode == 2


def test_without_a_daemon(host):
    for verb in (("sysctl", "-a"), ("stats",)):
        result = host.sallyport("cable", *verb, check=False)
        assert result.returncode == 2 and result.stdout == ""
        assert "start one: sallyportd -i INTERFACE" in result.stderr
        for backend in ("xfrm", "afkey"):
            result = host.sallyport("phoenix", verb[0], "-b", backend, *verb[1:], check=False)
            assert result.returncode == 2
            assert f"the back end is the kernel ({backend}): Linux has " in result.stderr


def test_daemon_with_a_file(bare):
    """--sysctl: in force from the start; a file that is wrong anywhere keeps the daemon from starting."""
    path, keys = bare.dir / "t.conf", bare.dir / "k.sock"
    path.write_text("net.inet.ipsec.def_policy=2\nnet.key.esp_keymin=128\n")
    bad = bare.run("phoenix", BUILD / "sallyportd", "-f", "-s", keys, "--sysctl", path, check=False)
    assert bad.returncode == 1 and not keys.exists()
    assert f"{path}:1:27: error: `2' for net.inet.ipsec.def_policy; it takes 0 to 1" in bad.stderr
    missing = bare.run("phoenix", BUILD / "sallyportd", "-f", "-s", keys, "--sysctl", path.with_name("x"), check=False)
    assert missing.returncode == 1 and "No such file" in missing.stderr
    path.write_text("net.inet.ipsec.def_policy=0\nnet.key.esp_keymin=128\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SALLYPORT_SOCKET", str(keys))
        daemon = bare.daemon("phoenix", "-s", keys, "--sysctl", path, interface=None)
        assert bare.sysctl("phoenix", "-n", "net.inet.ipsec.def_policy", "net.key.esp_keymin") == "0\n128\n"
        daemon.stop()


def test_daemon_starts_shut(lab):
    """def_policy of a file is steered before there are policies."""
    path = lab.dir / "t.conf"
    path.write_text("net.inet.ipsec.def_policy=0\n")
    daemon = lab.daemon("phoenix", "--sysctl", path)
    capture = lab.router_capture()
    assert lab.mute("phoenix", ADDRESS["cardinal"][4])
    assert lab.mute("cardinal", ADDRESS["phoenix"][4])
    assert [p for p in capture.packets() if p.src == ADDRESS["phoenix"][4]] == []
    lab.sysctl("phoenix", "net.inet.ipsec.def_policy=1")
    assert lab.pings("phoenix", ADDRESS["cardinal"][4])
    daemon.stop()
