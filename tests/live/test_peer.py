# SPDX-License-Identifier: BSD-2-Clause
"""Packets that Scapy, which shares no code with us, made and checked.

The test sits at the end of phoenix's cable and plays cardinal. It sends echo requests,
protected by Scapy, and opens the echo replies, protected by the daemon.
"""

import os

import pytest
from scapy.layers.inet import ICMP, IP, UDP, fragment
from scapy.layers.inet6 import (HBHOptUnknown, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrHopByHop)
from scapy.layers.ipsec import AH, ESP, SecurityAssociation

import ipsec_model as model
from lab import ADDRESS

ME = ADDRESS["cardinal"]
PHOENIX = ADDRESS["phoenix"]
IN, OUT = 0x2001, 0x2002  # SPIs towards phoenix, and from it
SIZES = (0, 1, 13, 56, 1200)

# setkey's name, Scapy's name, bytes of key (with the salt)
CIPHERS = [
    ("null", "NULL", 0), ("des-cbc", "DES", 8), ("3des-cbc", "3DES", 24), ("blowfish-cbc", "Blowfish", 5),
    ("blowfish-cbc", "Blowfish", 56), ("rijndael-cbc", "AES-CBC", 16), ("rijndael-cbc", "AES-CBC", 24),
    ("rijndael-cbc", "AES-CBC", 32),
]
MORE_CIPHERS = [("cast128-cbc", "CAST", 16), ("aes-ctr", "AES-CTR", 20), ("aes-ctr", "AES-CTR", 36)]
AEADS = [("aes-gcm-16", "AES-GCM", 20), ("aes-gcm-16", "AES-GCM", 28), ("aes-gcm-16", "AES-GCM", 36),
         ("aes-ccm-16", "AES-CCM", 19), ("aes-ccm-16", "AES-CCM", 35), ("chacha20-poly1305", "CHACHA20-POLY1305", 36)]
AUTHS = [("hmac-md5", "HMAC-MD5-96", 16), ("hmac-sha1", "HMAC-SHA1-96", 20), ("hmac-sha2-256", "SHA2-256-128", 32)]
MORE_AUTHS = [("hmac-sha2-384", "SHA2-384-192", 48), ("hmac-sha2-512", "SHA2-512-256", 64), ("aes-cmac", "AES-CMAC-96", 16)]

ESP_CASES = ([(cipher, None) for cipher in CIPHERS[1:] + MORE_CIPHERS + AEADS]
             + [(cipher, auth) for cipher in CIPHERS for auth in AUTHS]
             + [(cipher, AUTHS[1]) for cipher in MORE_CIPHERS] + [(CIPHERS[0], auth) for auth in MORE_AUTHS])


def name_of(case):
    return "-".join(f"{part[0]}-{8 * part[2]}" for part in case if part) if isinstance(case[0], tuple) else case[0]


def key_text(key):
    return "0x" + key.hex() if key else '""'


def load(wire, version, sas, requests, extensions=""):
    """SAs in both directions and policies that require them; `sas` are (protocol, options)."""
    pairs = f"{ME[version]} {PHOENIX[version]}", f"{PHOENIX[version]} {ME[version]}"
    text = "flush; spdflush;\n"
    for protocol, options in sas:
        text += f"add {pairs[0]} {protocol} {IN:#x} {extensions} {options};\n"
        text += f"add {pairs[1]} {protocol} {OUT:#x} {options};\n"
    bundle = " ".join(f"{protocol}/transport//require" for protocol in requests)
    text += f"spdadd {pairs[0]} any -P in ipsec {bundle};\nspdadd {pairs[1]} any -P out ipsec {bundle};\n"
    wire.load("phoenix", text)
    wire.drain()


def echo(version, number, size, identity=0x5A11):
    """An echo request as it would leave cardinal."""
    payload = bytes((number + at) & 0xFF for at in range(size))
    if version == 4:
        return IP(bytes(IP(src=ME[4], dst=PHOENIX[4]) / ICMP(id=identity, seq=number) / payload))
    return IPv6(bytes(IPv6(src=ME[6], dst=PHOENIX[6]) / ICMPv6EchoRequest(id=identity, seq=number, data=payload)))


