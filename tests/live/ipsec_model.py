# SPDX-License-Identifier: BSD-2-Clause
"""AH and the authentication of ESP, written from the RFCs for the tests alone.

Scapy 2.5 signs AH around ESP with an ICV of zeros; this signs and checks whatever
follows the header. Source routes are followed as their hops would. Shares nothing with
src/.

    AH (RFC 4302 section 2):   next | length | 0 0 | SPI | sequence | ICV | padding
    ICV over: the IP header with its mutable fields zero (section 3.3.3.1), AH with its
    ICV zero, and everything that follows.
"""

import dataclasses
import hashlib
import hmac

PROTO_ESP, PROTO_AH = 50, 51
HOP_BY_HOP, ROUTING, DESTINATION = 0, 43, 60
MUTABLE_OPTION = 0x20  # RFC 8200 section 4.2: the option data may change en route
END, NOP, LSRR, SSRR = 0, 1, 0x83, 0x89
IMMUTABLE_OPTIONS = {NOP, 0x82, 0x85, 0x86, 0x94, 0x95}  # RFC 4302 appendix A1: security, CIPSO, router alert, broadcast


@dataclasses.dataclass(frozen=True)
class Mac:
    hash: str
    icv: int  # bytes on the wire

    def icv_of(self, key, data):
        return hmac.new(key, data, self.hash).digest()[:self.icv]


MACS = {
    "hmac-md5": Mac("md5", 12),           # RFC 2403
    "hmac-sha1": Mac("sha1", 12),         # RFC 2404
    "hmac-sha2-256": Mac("sha256", 16),   # RFC 4868 section 2.6
    "hmac-sha2-384": Mac("sha384", 24),
    "hmac-sha2-512": Mac("sha512", 32),
}


class BadIcv(Exception):
    pass


