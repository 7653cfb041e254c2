# SPDX-License-Identifier: BSD-2-Clause
"""tshark and tcpdump, which are given the keys and a capture of ours, and tell what is inside."""

import os
import re
import shutil
import subprocess

TSHARK_CIPHERS = {
    "null": "NULL", "des-cbc": "DES-CBC [RFC2405]", "3des-cbc": "TripleDES-CBC [RFC2451]",
    "blowfish-cbc": "BLOWFISH-CBC [RFC2451]", "cast128-cbc": "CAST5-CBC [RFC2144]", "twofish-cbc": "TWOFISH-CBC",
    "rijndael-cbc": "AES-CBC [RFC3602]", "aes-ctr": "AES-CTR [RFC3686]",
    "aes-gcm-16": "AES-GCM with 16 octet ICV [RFC4106]", "aes-gcm-12": "AES-GCM with 12 octet ICV [RFC4106]",
    "aes-gcm-8": "AES-GCM with 8 octet ICV [RFC4106]",
}
TSHARK_AUTHS = {
    "null": "NULL", "hmac-md5": "HMAC-MD5-96 [RFC2403]", "hmac-sha1": "HMAC-SHA-1-96 [RFC2404]",
    "hmac-sha2-256": "HMAC-SHA-256-128 [RFC4868]", "hmac-sha2-384": "HMAC-SHA-384-192 [RFC4868]",
    "hmac-sha2-512": "HMAC-SHA-512-256 [RFC4868]", "hmac-ripemd160": "MAC-RIPEMD-160-96 [RFC2857]",
}
# Wireshark takes these keys and no others.
TSHARK_KEYS = {"cast128-cbc": (16,), "blowfish-cbc": (16,)}
# Names of libcrypto's; those of its legacy provider (DES, Blowfish, CAST) make tcpdump 4.99 crash.
TCPDUMP_CIPHERS = {("3des-cbc", 24): "des3", ("rijndael-cbc", 16): "aes128", ("rijndael-cbc", 24): "aes192",
                   ("rijndael-cbc", 32): "aes256", ("camellia-cbc", 16): "camellia128",
                   ("camellia-cbc", 24): "camellia192", ("camellia-cbc", 32): "camellia256"}


def alone(case):
    return len(case.sas) == 1 and case.sas[0].protocol == "esp" and not case.sas[0].esn


def tshark_knows(case):
    if not alone(case):
        return False
    cipher, auth = case.sas[0].cipher, case.sas[0].auth
    return (cipher[0] in TSHARK_CIPHERS and len(cipher[1]) in TSHARK_KEYS.get(cipher[0], (len(cipher[1]),))
            and (not auth or auth[0] in TSHARK_AUTHS))


def tcpdump_knows(case):
    """Of authentication it skips 96 bits, and checks none."""
    return (alone(case) and (case.sas[0].cipher[0], len(case.sas[0].cipher[1])) in TCPDUMP_CIPHERS
            and (not case.sas[0].auth or case.sas[0].auth[0] in ("hmac-md5", "hmac-sha1")))


def find(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def tshark(cases, capture, directory):
    """For each packet of the capture its inner UDP payload; None where it was not opened, or its ICV not found right."""
    config = directory / "wireshark"
    config.mkdir(exist_ok=True)
    lines = []
    for case in cases:
        (cipher, key), auth = case.sas[0].cipher, case.sas[0].auth
        (near, far) = case.gateways()[0]
        words = [f"IPv{case.shape.outer}", near, far, f"{case.spi(0):#x}", TSHARK_CIPHERS[cipher], "0x" + key.hex() if key else "",
                 TSHARK_AUTHS[auth[0]] if auth else "NULL", "0x" + auth[1].hex() if auth and auth[1] else ""]
        lines.append(",".join(f'"{word}"' for word in words) + "\n")
    (config / "esp_sa").write_text("".join(lines))
    (config / "preferences").write_text("esp.enable_encryption_decode: TRUE\nesp.enable_authentication_check: TRUE\n")
    (directory / "ours").write_bytes(capture)
    done = subprocess.run([find("tshark"), "-n", "-r", directory / "ours", "-T", "fields", "-e", "udp.length", "-e", "udp.payload",
                           "-e", "esp.icv_good"], env=dict(os.environ, WIRESHARK_CONFIG_DIR=str(config), HOME=str(directory)),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    out = []
    for line in done.stdout.splitlines():
        length, payload, good = line.split("\t")
        known = length and int(length) - 8 == len(payload) // 2 and good in ("", "1", "True")
        out.append((bytes.fromhex(payload), bool(good)) if known else None)
    return out


def tcpdump(cases, capture, directory):
    """For each packet the length of its inner UDP payload where the checksum was right, else None."""
    keys = []
    for case in cases:
        (cipher, key), auth = case.sas[0].cipher, case.sas[0].auth
        keys.append(f"{case.spi(0):#x}@{case.gateways()[0][1]} {TCPDUMP_CIPHERS[cipher, len(key)]}-cbc{'-hmac96' if auth else ''}:0x{key.hex()}\n")
    (directory / "keys").write_text("".join(keys))
    (directory / "ours").write_bytes(capture)
    # A file that it reads as root it would read as another user.
    done = subprocess.run([find("tcpdump"), "-nvvt", "-r", directory / "ours", "-E", f"file {directory / 'keys'}",
                           *(["-Z", "root"] if os.getuid() == 0 else [])], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    packets = re.split(r"(?m)^(?=IP)", done.stdout)[1:]
    return [int(match[1]) if (match := re.search(r"\[udp sum ok\] UDP, length (\d+)", text)) else None for text in packets]
