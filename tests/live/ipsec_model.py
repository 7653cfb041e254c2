# SPDX-License-Identifier: BSD-2-Clause
"""AH and the authentication of ESP, written from the RFCs for the tests alone.

Scapy 2.5 signs AH around ESP with an ICV of zeros; this signs and checks whatever
follows the header. IPv4 without options that change and IPv6 with hop-by-hop and
destination options are covered, not source routes. Shares nothing with src/.

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


def immutable(headers):
    """The headers as the ICV sees them: RFC 4302 sections 3.3.3.1.1 and 3.3.3.1.2."""
    fixed = bytearray(headers)
    if fixed[0] >> 4 == 4:
        if len(fixed) > 20:
            raise NotImplementedError("IPv4 options")
        fixed[1] = 0                # TOS
        fixed[6:8] = b"\0\0"        # flags, fragment offset
        fixed[8] = 0                # TTL
        fixed[10:12] = b"\0\0"      # checksum
        return bytes(fixed)
    fixed[0:4] = b"\x60\0\0\0"      # traffic class, flow label
    fixed[7] = 0                    # hop limit
    proto, at = fixed[6], 40
    while at < len(fixed):
        end = at + 8 * (fixed[at + 1] + 1)
        if proto in (HOP_BY_HOP, DESTINATION):
            option = at + 2
            while option < end:
                if fixed[option] == 0:  # Pad1 has no length
                    option += 1
                    continue
                length = fixed[option + 1]
                if fixed[option] & MUTABLE_OPTION:
                    fixed[option + 2:option + 2 + length] = bytes(length)
                option += 2 + length
        elif proto == ROUTING:
            raise NotImplementedError("routing header")
        proto, at = fixed[at], end
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
