# SPDX-License-Identifier: BSD-2-Clause
"""Which configurations are tried between our daemon and the kernel's IPsec, and their two texts.

A cell is one pair of addresses with SAs and policies of its own, so that all cells can
stand side by side: what passes between its addresses is the cell's. Our side is told in
the setkey language, the kernel's in `ip xfrm`, each from the same figures and neither
from the other.

The rows come from our algorithm table (algs.c). What the kernel calls them is written
here, from ip-xfrm(8) and RFC 4868; a row with a name in the table and none here is a
mistake that a test finds.
"""

import dataclasses
import ipaddress
import random

# setkey's word: name in the kernel, bits of the ICV
AUTH = {
    "hmac-md5": ("hmac(md5)", 96), "hmac-sha1": ("hmac(sha1)", 96), "hmac-ripemd160": ("hmac(rmd160)", 96),
    "hmac-sha2-256": ("hmac(sha256)", 128), "hmac-sha2-384": ("hmac(sha384)", 192),
    "hmac-sha2-512": ("hmac(sha512)", 256), "aes-xcbc-mac": ("xcbc(aes)", 96), "aes-cmac": ("cmac(aes)", 96),
    "null": ("digest_null", 0),
}
ENC = {
    "null": "ecb(cipher_null)", "des-cbc": "cbc(des)", "3des-cbc": "cbc(des3_ede)", "blowfish-cbc": "cbc(blowfish)",
    "cast128-cbc": "cbc(cast5)", "rijndael-cbc": "cbc(aes)", "aes-ctr": "rfc3686(ctr(aes))",
    "camellia-cbc": "cbc(camellia)", "twofish-cbc": "cbc(twofish)", "serpent-cbc": "cbc(serpent)",
}
AEAD = {
    "aes-gcm-8": ("rfc4106(gcm(aes))", 64), "aes-gcm-12": ("rfc4106(gcm(aes))", 96),
    "aes-gcm-16": ("rfc4106(gcm(aes))", 128), "aes-ccm-8": ("rfc4309(ccm(aes))", 64),
    "aes-ccm-12": ("rfc4309(ccm(aes))", 96), "aes-ccm-16": ("rfc4309(ccm(aes))", 128),
    "aes-gmac": ("rfc4543(gcm(aes))", 128), "chacha20-poly1305": ("rfc7539esp(chacha20,poly1305)", 128),
}
COMP = {"deflate": "deflate"}  # lzs and lzjh have names there and no code