def reply_number(clear, size=None):
    """The sequence number of an echo reply from phoenix, whose payload must be the request's."""
    packet = (IP if clear[0] >> 4 == 4 else IPv6)(clear)
    version = packet.version
    kind = ICMP if version == 4 else ICMPv6EchoReply
    assert packet.src == PHOENIX[version] and packet.dst == ME[version] and kind in packet, packet.summary()
    assert packet[kind].type == (0 if version == 4 else 129)
    number = packet[kind].seq
    data = bytes(packet[kind].payload) if version == 4 else packet[kind].data
    if size is not None:
        assert data == bytes((number + at) & 0xFF for at in range(size))
    return number


def to_me(packet):
    return packet.dst in ME.values()


def parse(packet):
    return (IP if packet.version == 4 else IPv6)(packet.ip)


def exchange(wire, version, protect, unprotect, spoil=True):
    """
    Requests of every size are answered, in order, under protection. Between them come
    requests with a bit turned, which must not be: an answer would stand out of order.
    """
    for number, size in enumerate(SIZES, 1):
        if spoil:
            bad = bytearray(bytes(protect(echo(version, 0x666, size))))
            bad[-1] ^= 1
            wire.send(bad)
        wire.send(protect(echo(version, number, size)))
        answer = wire.receive(to_me)
        assert answer, f"no answer to {number} ({size} bytes); {wire.phoenix.counters()}"
        assert answer.protected, f"in clear: {answer.ip.hex()}"
        assert int.from_bytes(answer.payload[4:8] if answer.proto == 51 else answer.payload[:4], "big") == OUT
        assert reply_number(unprotect(answer), size) == number


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("case", ESP_CASES, ids=name_of)
def test_esp(wire, case, version):
    (cipher, scapy_cipher, key_bytes), auth = case
    key = os.urandom(key_bytes)
    options = f"-E {cipher} {key_text(key)}"
    scapy = {"crypt_algo": scapy_cipher, "crypt_key": key or None}
    if auth:
        auth_key = os.urandom(auth[2])
        options += f" -A {auth[0]} {key_text(auth_key)}"
        scapy |= {"auth_algo": auth[1], "auth_key": auth_key}
    load(wire, version, [("esp", options)], ["esp"])
    to_phoenix = SecurityAssociation(ESP, spi=IN, **scapy)
    from_phoenix = SecurityAssociation(ESP, spi=OUT, **scapy)
    expected = iter(range(1, 1 + len(SIZES)))

    def unprotect(packet):
        assert int.from_bytes(packet.payload[4:8], "big") == next(expected)
        return bytes(from_phoenix.decrypt(parse(packet)))

    checked = auth is not None or (cipher, scapy_cipher, key_bytes) in AEADS
    before = wire.phoenix.counters()
    exchange(wire, version, to_phoenix.encrypt, unprotect, spoil=checked)
    after = wire.phoenix.counters()
    assert after.since(before, "drop.icv") == (len(SIZES) if checked else 0)
    assert after.since(before, "in.opened") == after.since(before, "out.protected") == len(SIZES)


def test_esp_ivs_differ(wire):
    """An IV is new for every packet, and not the last block of the packet before."""
    key = os.urandom(16)
    load(wire, 4, [("esp", f"-E rijndael-cbc {key_text(key)}")], ["esp"])
    to_phoenix = SecurityAssociation(ESP, spi=IN, crypt_algo="AES-CBC", crypt_key=key)
    ivs, last_blocks = set(), set()
    for number in range(20):
        wire.send(to_phoenix.encrypt(echo(4, number, 40)))
        answer = wire.receive(to_me)
        ivs.add(answer.payload[8:24])
        last_blocks.add(answer.payload[-16:])
    assert len(ivs) == 20 and not ivs & last_blocks


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("auth", AUTHS + MORE_AUTHS, ids=name_of)
def test_ah(wire, auth, version):
    key = os.urandom(auth[2])
    load(wire, version, [("ah", f"-A {auth[0]} {key_text(key)}")], ["ah"])
    to_phoenix = SecurityAssociation(AH, spi=IN, auth_algo=auth[1], auth_key=key)
    from_phoenix = SecurityAssociation(AH, spi=OUT, auth_algo=auth[1], auth_key=key)
    before = wire.phoenix.counters()
    exchange(wire, version, to_phoenix.encrypt, lambda packet: bytes(from_phoenix.decrypt(parse(packet))))
    assert wire.phoenix.counters().since(before, "drop.icv") == len(SIZES)


def load_tunnels(wire, version, protocol, options):
    """One tunnel each way between the two hosts themselves."""
    text = "flush; spdflush;\n"
    for src, dst, spi, way in ((ME, PHOENIX, IN, "in"), (PHOENIX, ME, OUT, "out")):
        pair = f"{src[version]} {dst[version]}"
        text += (f"add {pair} {protocol} {spi:#x} -m tunnel {options};\nspdadd {pair} any -P {way} ipsec "
                 f"{protocol}/tunnel/{src[version]}-{dst[version]}/require;\n")
    wire.load("phoenix", text)
    wire.drain()


