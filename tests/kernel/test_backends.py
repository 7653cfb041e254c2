#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""setkey drives a kernel's own IPsec: by XFRM and by PF_KEY, judged by `ip xfrm`.

    tests/kernel/test_backends.py BUILD PLAIN    boots a guest and runs the tests there; TAP

PLAIN/setkey is what is tried; a program of BUILD tells the algorithm table. What the
kernel is expected to hold comes from the same figures as what setkey is told, and is
compared with what `ip -d xfrm` prints, field by field.
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

import ipxfrm

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 540
MODULES = """des_generic blowfish_generic cast5_generic twofish_generic camellia_generic rmd160 xcbc cmac sha512_generic
ctr ecb gcm ccm authenc authencesn echainiv seqiv chacha20poly1305 crypto_null deflate ghash-generic jitterentropy_rng
drbg xfrm_user esp4 esp6 ah4 ah6 ipcomp ipcomp6 af_key veth""".split()
ARTICLE = ROOT / "examples/article"
PING = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "5"]
HOSTS = {"phoenix": "192.0.2.10", "cardinal": "198.51.100.10"}


# In the guest ------------------------------------------------------------------------

def run(*command, **kwargs):
    return subprocess.run([str(word) for word in command], text=True, capture_output=True, **kwargs)


class Setkey:
    """One back end."""

    def __init__(self, program, backend, host=None):
        self.command = ["ip", "netns", "exec", host] if host else []
        self.command += [program, "--backend", backend]

    def __call__(self, *arguments, text=None):
        return run(*self.command, *arguments, input=text)

    def load(self, text):
        done = self("-c", text=text)
        assert done.returncode == 0 and "error" not in done.stderr, done.stderr
        return done


