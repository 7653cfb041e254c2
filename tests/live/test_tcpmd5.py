# SPDX-License-Identifier: BSD-2-Clause
"""RFC 2385 between programs that know nothing of it, and a kernel that insists on it.

phoenix has our daemon and ordinary sockets; cardinal's sockets have keys (TCP_MD5SIG), or
cardinal is another phoenix. The router between them loses packets, judges signatures
(tcpdump -M), and forges.
"""

import collections
import contextlib
import dataclasses
import json
import pathlib
import re
import socket
import struct
import subprocess

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from lab import ADDRESS, ETHERTYPE, inside, needs, wait_until

PHOENIX, CARDINAL = ADDRESS["phoenix"], ADDRESS["cardinal"]
PEER = pathlib.Path(__file__).with_name("tcp_peer.py")
KEY, WRONG = "a secret of the two", "a secret of no one"
BGP, SSH = 179, 22
MEGABYTE = 1 << 20
ALL_OPTIONS = ["sack", "timestamps", "window scale"]


def sas(version, key=KEY):
    return (f'add {PHOENIX[version]} {CARDINAL[version]} tcp 0x1000 -A tcp-md5 "{key}";'
            f'add {CARDINAL[version]} {PHOENIX[version]} tcp 0x1000 -A tcp-md5 "{key}";')


def netstat(lab, host, name):
    """A counter of TcpExt."""
    names, values = (line.split() for line in lab.run(host, "cat", "/proc/net/netstat").stdout.splitlines()
                     if line.startswith("TcpExt:"))
    return int(values[names.index(name)])


@dataclasses.dataclass
class Session:
    """Two tcp_peer.py, and what they said at the end."""
    server: subprocess.Popen
    client: subprocess.Popen

    def ended(self, seconds=90):
        return [json.loads(part.communicate(timeout=seconds)[0].splitlines()[-1]) for part in (self.server, self.client)]

    def kill(self):
        for part in (self.server, self.client):
            part.kill()
            part.communicate()


@contextlib.contextmanager
def session(lab, server, client, version, port=BGP, keys=None, **options):
    """`keys` has those of hosts whose kernel signs."""
    address = {"phoenix": PHOENIX[version], "cardinal": CARDINAL[version]}

    def peer(role, host, other):
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        if key := (keys or {}).get(host):
            arguments += ["--key", key, "--peer", address[other]]
        return lab.spawn(host, "/usr/bin/python3", PEER, role, address[server], port, *arguments)

    listener = peer("listen", server, client)
    said = listener.stdout.readline()
    assert said == "listening\n", said + listener.stdout.read()
    both = Session(listener, peer("connect", client, server))
    try:
        yield both
    finally:
        both.kill()


def check_bulk(server, client):
    assert "error" not in server and "error" not in client, (server, client)
    assert server["got"] == client["sent"] and client["got"] == server["sent"]
    assert server["missing"] == client["missing"] == 0


def ways(function):
    """Both sides of the connection for us, both families."""
    for mark in (pytest.mark.parametrize("version", [4, 6]),
                 pytest.mark.parametrize("server, client", [("cardinal", "phoenix"), ("phoenix", "cardinal")])):
        function = mark(function)
    return function


def verdicts(capture, key=KEY):
    """How many segments tcpdump shows with which signature: `valid`, `invalid`, None without one."""
    said = re.findall(r"Flags \[.*?(?:md5 +\(?(\w+)|$)", capture.text("-v", "-M", key), re.MULTILINE)
    return dict(collections.Counter(word or None for word in said))


@contextlib.contextmanager
def lossy(lab, percent):
    """The router loses so many of a hundred packets, at random."""
    needs("nft", "nftables")
    lab.run("router", "nft", "-f", "-", input="table inet loss { chain forward { type filter hook forward "
            f"priority 0; numgen random mod 100 < {percent} counter drop; }}; }};")
    yield
    text = lab.run("router", "nft", "list", "ruleset").stdout
    lost = int(re.search(r"packets (\d+)", text)[1])
    lab.run("router", "nft", "flush", "ruleset")
    assert lost > 10, text


