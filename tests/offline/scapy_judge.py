# SPDX-License-Identifier: BSD-2-Clause
"""Scapy's IPsec layer as a judge, for what it knows. The AH of bundles is the tests' own: Scapy 2.5 would sign
AH around ESP with an ICV of zeros."""

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import AH, ESP, SecurityAssociation

import rfc

CIPHERS = {"null": "NULL", "des-cbc": "DES", "3des-cbc": "3DES", "blowfish-cbc": "Blowfish", "cast128-cbc": "CAST",
           "rijndael-cbc": "AES-CBC", "aes-ctr": "AES-CTR", "chacha20-poly1305": "CHACHA20-POLY1305",
           "aes-gcm-16": "AES-GCM",  # with other lengths of ICV it checks 16 bytes all the same
           "aes-ccm-16": "AES-CCM", "aes-ccm-12": "AES-CCM", "aes-ccm-8": "AES-CCM"}
AUTHS = {"hmac-md5": "HMAC-MD5-96", "hmac-sha1": "HMAC-SHA1-96", "hmac-sha2-256": "SHA2-256-128",
         "hmac-sha2-384": "SHA2-384-192", "hmac-sha2-512": "SHA2-512-256", "aes-cmac": "AES-CMAC-96", "null": "NULL"}


def packet(datagram):
    return (IP if datagram[0] >> 4 == 4 else IPv6)(datagram)


def knows(case):
    """Whether anything of the case is Scapy's to judge, and nothing of it is unknown to Scapy and to the model's AH."""
    inner = case.sas[0]
    if inner.protocol not in ("esp", "ah") or inner.esn:
        return False
    return (not inner.cipher or inner.cipher[0] in CIPHERS) and (not inner.auth or inner.auth[0] in AUTHS)


class Sa:
    def __init__(self, case):
        inner = case.sas[0]
        words = {}
        if inner.cipher:
            words |= {"crypt_algo": CIPHERS[inner.cipher[0]], "crypt_key": inner.cipher[1] or None}
            if inner.cipher[0] in rfc.AEAD:
                words["crypt_icv_size"] = rfc.AEAD[inner.cipher[0]][1]
        if inner.auth:
            words |= {"auth_algo": AUTHS[inner.auth[0]], "auth_key": inner.auth[1] or None}
        if case.shape.mode == "tunnel":
            (near, far), _ = case.gateways()
            words["tunnel_header"] = (IP if case.shape.outer == 4 else IPv6)(src=near, dst=far)
        self.sa = SecurityAssociation(ESP if inner.protocol == "esp" else AH, spi=case.spi(0), **words)

    def protect(self, datagram):
        return bytes(self.sa.encrypt(packet(datagram)))

    def open(self, datagram):
        return bytes(self.sa.decrypt(packet(datagram)))


def judge(case):
    return rfc.Chain(Sa(case), *(sa.judge(case.spi(at)) for at, sa in enumerate(case.sas) if at > 0))