def outer(version, src, dst):
    return IP(src=src[4], dst=dst[4]) if version == 4 else IPv6(src=src[6], dst=dst[6])


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_tunnel(wire, protocol, version):
    """IP in IP under ESP and AH, of a tunnel that ends where its traffic does."""
    key = os.urandom(20)
    options = f"-A hmac-sha1 {key_text(key)}"
    scapy = {"auth_algo": "HMAC-SHA1-96", "auth_key": key}
    if protocol == "esp":
        options = f"-E rijndael-cbc {key_text(key[:16])} {options}"
        scapy |= {"crypt_algo": "AES-CBC", "crypt_key": key[:16]}
    load_tunnels(wire, version, protocol, options)
    header = ESP if protocol == "esp" else AH
    to_phoenix = SecurityAssociation(header, spi=IN, tunnel_header=outer(version, ME, PHOENIX), **scapy)
    from_phoenix = SecurityAssociation(header, spi=OUT, tunnel_header=outer(version, PHOENIX, ME), **scapy)
    exchange(wire, version, to_phoenix.encrypt, lambda packet: bytes(from_phoenix.decrypt(parse(packet))))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", ["esp", "ah"])
def test_esn(wire, protocol, version):
    """64-bit sequence numbers, where Scapy 2.5 has them: in AH and in an AEAD's associated data."""
    key = os.urandom(20)
    options = f"-E aes-gcm-16 {key_text(key)}" if protocol == "esp" else f"-A hmac-sha1 {key_text(key)}"
    scapy = {"esn_en": True, "esn": 0}
    scapy |= ({"crypt_algo": "AES-GCM", "crypt_key": key} if protocol == "esp"
              else {"auth_algo": "HMAC-SHA1-96", "auth_key": key})
    load(wire, version, [(protocol, "-esn -r 4 " + options)], [protocol])
    header = ESP if protocol == "esp" else AH
    to_phoenix = SecurityAssociation(header, spi=IN, **scapy)
    from_phoenix = SecurityAssociation(header, spi=OUT, **scapy)
    exchange(wire, version, to_phoenix.encrypt, lambda packet: bytes(from_phoenix.decrypt(
        parse(packet), esn_en=True, esn=0)))


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("auth", AUTHS, ids=name_of)
def test_ah_around_esp(wire, auth, version):
    """The article's bundle. The AH is the tests' own: Scapy 2.5 would leave its ICV zero."""
    key = os.urandom(auth[2])
    load(wire, version, [("esp", '-E blowfish-cbc "12345"'), ("ah", f"-A {auth[0]} {key_text(key)}")], ["esp", "ah"])
    inner = [SecurityAssociation(ESP, spi=spi, crypt_algo="Blowfish", crypt_key=b"12345") for spi in (IN, OUT)]
    outer = [model.Ah(spi, auth[0], key) for spi in (IN, OUT)]

    def unprotect(packet):
        opened = outer[1].open(packet.ip)
        return bytes(inner[1].decrypt((IP if version == 4 else IPv6)(opened)))

    exchange(wire, version, lambda clear: outer[0].protect(bytes(inner[0].encrypt(clear))), unprotect)


ESP_NULL = ("hmac-sha1", b"k" * 20)


def esp_null(datagram, seq):
    return model.esp_null_protect(bytes(datagram), IN, seq, *ESP_NULL)


@pytest.fixture
def null_sha1(wire):
    """ESP that the model can make, with a replay window of 4 bytes: 32 packets."""
    load(wire, 4, [("esp", f'-E null "" -A {ESP_NULL[0]} {key_text(ESP_NULL[1])}')], ["esp"], "-r 4")
    return wire


def answered(wire, until):
    """The numbers of the echo replies up to one."""
    opener = SecurityAssociation(ESP, spi=OUT, crypt_algo="NULL", auth_algo="HMAC-SHA1-96", auth_key=ESP_NULL[1])
    numbers = []
    while until not in numbers:
        packet = wire.receive(to_me)
        assert packet, f"answers to {numbers}, none to {until}"
        assert packet.protected
        numbers.append(reply_number(bytes(opener.decrypt(parse(packet)))))
    return numbers


