# SPDX-License-Identifier: BSD-2-Clause
"""What `ip -d xfrm state`, `ip -d xfrm policy` and `setkey -D` print, as records.

Keys are hexadecimal without 0x; numbers are numbers. A record has no field for what
was not printed.
"""

import re

# a word of the dump: name in the kernel, and bits of the ICV where the word alone says them
NAMES = {
    "hmac-md5": "hmac(md5)", "hmac-sha1": "hmac(sha1)", "hmac-sha256": "hmac(sha256)", "hmac-sha384": "hmac(sha384)",
    "hmac-sha512": "hmac(sha512)", "hmac-ripemd160": "hmac(rmd160)", "aes-xcbc-mac": "xcbc(aes)",
    "aes-cmac": "cmac(aes)", "des-cbc": "cbc(des)", "3des-cbc": "cbc(des3_ede)", "blowfish-cbc": "cbc(blowfish)",
    "cast128-cbc": "cbc(cast5)", "aes-cbc": "cbc(aes)", "aes-ctr": "rfc3686(ctr(aes))",
    "camellia-cbc": "cbc(camellia)", "twofish-cbc": "cbc(twofish)", "aes-gmac": "rfc4543(gcm(aes))",
    "aes-gcm-8": "rfc4106(gcm(aes)) 64", "aes-gcm-12": "rfc4106(gcm(aes)) 96", "aes-gcm-16": "rfc4106(gcm(aes)) 128",
    "aes-ccm-8": "rfc4309(ccm(aes)) 64", "aes-ccm-12": "rfc4309(ccm(aes)) 96", "aes-ccm-16": "rfc4309(ccm(aes)) 128",
    "chacha20-poly1305": "rfc7539esp(chacha20,poly1305)", "deflate": "deflate",
}


def blocks(text, head):
    """The text cut before each line that begins with head."""
    return [block for block in re.split(rf"(?m)^(?={head})", text) if block.strip()]


def algorithm(match):
    return match and {"name": match[1], "key": match[2] or "", "icv": int(match[3] or 0)}


def states(text):
    """`ip -d -s xfrm state`"""
    for block in blocks(text, "src "):
        flags = re.search(r"replay-window \d+.*", block)[0]
        state = dict(zip(("src", "dst"), re.match(r"src (\S+) dst (\S+)", block).groups()))
        state["proto"], state["spi"] = (match := re.search(r"proto (\S+) spi (0x\w+)", block))[1], int(match[2], 16)
        state["reqid"], state["mode"] = (match := re.search(r"reqid (\d+)\S* mode (\w+)", block)) and int(match[1]), match[2]
        for name in "enc", "aead", "comp":
            if match := re.search(rf"(?m)^\t{name} (\S+) *(?:0x(\w*))?(?: \([^)]*\))? *(\d*)$", block):
                state[name] = algorithm(match)
        if match := re.search(r"(?m)^\tauth-trunc (\S+) *(?:0x(\w*))?(?: \([^)]*\))? *(\d+)$", block):
            state["auth"] = algorithm(match)
        if match := re.search(r"encap type espinudp sport (\d+) dport (\d+) addr (\S+)", block):
            state["ports"], state["encap-oa"] = (int(match[1]), int(match[2])), match[3]
        for flag in "align4", "esn", "af-unspec":
            if flag in flags:  # with -s the words run into each other
                state[flag] = True
        window = re.search(r"replay_window (\d+)", block) or re.search(r"replay-window (\d+)", block)
        if int(window[1]):
            state["window"] = int(window[1])
        limits = [re.search(pattern, block) for pattern in (
            r"expire add: soft (\d+)\(sec\), hard (\d+)\(sec\)", r"limit: soft (\S+)\(bytes\), hard (\S+)\(bytes\)")]
        if all(limits) and limits[0][2] != "0":
            state["limits"] = tuple(int(word) for word in (limits[0][2], limits[0][1], limits[1][2], limits[1][1]))
        yield state


def as_dump(state):
    """The fields of a state that `setkey -D` shows too, as dump() has them."""
    shown = {name: state[name] for name in ("src", "dst", "spi", "reqid", "mode")}
    shown["proto"] = "esp-udp" if "ports" in state else {"comp": "ipcomp"}.get(state["proto"], state["proto"])
    shown["window"] = state.get("window", 0)
    if "ports" in state:
        shown["ports"] = state["ports"]
    for letter, names in ("E", ("enc", "aead")), ("A", ("auth",)):
        for name in names:
            if name in state and state[name]["key"]:
                shown[letter] = state[name]["name"], state[name]["icv"] if name == "aead" else 0, state[name]["key"]
    return shown


def alg_of(word, key, states_icv):
    name, _, icv = NAMES.get(word, word).partition(" ")
    return name, int(icv or states_icv), key.replace(" ", "").replace("\n", "")


def dump(text):
    """`setkey -D`"""
    for block in re.split(r"(?m)^(?=\S+ \S+ ?\n\t)", text):
        match = re.match(r"(\S+?)(?:\[(\d+)\])? (\S+?)(?:\[(\d+)\])? ?\n"
                         r"\t(\S+) mode=(\w+) spi=(\d+)\(\w+\) reqid=(\d+)", block)
        if not match:
            continue
        entry = {"src": match[1], "dst": match[3], "proto": match[5], "mode": match[6], "spi": int(match[7]),
                 "reqid": int(match[8]), "window": int(re.search(r"replay=(\d+)", block)[1])}
        if match[2]:
            entry["ports"] = int(match[2]), int(match[4])
        if match := re.search(r"(?m)^\tE: (\S+)  ([\da-f \n]+)$", block):
            fixed = {"aes-gmac": 128, "chacha20-poly1305": 128}
            entry["E"] = alg_of(match[1], match[2], fixed.get(match[1], 0))
        if match := re.search(r"(?m)^\tA: (\S+)  ([\da-f \n]+)$", block):
            entry["A"] = alg_of(match[1], match[2], 0)
        yield entry


def policies(text):
    """`ip -d xfrm policy`, without numbers that each load gives anew"""
    return [re.sub(r"(?m)^\s*lastused.*\n", "", block) for block in blocks(text, "src ")]