USUAL_ENC, USUAL_AUTH = "rijndael-cbc", "hmac-sha2-256"  # beside what is tried
NATT_PORT = 4500
WINDOW = 32  # packets
MODES, VERSIONS = ("transport", "tunnel"), (4, 6)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the algorithm table, as algs.c tells it."""
    kind: str  # auth, enc or comp
    name: str
    xfrm: str
    protocols: tuple
    key: tuple  # least, most, and step in bits
    icv: int
    aead: bool

    @property
    def kernel(self):
        """(name in the kernel, bits of ICV), or None where it has none."""
        if self.kind == "auth":
            return AUTH.get(self.name)
        if self.name in AEAD:
            return AEAD[self.name]
        name = (ENC if self.kind == "enc" else COMP).get(self.name)
        return name and (name, 0)

    def keys(self):
        """Lengths to try: all of up to three, else the shortest, 128 bits, and the longest."""
        least, most, step = self.key
        if self.name == "null":
            return [0]
        every = list(range(least, most + 1, step)) if step else [least]
        return every if len(every) <= 3 else sorted({least, 128, most})


def read_rows(text):
    rows = []
    for line in text.splitlines():
        kind, name, xfrm, protocols, least, most, step, icv, aead = line.split()
        rows.append(Row(kind, name, xfrm, tuple(protocols.split(",")), (int(least), int(most), int(step)), int(icv),
                        aead == "1"))
    return rows


@dataclasses.dataclass(frozen=True)
class Layer:
    """One SA of a bundle: its protocol, and its rows with the bits of their keys."""
    proto: str  # ah, esp or ipcomp
    enc: tuple = None  # (Row, bits)
    auth: tuple = None
    mode: str = "transport"


@dataclasses.dataclass
class Cell:
    """A bundle between two addresses, innermost layer first."""
    number: int
    name: str  # of the bundle, without mode and version
    group: str
    version: int  # of the packets
    layers: tuple
    extra: str = ""  # natt or esn
    spoil: str = ""  # key, clear-ours, clear-theirs, both: what is wrong on purpose

    @property
    def mode(self):
        return "tunnel" if any(layer.mode == "tunnel" for layer in self.layers) else "transport"

    @property
    def title(self):
        group = "" if self.group == "Others" else "ESP " if self.group.startswith("ESP") else f"{self.group} "
        return f"{group}{self.name}, {self.mode}, IPv{self.version}"

    def address(self, side):
        """The cell's own address on a side: `ours` or `theirs`."""
        base = {"ours": ("10.1.0.0", "fd00:1::"), "theirs": ("10.2.0.0", "fd00:2::")}[side][self.version == 6]
        return str(ipaddress.ip_address(base) + self.number + 1)

    def spi(self, depth, side):
        """Of the SA at a depth that a side sends by."""
        if self.layers[depth].proto == "ipcomp":
            return 2  # the well-known CPI of deflate
        return 0x10000 + 16 * self.number + 2 * depth + (side == "theirs")

    def key(self, depth, what):
        """In hexadecimal digits, another for every cell; both sides send by the same one."""
        bits = getattr(self.layers[depth], what)[1]
        return random.Random(f"{self.name} {self.version} {self.mode} {depth} {what}").randbytes(bits // 8).hex()


def other(side):
    return "theirs" if side == "ours" else "ours"


# The texts ---------------------------------------------------------------------------

def setkey_text(cell):
    """The cell in the setkey language, on our side."""
    if cell.spoil in ("clear-ours", "both"):
        return ""
    lines = []
    for side in ("ours", "theirs"):
        src, dst = cell.address(side), cell.address(other(side))
        for depth, layer in enumerate(cell.layers):
            words = ["add", src, dst, layer.proto]
            if cell.extra == "natt" and layer.proto == "esp":
                words = ["add", f"{src}[{NATT_PORT}]", f"{dst}[{NATT_PORT}]", "esp-udp"]
            words += [f"{cell.spi(depth, side):#x}", "-m", layer.mode]
            if layer.proto != "ipcomp":
                words += ["-r", str(WINDOW // 8)]
            if cell.extra == "esn":
                words.append("-esn")
            for option, what in (("-E", "enc"), ("-A", "auth")):
                if algorithm := getattr(layer, what):
                    key = cell.key(depth, what)
                    words += [option, algorithm[0].name, f"0x{key}" if key else '""']
            if layer.proto == "ipcomp":
                words += ["-C", "deflate"]
            lines.append(" ".join(words) + ";")
        requests = [f"{layer.proto}/{layer.mode}/{f'{src}-{dst}' if layer.mode == 'tunnel' else ''}/"
                    f"{'use' if layer.proto == 'ipcomp' and side == 'theirs' else 'require'}"
                    for layer in cell.layers]
        lines.append(f"spdadd {src} {dst} any -P {'out' if side == 'ours' else 'in'} ipsec {' '.join(requests)};")
    return "\n".join(lines) + "\n"


def xfrm_algorithms(cell, depth):
    layer = cell.layers[depth]

    def key(what):
        text = cell.key(depth, what)
        if cell.spoil == "key":  # all of its bits are others; none is a parity bit's alone
            text = bytes(byte ^ 0xFF for byte in bytes.fromhex(text)).hex()
        return f"0x{text}" if text else '""'
    words = []
    if layer.enc:
        name, icv = layer.enc[0].kernel
        words += ["aead", f"'{name}'", key("enc"), str(icv)] if icv else ["enc", f"'{name}'", key("enc")]
    if layer.auth:
        name, icv = layer.auth[0].kernel
        words += ["auth-trunc", f"'{name}'", key("auth"), str(icv)] if icv else ["auth", name, key("auth")]
    if layer.proto == "ipcomp":
        words += ["comp", "deflate"]
    return words


def xfrm_text(cell):
    """The same for `ip -batch`, on the kernel's side."""
    if cell.spoil in ("clear-theirs", "both"):
        return ""
    lines = []
    proto_of = {"ipcomp": "comp"}
    for side in ("ours", "theirs"):
        src, dst = cell.address(side), cell.address(other(side))
        ends = f"src {src} dst {dst}"
        for depth, layer in enumerate(cell.layers):
            words = ["xfrm state add", ends, "proto", proto_of.get(layer.proto, layer.proto),
                     f"spi {cell.spi(depth, side):#x}", "mode", layer.mode]
            if layer.proto != "ipcomp":
                words.append(f"replay-window {WINDOW}")
            flags = ["align4"] * (layer.proto == "ah" and cell.version == 4) + ["esn"] * (cell.extra == "esn")
            words += ["flag", *flags] if flags else []
            words += xfrm_algorithms(cell, depth)
            if cell.extra == "natt" and layer.proto == "esp":
                words.append(f"encap espinudp {NATT_PORT} {NATT_PORT} {'0.0.0.0' if cell.version == 4 else '::'}")
            lines.append(" ".join(words))
        # Towards the kernel two policies, as a tunnel's wants a twin for what is forwarded.
        for direction in ("out",) if side == "theirs" else ("in", "fwd"):
            templates = []
            for layer in cell.layers:
                words = ["tmpl", ends if layer.mode == "tunnel" else "", "proto",
                         proto_of.get(layer.proto, layer.proto), "mode", layer.mode]
                words += ["level use"] if layer.proto == "ipcomp" and direction != "out" else []
                templates.append(" ".join(word for word in words if word))
            lines.append(f"xfrm policy add {ends} dir {direction} priority 1 {' '.join(templates)}")
        if cell.extra == "natt" and side == "ours":
            # The datagrams themselves meet the policy before they are looked into.
            lines.append(f"xfrm policy add {ends} proto udp sport {NATT_PORT} dport {NATT_PORT} dir in")
    return "\n".join(lines) + "\n"


# The cells ---------------------------------------------------------------------------

def bundles(rows):
    """(group, name, layers, extra) of everything that both know; layers are (proto, enc, auth)."""
    known = [row for row in rows if row.kernel]
    ah = [row for row in known if row.kind == "auth" and "ah" in row.protocols]
    auth = [row for row in known if row.kind == "auth" and "esp" in row.protocols]
    enc = [row for row in known if row.kind == "enc" and "esp" in row.protocols]
    comp = [row for row in known if row.kind == "comp"]
    by_name = {(row.kind, row.name): row for row in known}

    def text(algorithm):
        row, bits = algorithm
        return f"{row.name} {bits}" if len(row.keys()) > 1 else row.name

    for row in ah:
        yield "AH", row.name, [("ah", None, (row, row.key[1]))], ""
    for row in enc:
        for bits in row.keys():
            yield "ESP", text((row, bits)), [("esp", (row, bits), None)], ""
    for row in enc:
        for other_row in [] if row.aead else auth:
            used = (row, row.keys()[-1]), (other_row, other_row.keys()[-1])
            yield "ESP with authentication", f"{row.name} + {other_row.name}", [("esp", *used)], ""
    # Each cipher and each authenticator at least once.
    for at in range(max(len(enc), len(ah))) if enc and ah else ():
        inner, outer = enc[at % len(enc)], ah[at % len(ah)]
        yield ("AH around ESP", f"{inner.name} in {outer.name}",
               [("esp", (inner, inner.keys()[-1]), None), ("ah", None, (outer, outer.key[1]))], "")
    usual_enc, usual_auth = by_name[("enc", USUAL_ENC)], by_name[("auth", USUAL_AUTH)]
    usual = ("esp", (usual_enc, usual_enc.keys()[-1]), (usual_auth, usual_auth.key[1]))
    gcm = by_name[("enc", "aes-gcm-16")]
    gcm = ("esp", (gcm, gcm.keys()[-1]), None)
    usual_ah = ("ah", None, (usual_auth, usual_auth.key[1]))
    for row in comp:
        yield "Others", f"IPComp {row.name}", [("ipcomp", None, None)], ""
        yield "Others", f"IPComp {row.name} in ESP", [("ipcomp", None, None), usual], ""
        yield "Others", f"IPComp {row.name} in AH", [("ipcomp", None, None), usual_ah], ""
    yield "Others", "ESP in UDP", [usual], "natt"
    yield "Others", "ESP in UDP, aes-gcm-16", [gcm], "natt"
    yield "Others", "ESP, 64-bit sequence numbers", [usual], "esn"
    yield "Others", "ESP, 64-bit sequence numbers, aes-gcm-16", [gcm], "esn"
    yield "Others", "AH, 64-bit sequence numbers", [usual_ah], "esn"


def cells(rows):
    made = []
    for group, name, parts, extra in bundles(rows):
        for mode in MODES:
            for version in VERSIONS:
                # The innermost layer makes the tunnel; what is around it protects the tunnel's header.
                layers = tuple(Layer(*part, mode=mode if depth == 0 else "transport")
                               for depth, part in enumerate(parts))
                made.append(Cell(len(made), name, group, version, layers, extra))
    return made


def spoiled_cells(rows, first):
    """Cells that must not work, and one that works and must not please: nothing is protected there."""
    wanted = {"hmac-sha1": [], "aes-gcm-16 288": [], f"{USUAL_ENC} + {USUAL_AUTH}": []}
    for group, name, parts, extra in bundles(rows):
        if name in wanted and group in ("AH", "ESP", "ESP with authentication"):
            wanted[name].append((group, name, parts, extra))
    made = []
    for version in VERSIONS:
        for found in wanted.values():
            for group, name, parts, _ in found:
                layers = tuple(Layer(*part) for part in parts)
                for spoil in ("key", "clear-ours", "clear-theirs"):
                    made.append(Cell(first + len(made), name, group, version, layers, spoil=spoil))
        made.append(Cell(first + len(made), "nothing", "Others", version, layers, spoil="both"))
    return made