# Sequence number on the wire, and whether the packet is to be accepted; the window is 32 wide.
REPLAY = [
    (1, True), (1, False), (3, True), (2, True), (3, False), (40, True), (9, True), (9, False), (8, False),
    (40, False), (41, True), (10, True), (9, False), (1000, True), (969, True), (968, False), (1000, False),
    (0, False), (0xFFFFFFF0, True), (1000, False), (0xFFFFFFF1, True),
]


def test_replay(null_sha1):
    before = null_sha1.phoenix.counters()
    for number, (seq, _) in enumerate(REPLAY):
        null_sha1.send(esp_null(echo(4, number, 8), seq))
    accepted = [number for number, (_, good) in enumerate(REPLAY) if good]
    assert answered(null_sha1, accepted[-1]) == accepted
    dropped = null_sha1.phoenix.counters().since(before, "drop.replay")
    assert dropped == len(REPLAY) - len(accepted)


def test_forged_packet_does_not_move_the_window(null_sha1):
    """RFC 4303 section 3.4.3: the window moves after the ICV was found right."""
    null_sha1.send(esp_null(echo(4, 1, 8), 1))
    forged = bytearray(esp_null(echo(4, 2, 8), 5000))
    forged[-1] ^= 1
    null_sha1.send(forged)
    null_sha1.send(esp_null(echo(4, 3, 8), 2))
    assert answered(null_sha1, 3) == [1, 3]


def test_captured_packets_sent_again(wire):
    """What phoenix itself once accepted, under encryption and AH."""
    key = os.urandom(16)
    load(wire, 4, [("esp", '-E blowfish-cbc "12345"'), ("ah", f"-A hmac-md5 {key_text(key)}")], ["esp", "ah"], "-r 4")
    esp = SecurityAssociation(ESP, spi=IN, crypt_algo="Blowfish", crypt_key=b"12345")
    ah = model.Ah(IN, "hmac-md5", key)
    sent = [ah.protect(bytes(esp.encrypt(echo(4, number, 30)))) for number in range(5)]
    for packet in sent:
        wire.send(packet)
        assert wire.receive(to_me)
    before = wire.phoenix.counters()
    for packet in sent:
        wire.send(packet)
    assert wire.receive(to_me, 0.5) is None
    assert wire.phoenix.counters().since(before, "drop.replay") == len(sent)


# Packets made by hand that must not get through, and the counter that tells.
SPI_OF_NOBODY = 0x7777


def broken_packets():
    good = esp_null(echo(4, 1, 30), 1)
    yield "clear", bytes(echo(4, 1, 30)), "drop.policy-clear"
    yield "unknown SPI", model.esp_null_protect(bytes(echo(4, 1, 8)), SPI_OF_NOBODY, 1, *ESP_NULL), "drop.no-sa-in"
    yield "SPI 0", model.esp_null_protect(bytes(echo(4, 1, 8)), 0, 1, *ESP_NULL), "drop.spi-reserved"
    headers, _, esp = model.split(good)
    yield "7 bytes of ESP", model.join(headers, model.PROTO_ESP, esp[:7]), "drop.truncated"
    unpadded = esp[:8] + b"\xff" * 22 + bytes([200, 1])
    yield "padding longer than the payload", model.join(
        headers, model.PROTO_ESP, unpadded + model.esp_icv(*ESP_NULL, unpadded)), "drop.esp-padding"
    dummy = esp[:8] + bytes(22) + bytes([0, 59])
    yield "dummy", model.join(headers, model.PROTO_ESP, dummy + model.esp_icv(*ESP_NULL, dummy)), "drop.dummy"
    yield "AH for an SA of ESP", model.Ah(IN, *ESP_NULL).protect(bytes(echo(4, 1, 8))), "drop.no-sa-in"


@pytest.mark.parametrize("name, packet, counter", broken_packets(), ids=lambda value: value if isinstance(value, str) else "")
def test_broken_packets(null_sha1, name, packet, counter):
    before = null_sha1.phoenix.counters()
    null_sha1.send(packet)
    null_sha1.send(esp_null(echo(4, 99, 8), 50))
    assert answered(null_sha1, 99) == [99]
    assert null_sha1.phoenix.counters().since(before, counter) == 1


def test_fragments_in_clear(null_sha1):
    """A policy is not passed in pieces."""
    pieces = fragment(IP(bytes(echo(4, 1, 2000))), fragsize=800)
    assert len(pieces) == 3
    before = null_sha1.phoenix.counters()
    for piece in pieces:
        null_sha1.send(bytes(piece))
    null_sha1.send(esp_null(echo(4, 99, 8), 50))
    assert answered(null_sha1, 99) == [99]
    after = null_sha1.phoenix.counters()
    assert sum(after.since(before, counter) for counter in ("drop.policy-clear", "drop.fragment")) == 3