@pytest.mark.steering
@ways
def test_kernel_signs_on_the_other_side(lab, server, client, version):
    """Some megabytes both ways, each segment signed and each signature right."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "2000"))
    with session(lab, server, client, version, keys={"cardinal": KEY}, size=3 * MEGABYTE) as both:
        ends = both.ended()
    check_bulk(*ends)
    assert netstat(lab, "cardinal", "TCPMD5Unexpected") == netstat(lab, "cardinal", "TCPMD5NotFound") == 0
    judged = verdicts(capture)
    assert set(judged) == {"valid"} and judged["valid"] > 2000, judged
    assert verdicts(capture, WRONG) == {"invalid": judged["valid"]}, "the detector sees a wrong key"
    ours = ends[1 if client == "phoenix" else 0]
    print(f"figure: {server} serves, IPv{version}: {judged['valid']} segments, all md5 valid; our MSS {ours['mss']}, "
          f"{', '.join(ours['options'])}; {max(end['seconds'] for end in ends)} s for 3 MB each way")
    assert "window scale" in ours["options"] and "sack" in ours["options"]
    counters = phoenix.counters()
    assert {name: n for name, n in counters.items() if name.startswith("drop.") and n} == {}
    phoenix.stop()


@pytest.mark.parametrize("version", [4, 6])
def test_kernel_with_timestamps(lab, version):
    """
    The kernel signs either with SACK or with timestamps, never with both: without SACK there
    are 30 bytes of options, and segments of full size must still fit.
    """
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    lab.run("phoenix", "sh", "-c", "echo 0 >/proc/sys/net/ipv4/tcp_sack")
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "2000"))
    with session(lab, "cardinal", "phoenix", version, keys={"cardinal": KEY}, size=MEGABYTE) as both:
        ends = both.ended()
    check_bulk(*ends)
    assert ends[1]["options"] == ["timestamps", "window scale"]
    assert set(verdicts(capture)) == {"valid"}
    assert max(len(p.ip) for p in capture.packets()) > 1480
    phoenix.stop()


@ways
def test_loss(lab, server, client, version):
    """Three of a hundred are lost; SACK's blocks and the signature share 40 bytes."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "2000"))
    with lossy(lab, 3), session(lab, server, client, version, keys={"cardinal": KEY}, size=MEGABYTE) as both:
        ends = both.ended()
    check_bulk(*ends)
    assert sum(end["retransmitted"] for end in ends) > 10
    assert set(verdicts(capture)) == {"valid"}
    phoenix.stop()


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_both_sides_ours(lab, version):
    """All options at once: the SYN's are 40 bytes then, and of SACK one block is left of three."""
    daemons = [lab.daemon(host) for host in ("phoenix", "cardinal")]
    for host in ("phoenix", "cardinal"):
        lab.load(host, sas(version))
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "2000"))
    with lossy(lab, 3), session(lab, "cardinal", "phoenix", version, size=MEGABYTE) as both:
        ends = both.ended()
    check_bulk(*ends)
    for end in ends:
        assert end["options"] == ALL_OPTIONS
    judged = verdicts(capture)
    assert set(judged) == {"valid"}, judged
    syn = next(line for line in capture.text().splitlines() if "Flags [S]" in line)
    assert re.search(r"mss \d+,sackOK,TS val \d+ ecr 0,nop,wscale \d+|mss.*sackOK.*TS val.*wscale", syn), syn
    blocks = [int(n) for n in re.findall(r"TS val [^\]]*md5[^\]]*sack (\d+)", capture.text())]
    assert blocks and set(blocks) == {1}
    print(f"figure: both ours, IPv{version}, 3 % loss: {judged['valid']} segments valid, {len(blocks)} with timestamps, "
          f"signature and a block of SACK; {sum(end['retransmitted'] for end in ends)} sent again")
    for daemon in daemons:
        daemon.stop()


@pytest.mark.steering
@ways
def test_netcat(lab, server, client, version):
    """The most ordinary program that there is, on our side: what it sends comes back to it."""
    needs("nc", "netcat-openbsd")
    lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    text = "".join(f"{i} lines that nobody signed\n" for i in range(5000))
    file = lab.dir / "text"
    file.write_text(text)
    echo = ["/usr/bin/python3", PEER, "--echo", "--key", KEY, "--peer", PHOENIX[version]]
    netcat = ["ip", "netns", "exec", "phoenix", "nc", f"-{version}", "-N"]
    with file.open() as source:
        if client == "phoenix":
            kernels = lab.spawn("cardinal", *echo, "listen", CARDINAL[version], BGP)
            assert kernels.stdout.readline() == "listening\n"
            said = subprocess.run([*netcat, CARDINAL[version], str(BGP)], stdin=source, stdout=subprocess.PIPE,
                                  text=True, timeout=20, check=True).stdout
        else:
            ours = subprocess.Popen([*netcat, "-l", "-p", str(BGP)], stdin=source, stdout=subprocess.PIPE, text=True)
            wait_until(lambda: f":{BGP} " in lab.run("phoenix", "ss", "-tln").stdout, 5, "nc listens")
            kernels = lab.spawn("cardinal", *echo, "connect", PHOENIX[version], BGP)
            said = ours.communicate(timeout=20)[0]
    assert json.loads(kernels.communicate(timeout=20)[0].splitlines()[-1])["echoed"] == len(text)
    assert said == text