def key(bits, first=0):
    return bytes((first + i) % 256 for i in range(bits // 8))


class Sample:
    """One SA: its statement, and what `ip -d xfrm state` is to say of it."""

    spi = 0x1000

    def __init__(self, proto, extensions, algorithms, **expected):
        Sample.spi += 1
        self.spi, self.expected = Sample.spi, expected
        expected.setdefault("mode", "transport")
        expected.setdefault("reqid", 0)
        expected.update(spi=self.spi, proto={"ipcomp": "comp", "esp-udp": "esp"}.get(proto, proto))
        src, dst = expected.setdefault("src", "10.0.0.1"), expected.setdefault("dst", "10.0.0.2")
        if ports := expected.get("ports"):
            src, dst = f"{src}[{ports[0]}]", f"{dst}[{ports[1]}]"
        self.text = f"add {src} {dst} {proto} {expected.pop('oa', '')} {self.spi:#x} {extensions} {algorithms};\n"


def statement(option, row, bits):
    return f"{option} {row.name}" + (f" 0x{key(bits).hex()}" if bits else "")


def samples_of(rows):
    """Every algorithm that the kernel knows, with every length of key, where it may stand."""
    for row in rows:
        if not row.kernel:
            continue
        name, icv = row.kernel
        for bits in row.keys():
            algorithm = {"name": name, "key": key(bits).hex(), "icv": icv}
            if row.kind == "comp":
                yield Sample("ipcomp", "", f"-C {row.name} -R", comp=algorithm)
            elif row.kind == "enc":
                yield Sample("esp", "", statement("-E", row, bits), **{"aead" if row.aead else "enc": algorithm})
            else:
                if "ah" in row.protocols:
                    yield Sample("ah", "", statement("-A", row, bits), auth=algorithm, align4=icv != 96 or None)
                    yield Sample("ah", "", statement("-A", row, bits), auth=algorithm, src="2001:db8::1",
                                 dst="2001:db8::2")
                yield Sample("esp", "", "-E null " + statement("-A", row, bits), auth=algorithm,
                             enc={"name": "ecb(cipher_null)", "key": "", "icv": 0})


def options_of_sas():
    """What stands between the SPI and the algorithms."""
    algorithms = f"-E aes-cbc 0x{key(128).hex()} -A hmac-sha1 0x{key(160).hex()}"
    known = {"enc": {"name": "cbc(aes)", "key": key(128).hex(), "icv": 0},
             "auth": {"name": "hmac(sha1)", "key": key(160).hex(), "icv": 96}}
    gcm = f"-E aes-gcm-16 0x{key(160).hex()}"
    for proto, options, more in [
            ("esp", "-m tunnel -u 5", {"mode": "tunnel", "reqid": 5, "af-unspec": True}),
            ("esp", "-m any -u 70000", {"reqid": 70000}),
            ("esp", "-r 4", {"window": 32}),
            ("esp", "-r 8", {"window": 64}),
            ("esp", "-r 512", {"window": 4096}),
            ("esp", "-esn -r 16", {"window": 128, "esn": True}),
            ("esp", "-lh 3600 -ls 3000 -bh 1000000 -bs 900000",
             {"limits": (3600, 3000, 1000000, 900000)}),
            ("esp-udp", "", {"ports": (4500, 4501)}),
            ("esp-udp", "", {"ports": (4500, 4500), "oa": "192.168.9.9", "encap-oa": "192.168.9.9"}),
            ("esp", "-m tunnel", {"mode": "tunnel", "af-unspec": True, "src": "2001:db8::1", "dst": "2001:db8::2"})]:
        yield Sample(proto, options, algorithms, **known, **more)
    yield Sample("esp", "-esn -r 128", gcm, window=1024, esn=True,
                 aead={"name": "rfc4106(gcm(aes))", "key": key(160).hex(), "icv": 128})


def compare_sas(setkey, samples):
    """Loads them; what is wrong with what stands then."""
    setkey("-F")
    setkey.load("".join(sample.text for sample in samples))
    states = {state["spi"]: state for state in ipxfrm.states(run("ip", "-d", "-s", "xfrm", "state").stdout)}
    shown = {entry["spi"]: entry for entry in ipxfrm.dump(setkey("-D").stdout)}
    wrong = []
    for sample in samples:
        state, entry = states.pop(sample.spi, None), shown.pop(sample.spi, None)
        if not state or not entry:
            wrong.append(f"{sample.text}  is not there")
            continue
        wrong += [f"{sample.text}  {what}: {found!r} for {wanted!r}"
                  for what, wanted in sample.expected.items() if what not in ("ports", "encap-oa")
                  and (found := state.get(what)) != wanted]
        wrong += [f"{sample.text}  -D says {theirs!r} where the kernel has {ours!r}"
                  for what, theirs in entry.items() if (ours := ipxfrm.as_dump(state).get(what)) != theirs]
        wanted = sample.expected.get("ports")
        if state.get("ports") != wanted or state.get("encap-oa", "0.0.0.0") != sample.expected.get(
                "encap-oa", "0.0.0.0"):
            wrong.append(f"{sample.text}  encapsulation: {state.get('ports')} {state.get('encap-oa')}")
    wrong += [f"SPI {spi:#x} was not loaded" for spi in [*states, *shown]]
    return wrong


def check(name, wrong):
    """A test of TAP: what is wrong, in words, or nothing."""
    check.number += 1
    check.failed |= bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} {check.number} - {name}")
    for line in (wrong if isinstance(wrong, list) else [wrong]) if wrong else []:
        for part in str(line).splitlines():
            print(f"# {part}")
    sys.stdout.flush()


check.number, check.failed = 0, False


# Runs of another setkey by PF_KEY, and why the kernel holds something else after ours. By the
# case, the SPI or what the policy begins with, and the field; "" is the SA or policy itself.
GOLDEN = ROOT.parent / "shared/golden/linux-ipsec-tools"
AF_KEY_ICV = "RFC 4868 has 128 bits; PF_KEY of Linux has 96 and cannot be told"
ALIGN4 = "RFC 4302 section 3.3.3.2.1: AH of IPv4 is padded to 4 bytes"
EITHER_FAMILY = "KAME's tunnels take either family"
BYTES = "-r is in bytes of the bitmap, PF_KEY of Linux takes it for packets"
DEVIATIONS = {
    ("auth", 0x1002, "auth"): AF_KEY_ICV,
    ("auth", 0x1002, "align4"): ALIGN4,
    ("auth", 0x1003, "align4"): ALIGN4,
    ("auth", 0x1004, "align4"): ALIGN4,
    ("opts", 0x3000, "window"): BYTES,
    ("opts", 0x3000, "af-unspec"): EITHER_FAMILY,
    ("opts", 0x3001, ""): "zero padding is refused, not passed over",
    ("opts", 0x3002, "window"): BYTES,
    ("opts", 0x3004, "encap-oa"): "the original address is told to the kernel",
    ("opts", 0x3007, ""): "esp-old is refused, not made new ESP",
    ("opts", 0x3008, "af-unspec"): EITHER_FAMILY,
    ("opts", 0x3009, ""): "an SA of esp has no ports: refused, not passed over",
    ("pol", "src 10.11.0.1/32", ""): "a policy without an action is refused, not made discard",
    ("pol", "src 10.12.0.1/32", ""): "ipsec without a request is refused, not made none",
}


def records_of(case, text):
    """By their key: what has to be the same."""
    if case == "pol":
        return {" ".join(block.split()[:2]) + (" fwd" if "dir fwd" in block else ""): {"text": block}
                for block in ipxfrm.policies(text[text.index("\nsrc ") + 1:] if "\nsrc " in text else text)}
    return {state["spi"]: state for state in ipxfrm.states(text)}


def test_golden(setkey):
    for case in "auth", "enc", "larval", "opts", "pol":
        setkey("-F")
        setkey("-FP")
        for line in (GOLDEN / f"xfrm-{case}.conf").read_text().splitlines():
            setkey("-e", line)  # one by one, for ours does nothing of a text with an error
        ours = records_of(case, "\n" + run("ip", "xfrm", "policy" if case == "pol" else "state").stdout)
        theirs = records_of(case, "\n" + (GOLDEN / f"xfrm-{case}.out").read_text())
        found = {(case, key, "") for key in ours.keys() ^ theirs.keys()}
        for key in ours.keys() & theirs.keys():
            found |= {(case, key, field) for field in ours[key].keys() | theirs[key].keys()
                      if ours[key].get(field) != theirs[key].get(field)}
        listed = {deviation for deviation in DEVIATIONS if deviation[0] == case}
        check(f"xfrm: golden case xfrm-{case}, {len(theirs)} entries, {len(listed)} deviations with a reason",
              [f"not listed: {deviation}" for deviation in sorted(found - listed, key=str)]
              + [f"listed and not seen: {deviation}" for deviation in sorted(listed - found, key=str)])
    setkey("-F")
    setkey("-FP")


# What PF_KEY of Linux has no number for, or another ICV.
NOT_AFKEY = ("aes-cmac", "hmac-sha2-256")


def test_afkey_sas(setkey, rows):
    samples = [sample for sample in samples_of(
        [row for row in rows if not row.aead and row.name not in NOT_AFKEY]) if sample.expected.pop("align4", None) or True]
    check(f"afkey: {len(samples)} SAs of every algorithm it knows stand as they were told", compare_sas(setkey, samples))
    refused = setkey("-e", f"add 10.0.0.1 10.0.0.2 ah 0x1000 -A hmac-sha2-256 0x{key(256).hex()};")
    check("afkey: SHA2-256 with an ICV that no RFC has is refused",
          [] if refused.returncode == 1 and "xfrm and sallyportd can" in refused.stderr else refused.stderr)
    setkey("-F")


def test_sas(setkey, rows):
    samples = list(samples_of(rows))
    check(f"xfrm: {len(samples)} SAs of every algorithm stand as they were told", compare_sas(setkey, samples))
    check("xfrm: a flush leaves no SA", setkey("-F").stderr or run("ip", "xfrm", "state").stdout)
    check("xfrm: options of SAs", compare_sas(setkey, list(options_of_sas())))
    setkey("-F")


REFUSED = [
    ("add 10.0.0.1 10.0.0.2 ah-old 0x1000 -A hmac-md5 {16};", "ah-old", "Linux has no ah-old"),
    ("add 10.0.0.1 10.0.0.2 esp-old 0x1000 -E des-cbc {8};", "esp-old", "Linux has no ah-old and esp-old"),
    ("add 10.0.0.1 10.0.0.2 ah 0x1000 -A keyed-md5 {16};", "keyed-md5", "Linux has no keyed-md5"),
    ("add 10.0.0.1 10.0.0.2 esp 0x1000 -E des-deriv {8};", "des-deriv", "Linux has no des-deriv"),
    ("add 10.0.0.1 10.0.0.2 esp 0x1000 -E camellia-ctr {20};", "camellia-ctr", "Linux has no camellia-ctr"),
    ("add 10.0.0.1 10.0.0.2 esp 0x1000 -f zero-pad -E null;", "0x1000", "padding by zeros"),
    ("add 10.0.0.1 10.0.0.2 tcp 0x1000 -A tcp-md5 {16};", "tcp", "with sockets"),
]


def test_refusals(setkey):
    wrong = []
    for form, word, words in REFUSED:
        text = re.sub(r"\{(\d+)\}", lambda match: "0x" + key(8 * int(match[1]), 1).hex(), form)
        done = setkey("-e", text)
        lines = done.stderr.splitlines()
        marked = lines[1][lines[2].index("^"):] if len(lines) == 3 else ""
        if done.returncode != 1 or words not in done.stderr or "sallyportd can" not in done.stderr \
                or not marked.startswith(word):
            wrong.append(f"{text}\n{done.returncode}\n{done.stderr}")
    check("xfrm: what Linux has not is refused at its word", wrong)


def same_keys(text):
    return f"add 10.0.0.1 10.0.0.2 esp {text} -E aes-cbc 0x{key(128).hex()} -A hmac-sha1 0x{key(160).hex()};"


def test_sa_commands(setkey, backend):
    """delete, get, deleteall, update and getspi as the man page means them."""
    setkey("-F")
    setkey.load(same_keys("0x1001") + same_keys("0x1002") + same_keys("0x1003"))
    wrong = []

    def expect(text, status, pattern):
        done = setkey("-e", text)
        if done.returncode != status or not re.search(pattern, done.stdout + done.stderr):
            wrong.append(f"{text}\n{done.returncode}\n{done.stdout}{done.stderr}")
    expect(same_keys("0x1001"), 1, "0x1001|SPI 4097|exists")
    expect("get 10.0.0.1 10.0.0.2 esp 0x1001;", 0, r"spi=4097\(")
    expect("get 10.0.0.9 10.0.0.2 esp 0x1001;", 1, "comes from 10.0.0.1, not from 10.0.0.9")
    expect("delete 10.0.0.9 10.0.0.2 esp 0x1001;", 1, "comes from 10.0.0.1, not from 10.0.0.9")
    expect("delete 10.0.0.1 10.0.0.2 esp 0x2001;", 1, "there is no esp SA with SPI 8193")
    expect("delete 10.0.0.1 10.0.0.2 esp 0x1001; dump;", 0, r"(?s)\A(?!.*spi=4097)")
    expect("getspi 10.0.0.1 10.0.0.2 esp 0x3000; get 10.0.0.1 10.0.0.2 esp 0x3000;", 0, "state=larval")
    expect("getspi 10.0.0.1 10.0.0.2 esp 0x3000;", 1, "no free SPI")
    expect("deleteall 10.0.0.1 10.0.0.2 esp; dump;", 0, r"(?s)\A(?!.*state=mature).*state=larval")
    expect(same_keys("0x3000").replace("add", "update") + "get 10.0.0.1 10.0.0.2 esp 0x3000;", 0, "state=mature")
    expect(same_keys("0x3000").replace("add", "update"), 1, "a key for a mature SA")
    expect("update 10.0.0.1 10.0.0.2 esp 0x3000 -lh 1000 -ls 900; get 10.0.0.1 10.0.0.2 esp 0x3000;", 0,
           r"(?s)E: aes-cbc .*hard: 1000\(s\)\tsoft: 900\(s\)")
    expect("flush esp; dump;", 0, r"\A\Z|No SAD")
    expect("dump;", 0, r"\A\Z|No SAD")
    check(f"{backend}: get, delete, deleteall, getspi, update", wrong)


POLICIES = """
spdadd 10.0.0.0/24[21] 10.1.0.0/24[any] tcp -P out ipsec esp/tunnel/10.9.0.1-10.9.0.2/require;
spdadd 10.1.0.0/24 10.0.0.0/24 any -P in ipsec esp/tunnel/10.9.0.2-10.9.0.1/unique:7;
spdadd 10.2.0.0/24 10.3.0.0/24 udp -P out ipsec ipcomp/transport//use esp/transport//default ah/transport//unique;
spdadd ::/0 ::/0 icmp6 135,0 -P in none;
spdadd 10.4.0.5/24 10.5.0.0/24 gre 1.2.3.4 -P out discard;
spdadd 10.6.0.0/24 10.7.0.0/24 any -P out prio high + 5 none;
spdadd 10.10.0.1 10.10.0.2 icmp 8,0 -P fwd ipsec ah/transport//require;
"""


def test_both(xfrm, afkey):
    """The two ways to the kernel make the same of a file."""
    seen = {}
    for name, setkey in ("xfrm", xfrm), ("afkey", afkey):
        setkey("-FP")
        setkey.load(POLICIES)
        seen[name] = ipxfrm.policies(run("ip", "-d", "xfrm", "policy").stdout), \
            re.sub(r"(?m)^\t(created|spid|refcnt|lifetime).*\n", "", setkey("-DP").stdout)
        setkey("-FP")
    check("xfrm and afkey: the same policies of one text",
          [] if seen["xfrm"] == seen["afkey"] and len(seen["xfrm"][0]) == 9 else f"{seen}")
    check("xfrm: a flush leaves no policy", run("ip", "xfrm", "policy").stdout)


def on(host, *command):
    return run("ip", "netns", "exec", host, *command)


def test_article(program, backend):
    """The article's hosts speak by the kernel's IPsec; the router sees AH around ESP."""
    wrong = []
    assert run(ARTICLE / "hosts", "up").returncode == 0
    with tempfile.TemporaryDirectory() as directory:
        log = open(f"{directory}/log", "w+")
        dump = subprocess.Popen(["ip", "netns", "exec", "router", "tcpdump", "-Z", "root", "-t", "-n", "-l",
                                 "--immediate-mode", "-i", "west", "host 192.0.2.10"],
                                stdout=open(f"{directory}/out", "w"), stderr=log)
        while "listening" not in pathlib.Path(f"{directory}/log").read_text():
            time.sleep(0.1)
        for host in HOSTS:
            done = Setkey(program, backend, host)("-f", ARTICLE / f"{host}-require.conf")
            if done.returncode or "error" in done.stderr:
                wrong.append(f"{host}: {done.stderr}")
        pinged = on("phoenix", *PING, HOSTS["cardinal"])
        time.sleep(1)
        dump.terminate()
        dump.wait()
        capture = pathlib.Path(f"{directory}/out").read_text()
    if " 3 received" not in pinged.stdout:
        wrong.append(pinged.stdout + on("cardinal", "cat", "/proc/net/xfrm_stat").stdout)
    for spis in ("AH(spi=0x00003d54", "ESP(spi=0x00003d55"), ("AH(spi=0x00005fb4", "ESP(spi=0x00005fb5"):
        if sum(spis[0] in line and spis[1] in line for line in capture.splitlines()) < 3:
            wrong.append(f"no {spis[0]} around {spis[1]}:\n{capture}")
    if "echo" in capture:
        wrong.append(f"in clear:\n{capture}")
    run(ARTICLE / "hosts", "down")
    check(f"{backend}: the article's hosts ping each other, AH around ESP", wrong)


def test_listening(program):
    """-x sees what others do, expiry included."""
    with tempfile.NamedTemporaryFile("w+") as out:
        listener = subprocess.Popen([program, "--backend", "xfrm", "-x"], stdout=out)
        time.sleep(2)
        setkey = Setkey(program, "xfrm")
        setkey.load("flush; spdflush; spdadd 1.1.1.1 2.2.2.2 any -P out none; spddelete 1.1.1.1 2.2.2.2 any -P out;"
                    + same_keys("0x1001 -lh 2 -ls 1"))
        time.sleep(5)
        listener.terminate()
        listener.wait()
        text = pathlib.Path(out.name).read_text()
    types = re.findall(r"sadb_msg\{ version=2 type=(\d+) errno=0", text)
    # FLUSH and SPDFLUSH of nothing are news to XFRM too, or not: it depends on the release
    missing = [name for name, number in (("SPDADD", 14), ("SPDDELETE", 15), ("ADD", 3), ("EXPIRE", 8))
               if str(number) not in types]
    check("xfrm: -x shows what happens", [f"no {missing}", text] if missing or types.count("8") < 2 else [])
    check("xfrm: -x shows no keys", text if "sadb_key" in text else [])


def test_choice(program):
    """auto takes a kernel that can, and leaves nothing behind."""
    done = run(program, "-D")
    check("auto: takes this kernel", [] if done.returncode == 0 and "No SAD" in done.stdout
          else done.stdout + done.stderr)
    check("auto: the probe leaves nothing", run("ip", "xfrm", "state").stdout)
    inode = pathlib.Path("/proc/self/ns/net").stat().st_ino
    pathlib.Path("/run/sallyport").mkdir()
    for end in ".sock", ".sock.lock", ".sock.eth0.journal":
        trace = pathlib.Path(f"/run/sallyport/{inode}{end}")
        trace.touch()
        done = run(program, "-D")
        check(f"auto: stops where a daemon left its {end}", [] if done.returncode == 1
              and str(trace) in done.stderr else done.stdout + done.stderr)
        trace.unlink()
    pathlib.Path("/run/sallyport").rmdir()


def inside(program, table):
    import matrix
    for module in MODULES:
        run("modprobe", module)
    print(f"# Linux {run('uname', '-r').stdout.strip()}")
    rows = matrix.read_rows(pathlib.Path(table).read_text())
    xfrm, afkey = Setkey(program, "xfrm"), Setkey(program, "afkey")
    test_choice(program)
    test_sas(xfrm, rows)
    test_afkey_sas(afkey, rows)
    test_refusals(xfrm)
    test_sa_commands(xfrm, "xfrm")
    test_sa_commands(afkey, "afkey")
    test_both(xfrm, afkey)
    if GOLDEN.is_dir():
        test_golden(xfrm)
    else:
        print(f"# the golden cases are not in {GOLDEN}")
    test_listening(program)
    test_article(program, "xfrm")
    test_article(program, "afkey")
    print(f"1..{check.number}")
    return check.failed


# On the host -------------------------------------------------------------------------

def main(build, plain):
    import guest
    table = subprocess.run([f"{build}/tests/kernel/algs"], text=True, capture_output=True, check=True).stdout
    program = pathlib.Path(plain).resolve() / "setkey"
    job = f"exec /usr/bin/python3 tests/kernel/test_backends.py --inside {program} $OUT/table"
    with tempfile.TemporaryDirectory(prefix="sallyport-backends-") as work:
        try:
            result = guest.Guest(work).run(job, SECONDS, [("table", table)])
        except guest.Missing as error:
            print(f"ok 1 - the back ends to a kernel # SKIP {error}\n1..1")
            return 0
    print(result.output, end="")
    return result.status


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    if sys.argv[1] == "--inside":
        sys.exit(inside(sys.argv[2], sys.argv[3]))
    sys.exit(main(sys.argv[1], sys.argv[2]))
