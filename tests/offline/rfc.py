# SPDX-License-Identifier: BSD-2-Clause
"""AH, ESP, IPComp and TCP-MD5 with every algorithm, written from the RFCs for the tests alone.

Slow and plain: what protects and opens here is to be compared with the texts of the
RFCs line by line. Shares nothing with src/ but two readings that the RFCs leave open
(docs/architecture.md): AES-GMAC in AH, and the little-endian fill of keyed-sha1.
"""

import hashlib
import hmac
import os
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC

from ipsec_model import PROTO_AH, PROTO_ESP, BadIcv, checksum, immutable, join, split

PROTO_TCP, PROTO_UDP, PROTO_IPIP, PROTO_IPV6, PROTO_IPCOMP = 6, 17, 4, 41, 108


class Wrong(Exception):
    """A packet that is not what the RFC says."""


# Ciphers: algorithm of the library, bytes of IV on the wire, of block, of salt, of ICV.
def _des(key):
    return algorithms.TripleDES(3 * key)  # E(D(E(x))) with one key is DES


CBC = {  # RFC 2405, 2451, 3602, 4312
    "des-cbc": (_des, 8), "3des-cbc": (algorithms.TripleDES, 8), "blowfish-cbc": (algorithms.Blowfish, 8),
    "cast128-cbc": (algorithms.CAST5, 8), "rijndael-cbc": (algorithms.AES, 16), "camellia-cbc": (algorithms.Camellia, 16),
}
CTR = {"aes-ctr": algorithms.AES, "camellia-ctr": algorithms.Camellia}  # RFC 3686, 5529
AEAD = {  # bytes of salt, of ICV: RFC 4106, 4309, 4543, 7634
    "aes-gcm-16": (4, 16), "aes-gcm-12": (4, 12), "aes-gcm-8": (4, 8),
    "aes-ccm-16": (3, 16), "aes-ccm-12": (3, 12), "aes-ccm-8": (3, 8),
    "aes-gmac": (4, 16), "chacha20-poly1305": (4, 16),
}
DERIVED = ("des-deriv", "des-32iv")  # the IV is made of four bytes and their complement


def _run(step, data):
    return step.update(data) + step.finalize()


def cbc(name, key, iv, data, protect):
    cipher = Cipher(CBC[name][0](key), modes.CBC(iv))
    return _run(cipher.encryptor() if protect else cipher.decryptor(), data)