@ways
def test_wrong_key(lab, server, client, version):
    """It never connects, both sides can say why, and with the right key it does."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version, WRONG))
    with session(lab, server, client, version, keys={"cardinal": KEY}, wait=2.5) as both:
        ends = both.ended()
    assert [end.get("error") for end in ends] == ["TimeoutError", "TimeoutError"], ends
    counters = phoenix.counters()
    if client == "phoenix":
        assert netstat(lab, "cardinal", "TCPMD5Failure") >= 2
    else:
        assert counters["drop.icv"] >= 2
        assert "dropped arriving: integrity check failed" in phoenix.text()
    assert KEY not in phoenix.text() and WRONG not in phoenix.text()
    lab.load("phoenix", "flush tcp;" + sas(version))
    with session(lab, server, client, version, keys={"cardinal": KEY}) as both:
        check_bulk(*both.ended())
    phoenix.stop()


@ways
def test_peer_without_a_key(lab, server, client, version):
    """Who does not sign is not talked to, and is not told so."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    capture = lab.capture("router", "east", f"tcp port {BGP} and src host {PHOENIX[version]}")
    with session(lab, server, client, version, wait=2.5) as both:
        assert [end.get("error") for end in both.ended()] == ["TimeoutError"] * 2
    if client == "cardinal":
        assert phoenix.counters()["drop.tcp-unsigned"] >= 2
        assert capture.packets() == []
    else:
        assert netstat(lab, "cardinal", "TCPMD5Unexpected") >= 2
    phoenix.stop()


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
def test_other_ports_are_not_touched(lab, version):
    """What is no BGP between the two hosts: no option 19, and it works, both ways, beside a signed session."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    capture = lab.capture("router", "west", "tcp", ("-s", "200"))
    for server, client in (("cardinal", "phoenix"), ("phoenix", "cardinal")):
        with session(lab, server, client, version, keys={"cardinal": KEY}) as signed, \
                session(lab, server, client, version, port=SSH, size=MEGABYTE) as plain:
            check_bulk(*signed.ended())
            check_bulk(*(ends := plain.ended()))
        for end in ends:
            assert end["options"] == ALL_OPTIONS
    # a superpacket is as many segments as a wire would carry
    lengths = [int(re.search(r"Flags .*?, length (\d+)", line)[1]) for line in capture.text("-v").splitlines()
               if f".{SSH} > " in line or f".{SSH}: Flags" in line]
    assert sum(max(1, -(-length // 1460)) for length in lengths) > 1000
    for line in capture.text().splitlines():
        assert ("md5" in line) == (f".{BGP} " in line or f".{BGP}:" in line), line
    assert lab.pings("phoenix", CARDINAL[version])
    phoenix.stop()


# What somebody in between sends --------------------------------------------------------

FIN, RST, PSH, ACK = 1, 4, 8, 16


def forge(lab, capture, version, port, flags, data=b"", option=b""):
    """The next segment of cardinal's, as the router makes it."""
    last = [p for p in capture.packets() if p.proto == 6 and p.src == CARDINAL[version]][-1]
    sport, dport, seq, ack, offset = struct.unpack(">HHIIB", last.payload[:13])
    assert port in (sport, dport)
    seq += len(last.ip) - (len(last.ip) - len(last.payload)) - (offset >> 4) * 4
    option += b"\0" * (-len(option) % 4)
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack, (5 + len(option) // 4) << 4, flags, 500, 0, 0)
    if version == 4:
        segment = IP(src=CARDINAL[4], dst=PHOENIX[4]) / TCP(tcp + option + data)
    else:
        segment = IPv6(src=CARDINAL[6], dst=PHOENIX[6]) / TCP(tcp + option + data)
    del segment[TCP].chksum
    with inside("router"), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("west", 0))
        raw.send(last.frame[:12] + ETHERTYPE[version].to_bytes(2, "big") + bytes(segment))