def test_icmp_error_goes_out_protected(null_sha1):
    """UDP to a port where nobody listens: what phoenix says about it is traffic like any other."""
    null_sha1.send(esp_null(IP(src=ME[4], dst=PHOENIX[4]) / UDP(sport=1000, dport=9) / b"anybody?", 1))
    packet = null_sha1.receive(to_me)
    assert packet and packet.protected
    opener = SecurityAssociation(ESP, spi=OUT, crypt_algo="NULL", auth_algo="HMAC-SHA1-96", auth_key=ESP_NULL[1])
    clear = opener.decrypt(parse(packet))
    assert (clear[ICMP].type, clear[ICMP].code) == (3, 3)


def test_extension_headers_of_ipv6(wire):
    """Hop-by-hop options stand before AH, and one of them changed on the way."""
    key = os.urandom(20)
    load(wire, 6, [("ah", f"-A hmac-sha1 {key_text(key)}")], ["ah"])
    to_phoenix, from_phoenix = (model.Ah(spi, "hmac-sha1", key) for spi in (IN, OUT))
    options = IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x3E, optdata=b"wxyz")])
    request = (IPv6(src=ME[6], dst=PHOENIX[6]) / options / ICMPv6EchoRequest(id=1, seq=7, data=b"\x07\x08"))
    protected = bytearray(to_phoenix.protect(bytes(IPv6(bytes(request)))))
    assert protected[40 + 4:40 + 8] == b"wxyz"
    protected[40 + 4:40 + 8] = b"WXYZ"
    protected[7] -= 3  # hop limit
    wire.send(protected)
    answer = wire.receive(to_me)
    assert answer and answer.protected
    assert reply_number(from_phoenix.open(answer.ip), 2) == 7


def test_clear_extension_headers_do_not_pass(wire):
    """An option in front hides nothing from the policy."""
    key = os.urandom(20)
    load(wire, 6, [("ah", f"-A hmac-sha1 {key_text(key)}")], ["ah"])
    options = IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x3E, optdata=b"wxyz")])
    before = wire.phoenix.counters()
    wire.send(bytes(IPv6(src=ME[6], dst=PHOENIX[6]) / options / ICMPv6EchoRequest(id=1, seq=7)))
    wire.send(model.Ah(IN, "hmac-sha1", key).protect(bytes(echo(6, 8, 2))))
    answer = wire.receive(to_me)
    assert reply_number(model.Ah(OUT, "hmac-sha1", key).open(answer.ip), 2) == 8
    assert wire.phoenix.counters().since(before, "drop.policy-clear") == 1


@pytest.mark.parametrize("form", ["udp", "uncompressed"])
def test_tunnel_in_other_protocols(wire, form):
    """What arrives for a tunnel is ours by the tunnel's ends, also in UDP, and in IP in IP where IPComp did not pay."""
    ends = f"203.0.113.1 {PHOENIX[4]}"
    key = os.urandom(20)
    outer = IP(src="203.0.113.1", dst=PHOENIX[4])
    clear = echo(4, 1, 40)
    if form == "udp":
        sa = f"add 203.0.113.1[40000] {PHOENIX[4]}[4500] esp-udp {IN:#x} -m tunnel -E null -A hmac-sha1 {key_text(key)};"
        esp = SecurityAssociation(ESP, spi=IN, crypt_algo="NULL", auth_algo="HMAC-SHA1-96", auth_key=key,
                                  tunnel_header=outer).encrypt(clear)
        packet = outer / UDP(sport=40000, dport=4500) / bytes(esp[ESP])
        request = f"esp/tunnel/{ends.replace(' ', '-')}/require"
    else:
        sa = f"add {ends} ipcomp 2 -m tunnel -C deflate;"
        packet = outer / clear
        request = f"ipcomp/tunnel/{ends.replace(' ', '-')}/use"
    wire.load("phoenix", f"flush; spdflush;\n{sa}\nspdadd {ME[4]} {PHOENIX[4]} any -P in ipsec {request};\n")
    wire.drain()
    before = wire.phoenix.counters()
    wire.send(packet)
    answer = wire.receive(to_me)
    assert wire.phoenix.counters().since(before, "in.opened") == 1
    assert answer and reply_number(answer.ip, 40) == 1
