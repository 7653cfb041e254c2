# SPDX-License-Identifier: BSD-2-Clause
"""What is checked: every algorithm of the table, key length, protocol, mode and IP version.

A case is one SA or two, between hosts of its own. All cases of a judge go through the
verbs in one capture, so that a program is started once for hundreds of them.
"""

import dataclasses
import hashlib
import ipaddress
import re

import captures
import rfc

# The rows of the engine's table ---------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Row:
    kind: str  # ENC, AUTH or COMP
    name: str
    key: tuple  # lengths in bytes
    protocols: frozenset  # esp esp-old ah ah-old ipcomp tcp

    @property
    def aead(self):
        return self.name in rfc.AEAD


PROTOCOLS = {"ALG_FOR_ESP": ["esp"], "ALG_FOR_ESP_OLD": ["esp-old"], "ALG_FOR_AH": ["ah"], "ALG_FOR_AH_OLD": ["ah-old"],
             "FOR_AH_ESP": ["ah", "esp"], "FOR_ALL_AH_ESP": ["ah", "esp", "ah-old"], "ALG_FOR_IPCOMP": ["ipcomp"],
             "ALG_FOR_TCP": ["tcp"]}
NULL_KEYS = (0,)  # any length does, and none matters


def rows():
    """src/alg/alg.c, read as text."""
    text = (captures.ROOT / "src/alg/alg.c").read_text()
    text = text[text.index("static const struct alg algs[]"):text.index("algs_end")]
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    found = []
    for match in re.finditer(r'\{ ALG_(ENC|AUTH|COMP), "([^"]+)"(.*?)(?=\n\t\{ ALG_|\Z)', text, re.DOTALL):
        kind, name, rest = match.groups()
        words = re.search(r"\.protocols = ([A-Z_ |]+)", rest)[1].split(" | ")
        if salt := re.search(r"\.key = AES_KEY\((\d+)\)", rest):
            lengths = range(128 + int(salt[1]), 257 + int(salt[1]), 64)
        elif key := re.search(r"\.key = \{ (\d+), (\d+), (\d+) \}", rest):
            low, high, step = map(int, key.groups())
            lengths = range(low, high + 1, step or 1)
        else:
            lengths = (0,)
        keys = NULL_KEYS if name == "null" else tuple(bits // 8 for bits in lengths)
        found.append(Row(kind, name, keys, frozenset(sum((PROTOCOLS[word] for word in words), []))))
    return found


ROWS = rows()
CIPHERS = [row for row in ROWS if row.kind == "ENC"]
AUTHS = [row for row in ROWS if row.kind == "AUTH" and row.name != "tcp-md5"]

# Hosts and shapes -------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shape:
    mode: str
    inner: int
    outer: int

    def __str__(self):
        if self.mode == "transport":
            return f"transport IPv{self.inner}"
        return f"tunnel IPv{self.inner} in IPv{self.outer}"


SHAPES = [Shape("transport", 4, 4), Shape("transport", 6, 6), Shape("tunnel", 4, 4), Shape("tunnel", 6, 6),
          Shape("tunnel", 4, 6), Shape("tunnel", 6, 4)]
TRANSPORT = SHAPES[:2]


def hosts(number, version, gateways=False):
    """Two addresses that nobody else has, as text and bytes."""
    if version == 4:
        base = int(ipaddress.ip_address("172.16.0.0" if gateways else "10.0.0.0")) + 4 * number
    else:
        base = int(ipaddress.ip_address("2001:db8:1::" if gateways else "2001:db8::")) + (number << 16)
    ends = [ipaddress.ip_address(base + end) for end in (1, 2)]
    return [str(end) for end in ends], [end.packed for end in ends]


def key_of(label, length):
    """Bytes that are the same in every run, and nobody's."""
    return hashlib.shake_128(label.encode()).digest(length)


# Cases --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Sa:
    """A word for each protocol that setkey knows, and the algorithms."""

    protocol: str
    cipher: tuple = None  # (name, key)
    auth: tuple = None
    esn: bool = False

    def __str__(self):
        parts = [f"{part[0]}" + (f" {8 * len(part[1])}" if part[1] else "") for part in (self.cipher, self.auth) if part]
        return " ".join([self.protocol, *parts, *(["esn"] if self.esn else [])])

    def words(self):
        def option(letter, part):
            return f" -{letter} {part[0]} " + ("0x" + part[1].hex() if part[1] else '""') if part else ""

        if self.protocol == "ipcomp":
            return " -C deflate"
        return (" -esn" if self.esn else "") + option("E", self.cipher) + option("A", self.auth)

    def judge(self, spi):
        old = self.protocol.endswith("-old")
        if self.protocol == "ipcomp":
            return rfc.IpComp(2)
        if self.protocol == "tcp":
            return rfc.TcpMd5(self.auth[1])
        if self.protocol.startswith("ah"):
            return rfc.Ah(spi, *self.auth, old=old, esn=self.esn)
        return rfc.Esp(spi, *(self.cipher or ("null", b"")), *(self.auth or ("null", b"")), old=old, esn=self.esn,
                       udp=(4500, 4500) if self.protocol == "esp-udp" else None)


@dataclasses.dataclass
class Case:
    number: int
    sas: tuple  # the innermost first
    shape: Shape
    packets: int = 2
    ports: tuple = (7777, 7778)

    def __str__(self):
        return f"{', '.join(map(str, self.sas))}; {self.shape}"

    def spi(self, at):
        return 0x10000 + 4 * self.number + at

    def ends(self):
        return hosts(self.number, self.shape.inner)

    def gateways(self):
        tunnel = self.shape.mode == "tunnel"
        return hosts(self.number, self.shape.outer, gateways=True) if tunnel else self.ends()

    def clear(self):
        """Datagrams of changing lengths, which compress where that is what is checked."""
        _, (src, dst) = self.ends()
        for at in range(self.packets):
            size = (37 * self.number + 61 * at) % 131
            if self.sas[0].protocol == "ipcomp":
                payload = bytes(byte % 7 for byte in range(200 + size))
            else:
                # beginning with zeros, it looks to tshark like no protocol that it would take apart
                payload = (b"\0\0\0\0" + key_of(f"payload {self.number} {at}", size))[:size]
            make = rfc.tcp if self.sas[0].protocol == "tcp" else rfc.udp
            yield make(src, dst, payload, self.ports)
        if self.shape.inner == 6 and self.sas[0].protocol not in ("tcp", "ipcomp"):
            yield rfc.with_options(rfc.udp(src, dst, b"\0behind an option", self.ports))

    def conf(self):
        (src, dst), (near, far) = self.ends()[0], self.gateways()[0]
        lines, requests = [], []
        for at, sa in enumerate(self.sas):
            tunnel = self.shape.mode == "tunnel" and at == 0
            spi = "0x1000" if sa.protocol == "tcp" else f"{self.spi(at) & 0x7FFF | 0x4000:#x}" if sa.protocol == "ipcomp" else f"{self.spi(at):#x}"
            ports = "[4500]" if sa.protocol == "esp-udp" else ""
            lines.append(f"add {near}{ports} {far}{ports} {sa.protocol} {spi} -m {'tunnel' if tunnel else 'transport'}{sa.words()};")
            word = sa.protocol.split("-")[0]
            requests.append(f"{word}/tunnel/{near}-{far}/require" if tunnel else f"{word}/transport//require")
        if self.sas[0].protocol != "tcp":
            for direction in ("out", "in"):
                lines.append(f"spdadd {src} {dst} any -P {direction} ipsec {' '.join(requests)};")
        return "\n".join(lines) + "\n"

    def judge(self):
        steps = [sa.judge(self.spi(at)) for at, sa in enumerate(self.sas)]
        if self.shape.mode == "tunnel":
            steps.insert(0, rfc.Tunnel(*self.gateways()[1]))
        return rfc.Chain(*steps)


def part(row, length):
    return row.name, key_of(row.name, length)


def all_keys(some):
    return [part(row, length) for row in some for length in row.key]


def turn(items, number):
    """One of them after the other."""
    return items[number % len(items)]


def esp_parts(ciphers, auths):
    """ESP alone with every cipher and key length; with authentication, so that every pair of algorithms occurs."""
    for number, row in enumerate(ciphers):
        for at, length in enumerate(row.key):
            cipher = part(row, length)
            if row.name != "null":
                yield cipher, None
            if row.aead:
                continue
            few = auths if len(row.key) <= 3 or at in (0, len(row.key) - 1) else [turn(auths, number + at)]
            for auth in few:
                yield cipher, part(auth, auth.key[-1])


def bundles(ciphers, auths):
    """Every SA or pair of them that the algorithms make."""
    esp_auths = [auth for auth in auths if "esp" in auth.protocols]
    ah_auths = [auth for auth in auths if "ah" in auth.protocols]
    esp = [row for row in ciphers if "esp" in row.protocols]
    for cipher, auth in esp_parts(esp, esp_auths):
        yield (Sa("esp", cipher, auth),)
    for auth in all_keys(ah_auths):
        yield (Sa("ah", auth=auth),)
    ah_parts = all_keys(ah_auths)
    for number, cipher in enumerate(all_keys(esp)):
        yield Sa("esp", cipher), Sa("ah", auth=turn(ah_parts, number))


def old_bundles():
    for cipher in all_keys(row for row in CIPHERS if "esp-old" in row.protocols):
        yield (Sa("esp-old", cipher),)
    for auth in all_keys(row for row in AUTHS if "ah-old" in row.protocols):
        yield (Sa("ah-old", auth=auth),)


def esn_bundles():
    for row in CIPHERS:
        if "esp" in row.protocols:
            auth = None if row.aead else part(turn([a for a in AUTHS if "esp" in a.protocols and a.key != (0,)], row.key[0]), 0)
            if auth:
                found = next(a for a in AUTHS if a.name == auth[0])
                auth = part(found, found.key[-1])
            yield (Sa("esp", part(row, row.key[-1]), auth, esn=True),)
    for row in AUTHS:
        if "ah" in row.protocols:
            yield (Sa("ah", auth=part(row, row.key[-1]), esn=True),)


def other_bundles():
    gcm = next(row for row in CIPHERS if row.name == "aes-gcm-16")
    aes = next(row for row in CIPHERS if row.name == "rijndael-cbc")
    sha = next(row for row in AUTHS if row.name == "hmac-sha2-256")
    yield (Sa("esp-udp", part(gcm, gcm.key[0])),)
    yield (Sa("esp-udp", part(aes, 32), part(sha, 32)),)
    yield (Sa("ipcomp"),)
    yield Sa("ipcomp"), Sa("esp", part(gcm, gcm.key[0]))
    yield Sa("ipcomp"), Sa("esp", part(aes, 16), part(sha, 32)), Sa("ah", auth=part(sha, 32))


def cases_of(some, shapes=SHAPES, first=0):
    return [Case(first + number, sas, shape)
            for number, (sas, shape) in enumerate((sas, shape) for sas in some for shape in shapes)]


# A batch --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Batch:
    """Cases through a verb: what came of each packet."""

    cases: list
    result: captures.Result = None

    def conf(self):
        return "".join(case.conf() for case in self.cases)

    def run(self, directory, verb, packets, *options):
        """`packets` in the order of the cases; answers [(case, datagram sent, fate or reason, what came of it)]."""
        frames = [(case, frame) for case in self.cases for frame in packets[case.number]]
        result = captures.run(directory, verb, self.conf(), captures.pcap([frame for _, frame in frames]), "-l", "-j", *options)
        assert result.status in (0, 1), result.stderr
        self.result = result
        kept = iter(result.frames)
        out = []
        for (case, frame), line in zip(frames, result.listed, strict=True):
            came = line.get("reason", line["fate"])
            out.append((case, frame, came, None if line["fate"] == "dropped" else next(kept)))
        assert next(kept, None) is None
        return out
