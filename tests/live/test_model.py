# SPDX-License-Identifier: BSD-2-Clause
"""The tests' own AH and ESP, against published vectors and against Scapy."""

import hashlib

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrHopByHop, HBHOptUnknown, PadN
from scapy.layers.ipsec import AH, ESP, SecurityAssociation

import ipsec_model as model

# The digests of RFC 2202 sections 2 and 3 and RFC 4231 section 4, cut as RFC 2403, 2404 and 4868 say.
VECTORS = [
    ("hmac-md5", b"\x0b" * 16, b"Hi There", "9294727a3638bb1c13f48ef8"),
    ("hmac-md5", b"Jefe", b"what do ya want for nothing?", "750c783e6ab0b503eaa86e31"),
    ("hmac-md5", b"\xaa" * 16, b"\xdd" * 50, "56be34521d144c88dbb8c733"),
    ("hmac-sha1", b"\x0b" * 20, b"Hi There", "b617318655057264e28bc0b6"),
    ("hmac-sha1", b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5"),
    ("hmac-sha2-256", b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b"),
    ("hmac-sha2-256", b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
    ("hmac-sha2-384", b"Jefe", b"what do ya want for nothing?",
     "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47"),
    ("hmac-sha2-512", b"Jefe", b"what do ya want for nothing?",
     "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"),
]

KEYS = {auth: bytes(range(hashlib.new(mac.hash).digest_size)) for auth, mac in model.MACS.items()}
SCAPY_AUTH = {"hmac-md5": "HMAC-MD5-96", "hmac-sha1": "HMAC-SHA1-96", "hmac-sha2-256": "SHA2-256-128",
              "hmac-sha2-384": "SHA2-384-192", "hmac-sha2-512": "SHA2-512-256"}
DATAGRAMS = {
    "ipv4": IP(src="192.0.2.10", dst="198.51.100.10", tos=0x68, id=7, flags="DF", ttl=9) / ICMP() / b"abcdefg",
    "ipv6": IPv6(src="2001:db8:1::10", dst="2001:db8:2::10", tc=0x68, fl=77, hlim=9) / ICMPv6EchoRequest() / b"abc",
    "ipv6-hop-by-hop": IPv6(src="2001:db8:1::10", dst="2001:db8:2::10")
                       / IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x3e, optdata=b"wxyz"), PadN()])
                       / UDP(sport=1, dport=2) / b"abc",
}


@pytest.mark.parametrize("auth, key, data, icv", VECTORS)
def test_icv_of_rfc_vectors(auth, key, data, icv):
    assert model.esp_icv(auth, key, data).hex() == icv


def test_rfc_3602_case_5_is_opened_by_scapy():
    """The reader of our ESP, on the sample packet of RFC 3602 section 4."""
    sent = IP(bytes.fromhex("4500007c08f2000040320000c0a87b03c0a87b64"
                            "0000432100000001e96e8c08ab465763fd098d45dd3ff893"
                            "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856"
                            "a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874a"
                            "a269add047ad2d5913ac19b7cfbad4a6"))
    sa = SecurityAssociation(ESP, spi=0x4321, crypt_algo="AES-CBC",
                             crypt_key=bytes.fromhex("90d382b410eeba7ad938c46cec1a82bf"))
    clear = bytes(sa.decrypt(sent))
    assert clear[9] == 1 and clear[20:].startswith(bytes.fromhex("08000ebda70a00008e9c083db95b0700"))
    assert clear[20:].endswith(bytes(range(0x30, 0x38)))


@pytest.mark.parametrize("name", DATAGRAMS)
@pytest.mark.parametrize("auth", model.MACS)
def test_ah_agrees_with_scapy(auth, name):
    datagram = bytes(DATAGRAMS[name])
    ours = model.Ah(0x3D54, auth, KEYS[auth], seq=5)
    theirs = SecurityAssociation(AH, spi=0x3D54, seq_num=5, auth_algo=SCAPY_AUTH[auth], auth_key=KEYS[auth])
    protected = ours.protect(datagram)
    assert protected == bytes(theirs.encrypt(DATAGRAMS[name].__class__(datagram)))
    assert bytes(theirs.decrypt(DATAGRAMS[name].__class__(protected))) == datagram
    assert ours.open(protected) == datagram
    assert ours.seq == 6


@pytest.mark.parametrize("name", DATAGRAMS)
def test_ah_around_esp(name):
    """What Scapy 2.5 gets wrong: there the ICV stays zero."""
    datagram = DATAGRAMS[name].__class__(bytes(DATAGRAMS[name]))
    esp = SecurityAssociation(ESP, spi=0x3D55, crypt_algo="Blowfish", crypt_key=b"12345")
    ah = model.Ah(0x3D54, "hmac-md5", b"1234567890123456")
    inner = bytes(esp.encrypt(datagram))
    outer = ah.protect(inner)
    at = len(model.split(outer)[0])
    assert outer[at] == model.PROTO_ESP and any(outer[at + 12:at + 24])
    assert ah.open(outer) == inner
    assert bytes(esp.decrypt(datagram.__class__(inner))) == bytes(DATAGRAMS[name])


# A byte of an IPv4 datagram with AH, and whether it may change on the way.
BYTES = [(1, True), (6, True), (8, True), (10, True), (3, False), (4, False), (12, False), (16, False),
         (21, False), (22, False), (24, False), (28, False), (32, False), (44, False), (-1, False)]


@pytest.mark.parametrize("at, mutable", BYTES)
def test_ah_notices_what_it_covers(at, mutable):
    ah = model.Ah(1, "hmac-sha1", KEYS["hmac-sha1"])
    changed = bytearray(ah.protect(bytes(DATAGRAMS["ipv4"])) + b"")
    changed[at] ^= 0x10
    if mutable:
        ah.open(changed)
    else:
        with pytest.raises((model.BadIcv, ValueError, IndexError)):
            ah.open(changed)


@pytest.mark.parametrize("auth", model.MACS)
def test_esp_null_agrees_with_scapy(auth):
    datagram = IP(bytes(DATAGRAMS["ipv4"]))
    sa = SecurityAssociation(ESP, spi=9, crypt_algo="NULL", auth_algo=SCAPY_AUTH[auth], auth_key=KEYS[auth])
    ours = model.esp_null_protect(bytes(datagram), 9, 1, auth, KEYS[auth])
    assert bytes(sa.decrypt(IP(ours))) == bytes(datagram)