def ctr(name, key, iv, data):
    """RFC 3686 section 4: nonce, IV, and a block counter from 1."""
    key, nonce = key[:-4], key[-4:]
    blocks = _run(Cipher(CTR[name](key), modes.ECB()).encryptor(), b"".join(
        nonce + iv + number.to_bytes(4, "big") for number in range(1, 2 + len(data) // 16)))
    return bytes(a ^ b for a, b in zip(data, blocks))


def gcm_seal(key, nonce, text, aad):
    step = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    step.authenticate_additional_data(aad)
    return _run(step, text), step.tag


def gcm_open(key, nonce, text, aad, tag):
    step = Cipher(algorithms.AES(key), modes.GCM(nonce, tag, min_tag_length=len(tag))).decryptor()
    step.authenticate_additional_data(aad)
    return _run(step, text)


def aead_seal(name, key, iv, text, aad):
    salt, icv = AEAD[name]
    key, nonce = key[:-salt], key[-salt:] + iv
    if name == "aes-gmac":
        return text + gcm_seal(key, nonce, b"", aad + iv + text)[1]
    if name.startswith("aes-gcm"):
        text, tag = gcm_seal(key, nonce, text, aad)
        return text + tag[:icv]
    if name.startswith("aes-ccm"):
        return AESCCM(key, tag_length=icv).encrypt(nonce, text, aad)
    return ChaCha20Poly1305(key).encrypt(nonce, text, aad)


def aead_open(name, key, iv, sealed, aad):
    salt, icv = AEAD[name]
    key, nonce = key[:-salt], key[-salt:] + iv
    text, tag = sealed[:-icv], sealed[-icv:]
    try:
        if name == "aes-gmac":
            gcm_open(key, nonce, b"", aad + iv + text, tag)
            return text
        if name.startswith("aes-gcm"):
            return gcm_open(key, nonce, text, aad, tag)
        if name.startswith("aes-ccm"):
            return AESCCM(key, tag_length=icv).decrypt(nonce, sealed, aad)
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise BadIcv(name) from None


def knows(cipher):
    return cipher in (*CBC, *CTR, *AEAD, *DERIVED, "null")


# Authentication.
HMACS = {"hmac-md5": ("md5", 12), "hmac-sha1": ("sha1", 12), "hmac-sha2-256": ("sha256", 16),
         "hmac-sha2-384": ("sha384", 24), "hmac-sha2-512": ("sha512", 32), "hmac-ripemd160": ("ripemd160", 12)}
KEYED = {"keyed-md5": hashlib.md5, "keyed-sha1": hashlib.sha1}
ICV = {**{name: row[1] for name, row in HMACS.items()}, "keyed-md5": 12, "keyed-sha1": 12,
       "aes-xcbc-mac": 12, "aes-cmac": 12, "null": 0}
ICV_OLD = 16  # whatever the hash makes, cut to 128 bits
GMAC_AH = {"aes-gmac-128": 16, "aes-gmac-192": 24, "aes-gmac-256": 32}


def keyed(name, key, data):
    """RFC 1828: key, its fill, the bytes, the key."""
    fill = b"\x80" + bytes(-(len(key) + 9) % 64) + (8 * len(key)).to_bytes(8, "little")
    return KEYED[name](key + fill + data + key).digest()


def xcbc(key, data):
    """RFC 3566 section 4."""
    ecb = Cipher(algorithms.AES(key), modes.ECB())
    k1, k2, k3 = (_run(ecb.encryptor(), bytes([number]) * 16) for number in (1, 2, 3))
    whole = data and len(data) % 16 == 0
    last = data[len(data) - 16:] if whole else data[len(data) // 16 * 16:]
    head = data[:len(data) - len(last)]
    last = last if whole else (last + b"\x80").ljust(16, b"\0")
    last = bytes(a ^ b for a, b in zip(last, k2 if whole else k3))
    return _run(Cipher(algorithms.AES(k1), modes.CBC(bytes(16))).encryptor(), head + last)[-16:]


def mac(name, key, data):
    if name in HMACS:
        return hmac.new(key, data, HMACS[name][0]).digest()
    if name in KEYED:
        return keyed(name, key, data)
    if name == "aes-xcbc-mac":
        return xcbc(key, data)
    if name == "aes-cmac":
        step = CMAC(algorithms.AES(key))
        step.update(data)
        return step.finalize()
    return b""


class Sequence:
    """The number of the next packet; with ESN 64 bits of it, of which 32 are sent."""

    def __init__(self, esn, first=1):
        self.esn, self.next = esn, first

    def take(self):
        self.next += 1
        return self.next - 1

    def high(self, seq):
        return (seq >> 32).to_bytes(4, "big") if self.esn else b""


class Esp:
    """One SA of ESP: RFC 4303, and with `old` RFC 1827."""

    def __init__(self, spi, cipher, key, auth="null", auth_key=b"", old=False, esn=False, udp=None):
        self.spi, self.cipher, self.key, self.auth, self.auth_key = spi, cipher, key, auth, auth_key
        self.old, self.udp = old, udp
        self.seq = Sequence(esn)

    def _sizes(self):
        """Bytes of IV on the wire, and of block."""
        if self.cipher in CBC:
            return CBC[self.cipher][1], CBC[self.cipher][1]
        return {"des-deriv": (0, 8), "des-32iv": (4, 8), "null": (0, 4)}.get(self.cipher, (8, 4))

    def _iv(self, wire, seq):
        if self.cipher not in DERIVED:
            return wire
        half = wire if self.cipher == "des-32iv" else (seq & 0xFFFFFFFF).to_bytes(4, "big")
        return half + bytes(byte ^ 0xFF for byte in half)

    def _aad(self, seq):
        return self.spi.to_bytes(4, "big") + self.seq.high(seq) + (seq & 0xFFFFFFFF).to_bytes(4, "big")

    def protect(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        seq = self.seq.take()
        iv_len, block = self._sizes()
        padding = bytes(range(1, 1 + -(len(rest) + 2) % block))
        text = rest + padding + bytes([len(padding), proto])
        wire = os.urandom(iv_len)
        head = self.spi.to_bytes(4, "big") + (b"" if self.old else (seq & 0xFFFFFFFF).to_bytes(4, "big"))
        if self.cipher in AEAD:
            esp = head + wire + aead_seal(self.cipher, self.key, wire, text, self._aad(seq))
        else:
            esp = head + wire + self._crypt(self._iv(wire, seq), text, True)
            esp += mac(self.auth, self.auth_key, esp + self.seq.high(seq))[:ICV[self.auth]]
        if self.udp:
            esp = b"".join(port.to_bytes(2, "big") for port in self.udp) + (8 + len(esp)).to_bytes(2, "big") + b"\0\0" + esp
        out = join(headers, PROTO_UDP if self.udp else PROTO_ESP, esp)
        return self._sum(out) if self.udp else out

    @staticmethod
    def _sum(datagram):
        """RFC 3948 section 2.1 wants no checksum; RFC 8200 section 8.1 one in IPv6."""
        return with_checksum(datagram, 6) if datagram[0] >> 4 == 6 else datagram

    def _crypt(self, iv, text, protect):
        if self.cipher in CBC:
            return cbc(self.cipher, self.key, iv, text, protect)
        if self.cipher in DERIVED:
            return cbc("des-cbc", self.key, iv, text, protect)
        return ctr(self.cipher, self.key, iv, text) if self.cipher in CTR else text

    def _peel(self, datagram, esp, proto):
        if not self.udp:
            if proto != PROTO_ESP:
                raise Wrong(f"protocol {proto} and not ESP")
            return esp
        if proto != PROTO_UDP or esp[:4] != b"".join(port.to_bytes(2, "big") for port in self.udp):
            raise Wrong(f"protocol {proto}, ports {esp[:4].hex()}")
        if int.from_bytes(esp[4:6], "big") != len(esp) or self._sum(datagram) != datagram:
            raise Wrong(f"UDP header {esp[:8].hex()}")
        return esp[8:]

    def open(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        esp = self._peel(bytes(datagram), rest, proto)
        seq = self.seq.take()
        head_len, (iv_len, block) = 4 if self.old else 8, self._sizes()
        if esp[:4] != self.spi.to_bytes(4, "big"):
            raise Wrong(f"SPI {esp[:4].hex()}")
        if not self.old and esp[4:8] != (seq & 0xFFFFFFFF).to_bytes(4, "big"):
            raise Wrong(f"sequence number {esp[4:8].hex()}, and not {seq}")
        if self.cipher in AEAD:
            wire, text = esp[head_len:head_len + iv_len], esp[head_len + iv_len:]
            text = aead_open(self.cipher, self.key, wire, text, self._aad(seq))
        else:
            covered = esp[:len(esp) - ICV[self.auth]]
            icv = esp[len(covered):]
            if icv != mac(self.auth, self.auth_key, covered + self.seq.high(seq))[:ICV[self.auth]]:
                raise BadIcv(self.auth)
            wire, text = covered[head_len:head_len + iv_len], covered[head_len + iv_len:]
            text = self._crypt(self._iv(wire, seq), text, False)
        padding = text[len(text) - 2 - text[-2]:-2]
        if len(text) % block or padding != bytes(range(1, 1 + len(padding))):
            raise Wrong(f"padding {padding.hex()}, {len(text)} bytes in blocks of {block}")
        return join(headers, text[-1], text[:len(text) - 2 - len(padding)])


class Ah:
    """One SA of AH: RFC 4302, and with `old` RFC 1826."""

    def __init__(self, spi, auth, key, old=False, esn=False):
        self.spi, self.auth, self.key, self.old = spi, auth, key, old
        self.seq = Sequence(esn)

    def _sizes(self):
        """Bytes before the ICV, of an IV in it, and of the ICV behind that."""
        if self.auth in GMAC_AH:
            return 12, 8, 16
        return (8, 0, ICV_OLD) if self.old else (12, 0, ICV[self.auth])

    def _icv(self, headers, ah, rest, seq):
        fixed, iv, icv = self._sizes()
        blank = ah[:fixed + iv] + bytes(icv) + ah[fixed + iv + icv:]
        covered = immutable(headers) + blank + rest + self.seq.high(seq)
        if self.auth in GMAC_AH:
            return gcm_seal(self.key[:-4], self.key[-4:] + ah[fixed:fixed + iv], b"", covered)[1]
        return mac(self.auth, self.key, covered)[:icv]

    def _length(self, headers):
        size = sum(self._sizes())
        return size + -size % (8 if headers[0] >> 4 == 6 else 4)

    def protect(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        seq = self.seq.take()
        fixed, iv, icv = self._sizes()
        length = self._length(headers)
        ah = bytes([proto, length // 4 - 2, 0, 0]) + self.spi.to_bytes(4, "big")
        ah += b"" if self.old else (seq & 0xFFFFFFFF).to_bytes(4, "big")
        ah = (ah + os.urandom(iv)).ljust(length, b"\0")
        headers = join(headers, PROTO_AH, ah + rest)[:len(headers)]
        ah = ah[:fixed + iv] + self._icv(headers, ah, rest, seq) + ah[fixed + iv + icv:]
        return join(headers, PROTO_AH, ah + rest)

    def open(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        if proto != PROTO_AH:
            raise Wrong(f"protocol {proto} and not AH")
        seq = self.seq.take()
        fixed, iv, icv = self._sizes()
        ah, rest = rest[:self._length(headers)], rest[self._length(headers):]
        expected = bytes([len(ah) // 4 - 2, 0, 0]) + self.spi.to_bytes(4, "big")
        expected += b"" if self.old else (seq & 0xFFFFFFFF).to_bytes(4, "big")
        if ah[1:fixed] != expected or any(ah[fixed + iv + icv:]):
            raise Wrong(f"AH {ah.hex()}")
        if self._icv(headers, ah, rest, seq) != ah[fixed + iv:fixed + iv + icv]:
            raise BadIcv(self.auth)
        return join(headers, ah[0], rest)


class IpComp:
    """RFC 3173 with deflate, RFC 2394; zlib judges."""

    def __init__(self, cpi):
        self.cpi = cpi

    def protect(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        step = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = bytes([proto, 0]) + self.cpi.to_bytes(2, "big") + step.compress(rest) + step.flush()
        return join(headers, PROTO_IPCOMP, packed) if len(packed) < len(rest) else bytes(datagram)

    def open(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        if proto != PROTO_IPCOMP:
            return bytes(datagram)  # what gets no shorter is sent as it is
        if rest[1:4] != b"\0" + self.cpi.to_bytes(2, "big"):
            raise Wrong(f"IPComp {rest[:4].hex()}")
        step = zlib.decompressobj(-15)
        clear = step.decompress(rest[4:]) + step.flush()
        if not step.eof or step.unused_data or len(clear) <= len(rest):
            raise Wrong("compressed data do not end where the packet does, or are longer than clear")
        return join(headers, rest[0], clear)


class Tunnel:
    """IP in IP between two ends."""

    def __init__(self, src, dst):
        self.src, self.dst = src, dst

    def protect(self, datagram):
        proto = PROTO_IPIP if datagram[0] >> 4 == 4 else PROTO_IPV6
        return datagram_of(self.src, self.dst, proto, bytes(datagram))

    def open(self, datagram):
        headers, proto, inner = split(bytes(datagram))
        ends = headers[12:20] if headers[0] >> 4 == 4 else headers[8:40]
        if ends != self.src + self.dst or proto != (PROTO_IPIP if inner[0] >> 4 == 4 else PROTO_IPV6):
            raise Wrong(f"tunnel header {headers.hex()}")
        return inner


class TcpMd5:
    """RFC 2385, for segments without options of their own."""

    def __init__(self, key):
        self.key = key

    def _digest(self, headers, tcp, data):
        ends = headers[12:20] if headers[0] >> 4 == 4 else headers[8:40]
        length = len(tcp) + len(data)
        pseudo = ends + (b"\0\6" + length.to_bytes(2, "big") if headers[0] >> 4 == 4
                         else length.to_bytes(4, "big") + b"\0\0\0\6")
        return hashlib.md5(pseudo + tcp[:16] + b"\0\0" + tcp[18:20] + data + self.key).digest()

    def protect(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        tcp = bytearray(rest[:20] + b"\x01\x01\x13\x12" + bytes(16))
        tcp[12] = len(tcp) // 4 << 4
        tcp[24:] = self._digest(headers, tcp, rest[20:])
        return with_checksum(join(headers, proto, bytes(tcp) + rest[20:]), 16)

    def open(self, datagram):
        headers, proto, rest = split(bytes(datagram))
        length = rest[12] >> 4 << 2
        at, found = 20, None
        while at < length and rest[at]:
            size = 1 if rest[at] == 1 else rest[at + 1]
            if rest[at] == 19:
                found = rest[at + 2:at + size]
            at += size
        if found != self._digest(headers, rest[:length], rest[length:]):
            raise BadIcv("tcp-md5")
        tcp = bytearray(rest[:20])
        tcp[12] = 5 << 4
        return with_checksum(join(headers, proto, bytes(tcp) + rest[length:]), 16)


class Chain:
    """Several of these, the innermost first."""

    def __init__(self, *steps):
        self.steps = steps

    def protect(self, datagram):
        for step in self.steps:
            datagram = step.protect(datagram)
        return datagram

    def open(self, datagram):
        for step in reversed(self.steps):
            datagram = step.open(datagram)
        return datagram


# Datagrams in clear.
def datagram_of(src, dst, proto, rest, ttl=64):
    if len(src) == 4:
        header = bytearray(b"\x45\0\0\0\0\0\0\0" + bytes([ttl, proto]) + b"\0\0" + src + dst)
        return join(header, proto, rest)
    return b"\x60\0\0\0" + len(rest).to_bytes(2, "big") + bytes([proto, ttl]) + src + dst + rest


def with_checksum(datagram, at):
    """The checksum of UDP (at 6) or TCP (at 16) put right."""
    headers, proto, rest = split(datagram)
    ends = headers[12:20] if headers[0] >> 4 == 4 else headers[8:40]
    rest = bytearray(rest)
    rest[at:at + 2] = b"\0\0"
    covered = ends + len(rest).to_bytes(4, "big") + bytes([0, 0, 0, proto]) + rest
    found = checksum(covered + b"\0" * (len(covered) % 2))
    rest[at:at + 2] = found if any(found) or proto != PROTO_UDP else b"\xff\xff"
    return headers + bytes(rest)


def udp(src, dst, payload, ports=(7777, 7778)):
    head = b"".join(port.to_bytes(2, "big") for port in ports) + (8 + len(payload)).to_bytes(2, "big") + b"\0\0"
    return with_checksum(datagram_of(src, dst, PROTO_UDP, head + payload), 6)


def tcp(src, dst, payload, ports):
    head = b"".join(port.to_bytes(2, "big") for port in ports) + bytes(8) + b"\x50\x18\x20\0" + bytes(4)
    return with_checksum(datagram_of(src, dst, PROTO_TCP, head + payload), 16)


def with_options(datagram):
    """IPv6 with a hop-by-hop option that may change on the way, and one that may not."""
    headers, proto, rest = split(datagram)
    options = bytes([proto, 1]) + b"\x3e\x04wxyz" + b"\x1e\x04abcd" + b"\x01\0"
    return headers[:4] + (len(options) + len(rest)).to_bytes(2, "big") + b"\0" + headers[7:40] + options + rest