def checksum(header):
    """RFC 1071."""
    total = sum(int.from_bytes(header[at:at + 2], "big") for at in range(0, len(header), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def split(datagram):
    """(headers up to where AH belongs, protocol that follows, the rest)."""
    if datagram[0] >> 4 == 4:
        end = (datagram[0] & 15) * 4
        return datagram[:end], datagram[9], datagram[end:int.from_bytes(datagram[2:4], "big")]
    end, proto = 40, datagram[6]
    while proto in (HOP_BY_HOP, ROUTING) or (proto == DESTINATION and leads_to_more(datagram, end)):
        proto, end = datagram[end], end + 8 * (datagram[end + 1] + 1)
    return datagram[:end], proto, datagram[end:40 + int.from_bytes(datagram[4:6], "big")]


def leads_to_more(datagram, at):
    """Destination options go before AH only where a routing header (or AH itself) follows."""
    return datagram[at] in (ROUTING, PROTO_AH)


def join(headers, proto, rest):
    """A datagram again: lengths, the last `next header`, and IPv4's checksum are put right."""
    headers = bytearray(headers)
    if headers[0] >> 4 == 4:
        headers[2:4] = (len(headers) + len(rest)).to_bytes(2, "big")
        headers[9] = proto
        headers[10:12] = b"\0\0"
        headers[10:12] = checksum(headers)
        return bytes(headers) + rest
    headers[4:6] = (len(headers) - 40 + len(rest)).to_bytes(2, "big")
    at, following = 6, 40
    while following < len(headers):
        at, following = following, following + 8 * (headers[following + 1] + 1)
    headers[at] = proto
    return bytes(headers) + rest


def options(headers):
    """(offset, type, length) of IPv4's, up to the one that ends them."""
    at = 20
    while at < len(headers) and headers[at] != END:
        length = 1 if headers[at] == NOP else headers[at + 1]
        yield at, headers[at], length
        at += length


def extensions(headers):
    """(protocol, offset, length) of IPv6's."""
    proto, at = headers[6], 40
    while at < len(headers):
        length = 8 * (headers[at + 1] + 1)
        yield proto, at, length
        proto, at = headers[at], at + length


def routed(headers):
    """The headers as they come to the end of their source route, every hop done as it does it."""
    moved = bytearray(headers)
    if moved[0] >> 4 == 4:  # RFC 791 section 3.1
        for at, kind, length in options(headers):
            while kind in (LSRR, SSRR) and moved[at + 2] <= length:
                slot = at + moved[at + 2] - 1
                moved[16:20], moved[slot:slot + 4] = moved[slot:slot + 4], moved[16:20]
                moved[at + 2] += 4
        return bytes(moved)
    for proto, at, length in extensions(headers):  # RFC 2460 section 4.4, RFC 6275 section 6.4
        while proto == ROUTING and moved[at + 2] in (0, 2) and moved[at + 3]:
            count = moved[at + 1] // 2
            moved[at + 3] -= 1
            slot = at + 8 + 16 * (count - moved[at + 3] - 1)
            moved[24:40], moved[slot:slot + 16] = moved[slot:slot + 16], moved[24:40]
    return bytes(moved)


def immutable(headers):
    """The headers as the ICV sees them: RFC 4302 sections 3.3.3.1.1 and 3.3.3.1.2."""
    fixed = bytearray(routed(headers))
    if fixed[0] >> 4 == 4:
        for at, kind, length in options(headers):
            if kind not in IMMUTABLE_OPTIONS:
                fixed[at:at + length] = bytes(length)
        fixed[1] = 0                # TOS
        fixed[6:8] = b"\0\0"        # flags, fragment offset
        fixed[8] = 0                # TTL
        fixed[10:12] = b"\0\0"      # checksum
        return bytes(fixed)
    fixed[0:4] = b"\x60\0\0\0"      # traffic class, flow label
    fixed[7] = 0                    # hop limit
    for proto, at, length in extensions(headers):
        option, end = at + 2, at + length
        while proto in (HOP_BY_HOP, DESTINATION) and option < end:
            if fixed[option] == 0:  # Pad1 has no length
                option += 1
                continue
            size = fixed[option + 1]
            if fixed[option] & MUTABLE_OPTION:
                fixed[option + 2:option + 2 + size] = bytes(size)
            option += 2 + size
    return bytes(fixed)


@dataclasses.dataclass
class Ah:
    """One AH security association."""

    spi: int
    auth: str
    key: bytes
    seq: int = 1  # of the next packet

    def _icv(self, headers, ah, rest):
        blank = ah[:12] + bytes(MACS[self.auth].icv) + ah[12 + MACS[self.auth].icv:]
        return MACS[self.auth].icv_of(self.key, immutable(headers) + blank + rest)

    def protect(self, datagram, seq=None):
        """The datagram with AH after its headers."""
        if seq is None:
            seq, self.seq = self.seq, self.seq + 1
        headers, proto, rest = split(bytes(datagram))
        icv_len = MACS[self.auth].icv
        padding = bytes(-(12 + icv_len) % (8 if headers[0] >> 4 == 6 else 4))
        length = 12 + icv_len + len(padding)
        ah = (bytes([proto, length // 4 - 2, 0, 0]) + self.spi.to_bytes(4, "big")
              + seq.to_bytes(4, "big") + bytes(icv_len) + padding)
        headers = join(headers, PROTO_AH, ah + rest)[:len(headers)]
        ah = ah[:12] + self._icv(headers, ah, rest) + padding
        return join(headers, PROTO_AH, ah + rest)

    def open(self, datagram):
        """The datagram without its outermost AH, which must be this one and right."""
        headers, proto, rest = split(bytes(datagram))
        if proto != PROTO_AH:
            raise ValueError(f"protocol {proto} and not AH")
        length = 4 * (rest[1] + 2)
        icv_len = MACS[self.auth].icv
        expected = 12 + icv_len + (-(12 + icv_len) % (8 if headers[0] >> 4 == 6 else 4))
        ah, rest = rest[:length], rest[length:]
        if length != expected or ah[2:4] != b"\0\0" or int.from_bytes(ah[4:8], "big") != self.spi:
            raise ValueError(f"AH of {length} bytes, SPI {ah[4:8].hex()}")
        if any(ah[12 + icv_len:]):
            raise ValueError("AH padding is not zero")
        if self._icv(headers, ah, rest) != ah[12:12 + icv_len]:
            raise BadIcv(f"AH {self.spi:#x}")
        return join(headers, ah[0], rest)


def esp_icv(auth, key, esp):
    """The ICV over an ESP packet from its SPI to its next header (RFC 4303 section 2.8)."""
    return MACS[auth].icv_of(key, esp)


def esp_null_protect(datagram, spi, seq, auth, key, padding=None):
    """ESP with the NULL cipher (RFC 2410), the padding freely chosen, for packets made wrong on purpose."""
    headers, proto, rest = split(bytes(datagram))
    if padding is None:
        padding = bytes(range(1, 1 + -(len(rest) + 2) % 4))
    esp = (spi.to_bytes(4, "big") + seq.to_bytes(4, "big") + rest + padding
           + bytes([len(padding), proto]))
    return join(headers, PROTO_ESP, esp + esp_icv(auth, key, esp))