FORGED = {"reset": (RST, b""), "data": (PSH | ACK, b"X" * 100), "end": (FIN | ACK, b"")}
SIGNATURES = {"without": (b"", "drop.tcp-unsigned"),
              "wrong": (b"\1\1\x13\x12" + bytes(range(16)), "drop.icv"),
              "short": (b"\1\1\x13\x0a" + bytes(8), "drop.tcp-malformed"),
              "two": (b"\x13\x12" + bytes(16) + b"\x13\x12" + bytes(16), "drop.tcp-malformed")}


@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("signature", SIGNATURES)
def test_forged_segments(lab, version, signature):
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    option, reason = SIGNATURES[signature]
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "2000"))
    with session(lab, "cardinal", "phoenix", version, keys={"cardinal": KEY}, linger=1.5) as both:
        wait_until(lambda: len(capture.packets_now()) >= 6, 5, "the first exchange")
        before = phoenix.counters()
        for flags, data in FORGED.values():
            forge(lab, capture, version, BGP, flags, data, option)
        wait_until(lambda: phoenix.counters().since(before, reason) == len(FORGED), 2, reason)
        check_bulk(*both.ended())
    phoenix.stop()


@pytest.mark.parametrize("kind", FORGED)
@pytest.mark.parametrize("version", [4, 6])
def test_forgeries_do_harm_where_nobody_signs(lab, version, kind):
    """The detector: the same segments, on a port that is not signed."""
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    capture = lab.capture("router", "west", f"tcp port {SSH}", ("-s", "2000"))
    with session(lab, "cardinal", "phoenix", version, port=SSH, linger=1.5) as both:
        wait_until(lambda: len(capture.packets_now()) >= 6, 5, "the first exchange")
        flags, data = FORGED[kind]
        forge(lab, capture, version, SSH, flags, data)
        theirs, ours = both.ended()
    assert "error" in ours or ours["missing"] or ours["got"] != theirs["sent"], ours
    phoenix.stop()


# What is large ----------------------------------------------------------------------------

@pytest.mark.steering
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mtu", [9000, 1500, 1280])
def test_segments_of_every_size(lab, mtu, version):
    """
    The stack hands out superpackets of 64 KB (TSO); what is signed are the segments on the
    wire, each by itself, however large the wire lets them be.
    """
    for host, interfaces in (("phoenix", ["eth0"]), ("router", ["west", "east"]), ("cardinal", ["eth0"])):
        for interface in interfaces:
            lab.run(host, "ip", "link", "set", interface, "mtu", mtu)
    phoenix = lab.daemon("phoenix")
    lab.load("phoenix", sas(version))
    super_packets = lab.capture("router", "west", f"tcp port {SSH} and greater {mtu + 15}", ("-s", "100"))
    with session(lab, "cardinal", "phoenix", version, port=SSH, size=4 * MEGABYTE) as both:
        check_bulk(*both.ended())
    assert len(super_packets.packets()) > 10, "the stack makes superpackets here"
    capture = lab.capture("router", "west", f"tcp port {BGP}", ("-s", "10000"))
    with session(lab, "cardinal", "phoenix", version, keys={"cardinal": KEY}, size=4 * MEGABYTE) as both:
        check_bulk(*both.ended())
    assert set(verdicts(capture)) == {"valid"}
    sizes = [len(p.ip) for p in capture.packets() if p.src == PHOENIX[version]]
    assert mtu - 20 <= max(sizes) <= mtu
    phoenix.stop()


# Keys ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("key, length", [('""', 0), ('"' + "k" * 81 + '"', 648), ("0x" + "5a" * 81, 648)])
def test_keys_that_are_none(databases, key, length):
    said = databases.setkey("phoenix", "-c", input=f"add 192.0.2.1 192.0.2.2 tcp 0x1000 -A tcp-md5 {key};", check=False)
    assert said.returncode == 1
    assert "tcp-md5" in said.stderr and "8 to 640" in said.stderr, said.stderr
    assert "kkkk" not in said.stderr and "5a5a" not in said.stderr
    assert databases.setkey("phoenix", "-D").stdout == "No SAD entries.\n"


@pytest.mark.parametrize("key", ["k", "k" * 80])
def test_shortest_and_longest_key(lab, key):
    lab.daemon("phoenix")
    lab.load("phoenix", sas(4, key))
    with session(lab, "cardinal", "phoenix", 4, keys={"cardinal": key}) as both:
        check_bulk(*both.ended())
