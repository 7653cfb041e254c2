# SPDX-License-Identifier: BSD-2-Clause
"""The verbs themselves: forms of captures, what is kept of a packet, command line, errors, and the page's examples."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import captures
import rfc
from captures import ETHERNET, IPV4, IPV6, LOOP, NULL, RAW, SALLYPORT, SLL, SLL2, Record, run

A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6, B6 = bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "2")
KEY = bytes(range(20))
OTHER = rfc.udp(bytes([10, 9, 9, 9]), B4, b"not protected")
CONF = f"""
add 10.0.0.1 10.0.0.2 esp 0x1001 -r 4 -E aes-gcm-16 0x{KEY.hex()};
add 2001:db8::1 2001:db8::2 esp 0x1002 -m tunnel -E aes-gcm-16 0x{KEY.hex()};
spdadd 10.0.0.1 10.0.0.2 any -P out ipsec esp/transport//require;
spdadd 10.0.0.1 10.0.0.2 any -P in ipsec esp/transport//require;
spdadd 10.0.0.3 10.0.0.4 any -P out ipsec esp/tunnel/2001:db8::1-2001:db8::2/require;
"""


def clear(number=0, size=40):
    return rfc.udp(A4, B4, number.to_bytes(4, "big") + bytes(size))


def esp():
    return rfc.Esp(0x1001, "aes-gcm-16", KEY)


def call(*words, stdin=b"", **kwargs):
    return subprocess.run([SALLYPORT, *words], input=stdin, capture_output=True, timeout=60, **kwargs)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").write_text(CONF)
    (tmp_path / "in").write_bytes(captures.pcap([clear()]))
    return tmp_path


# Forms of captures --------------------------------------------------------------------------

MAC = bytes.fromhex("020000000002020000000001")
TAGS = bytes.fromhex("88a80064") + bytes.fromhex("81000005")
SLL_HEAD = bytes.fromhex("0004000100060200000000010000")
SLL2_REST = bytes.fromhex("0000000000030001000602000000000100 00".replace(" ", ""))


def family(order, v4, v6):
    return v4.to_bytes(4, order), v6.to_bytes(4, order)


LINKS = {  # the header of IPv4, and of IPv6 where there is one
    "Ethernet": (ETHERNET, MAC + b"\x08\0", MAC + b"\x86\xdd"),
    "two tags": (ETHERNET, MAC + TAGS + b"\x08\0", MAC + TAGS + b"\x86\xdd"),
    "SLL": (SLL, SLL_HEAD + b"\x08\0", SLL_HEAD + b"\x86\xdd"),
    "SLL with a tag": (SLL, SLL_HEAD + TAGS[4:6] + TAGS[6:] + b"\x08\0", SLL_HEAD + TAGS[4:6] + TAGS[6:] + b"\x86\xdd"),
    "SLL2": (SLL2, b"\x08\0" + SLL2_REST, b"\x86\xdd" + SLL2_REST),
    "RAW": (RAW, b"", b""),
    "IPV4": (IPV4, b"", None),
    "NULL": (NULL, *family("little", 2, 30)),
    "NULL of the other order": (NULL, *family("big", 2, 30)),
    "LOOP": (LOOP, *family("big", 2, 30)),
}
FORMS = {
    "pcap": {},
    "pcap of the other order": {"order": ">"},
    "pcap in nanoseconds": {"nano": True},
    "pcap in nanoseconds of the other order": {"nano": True, "order": ">"},
}


@pytest.mark.parametrize("name", LINKS)
def test_link_types(name, tmp_path):
    """The header of the link stays, but for the version of IP that it names."""
    link, v4, v6 = LINKS[name]
    inner = rfc.udp(bytes([10, 0, 0, 3]), bytes([10, 0, 0, 4]), b"into a tunnel")
    result = run(tmp_path, "protect", CONF, captures.pcap([v4 + clear(), v4 + inner, v4 + OTHER], link))
    assert result.link == link
    frames = list(result.frames)
    assert frames[0][:len(v4)] == v4 and esp().open(frames.pop(0)[len(v4):]) == clear()
    if v6 is None:
        assert result.summary["drops"] == {"link-version": 1}
    else:
        tunnel = rfc.Chain(rfc.Tunnel(A6, B6), rfc.Esp(0x1002, "aes-gcm-16", KEY))
        assert frames[0][:len(v6)] == v6 and tunnel.open(frames.pop(0)[len(v6):]) == inner
    assert frames == [v4 + OTHER]
    back = run(tmp_path, "decrypt", CONF, captures.pcap(result.frames, link))
    assert back.link == link and back.status == 0
    assert back.frames == [v4 + clear()] + ([v4 + inner] if v6 is not None else []) + [v4 + OTHER]


def test_ipv6_link(tmp_path):
    frame = rfc.udp(A6, B6, b"six")
    result = run(tmp_path, "decrypt", CONF, captures.pcap([frame], IPV6))
    assert (result.link, result.frames) == (IPV6, [frame])


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_pcap(name, tmp_path):
    fine = FORMS[name].get("nano", False)
    times = [1_700_000_000_000_000_000, 1_700_000_000_123_456_789 if fine else 1_700_000_000_123_456_000]
    sent = [Record(clear(at), ns) for at, ns in enumerate(times)]
    result = run(tmp_path, "protect", CONF, captures.pcap(sent, **FORMS[name]))
    assert [record.ns for record in result.records] == times
    judge = esp()
    assert [judge.open(frame) for frame in result.frames] == [clear(0), clear(1)]


@pytest.mark.parametrize("order", "<>")
def test_pcapng(order, tmp_path):
    """Two interfaces, of milliseconds and nanoseconds; options and blocks that nobody knows."""
    times = [1_700_000_000_125_000_000, 1_700_000_000_123_456_789]
    head = MAC + b"\x08\0"
    sent = [Record(head + clear(at), ns, interface=at) for at, ns in enumerate(times)]
    result = run(tmp_path, "protect", CONF, captures.pcapng(sent, ETHERNET, order=order, resolutions=(3, 9)))
    assert [record.ns for record in result.records] == times
    judge = esp()
    assert [judge.open(frame[14:]) for frame in result.frames] == [clear(0), clear(1)]


def test_simple_packets_of_pcapng(tmp_path):
    result = run(tmp_path, "protect", CONF, captures.pcapng([clear()], simple=True))
    assert [esp().open(frame) for frame in result.frames] == [clear()]


# What becomes of a packet -------------------------------------------------------------------


def test_padding_of_short_frames(tmp_path):
    """What passes keeps it; what is protected has none."""
    short, other = clear(0, 0), rfc.udp(bytes([10, 9, 9, 9]), B4, b"")
    head = MAC + b"\x08\0"
    frames = [(head + packet).ljust(60, b"\0") for packet in (short, other)]
    result = run(tmp_path, "protect", CONF, captures.pcap(frames, ETHERNET))
    assert esp().open(result.frames[0][14:]) == short and result.frames[1] == frames[1]


def test_other_protocols_pass(tmp_path):
    frames = [MAC + b"\x08\x06" + bytes(28), MAC + b"\0\x26" + bytes(38), MAC + TAGS + b"\x08\x06" + bytes(28)]
    result = run(tmp_path, "protect", CONF, captures.pcap(frames, ETHERNET))
    assert result.status == 0 and result.frames == frames and result.summary["passed"] == 3


BAD_FRAMES = [
    (MAC[:10], "link"), (MAC + TAGS, "link"), (MAC + b"\x08\0", "link"), (MAC + b"\x86\xdd" + clear(), "link"),
    (MAC + TAGS[4:] * 20 + b"\x08\0" + clear(), "link"), (MAC + b"\x08\0" + clear()[:30], "malformed"),
    (MAC + b"\x08\0\x45", "malformed"), (Record(MAC + b"\x08\0" + clear(), full=1000), "cut-short"), (b"", "link"),
    (Record(b"", full=100), "cut-short"),
]


def test_bad_frames(tmp_path):
    result = run(tmp_path, "protect", CONF, captures.pcap([frame for frame, _ in BAD_FRAMES], ETHERNET))
    assert [line["reason"] for line in result.listed] == [reason for _, reason in BAD_FRAMES]
    assert result.status == 1 and result.frames == []


def test_too_long_once_protected(tmp_path):
    longest = rfc.udp(A4, B4, bytes(65535 - 28))
    result = run(tmp_path, "protect", CONF, captures.pcap([longest, clear()]))
    assert result.summary["drops"] == {"too-big": 1} and len(result.frames) == 1


def test_grown_beyond_the_snapshot_length(tmp_path):
    capture = bytearray(captures.pcap([clear(0, 60)]))
    capture[16:20] = len(clear(0, 60)).to_bytes(4, "little")
    result = run(tmp_path, "protect", CONF, bytes(capture))
    assert esp().open(result.frames[0]) == clear(0, 60)


def test_replay(tmp_path):
    judge = esp()
    first, second = judge.protect(clear(1)), judge.protect(clear(2))
    capture = captures.pcap([first, second, first, first])
    result = run(tmp_path, "decrypt", CONF, capture)
    assert result.status == 1 and result.summary["drops"] == {"replay": 2} and result.frames == [clear(1), clear(2)]
    result = run(tmp_path, "decrypt", CONF, capture, "-l", "-j", "--ignore-replay")
    assert result.status == 0 and result.frames == [clear(1), clear(2), clear(1), clear(1)]


def test_policies_are_asked_only_by_option(tmp_path):
    tunnelled = rfc.Chain(rfc.Tunnel(A6, B6), rfc.Esp(0x1002, "aes-gcm-16", KEY)).protect(OTHER)
    capture = captures.pcap([clear(), esp().protect(clear()), tunnelled, OTHER])
    assert [line["fate"] for line in run(tmp_path, "decrypt", CONF, capture).listed] == ["passed", "opened", "opened", "passed"]
    result = run(tmp_path, "decrypt", CONF, capture, "-l", "-j", "--policy")
    assert result.summary["drops"] == {"policy-clear": 1, "tunnel-policy": 1}
    assert result.frames == [clear(), OTHER]


def test_reasons_are_told(tmp_path):
    bad = bytearray(esp().protect(clear()))
    bad[-1] ^= 1
    strange = rfc.Esp(0x7777, "aes-gcm-16", KEY).protect(clear())
    result = run(tmp_path, "decrypt", CONF, captures.pcap([bytes(bad), strange]), "-l")
    assert result.stdout.splitlines() == [
        "1 1.000000000 dropped 10.0.0.1 > 10.0.0.2, 108 bytes, SPI 0x00001001, icv: integrity check failed",
        "2 1.000000000 dropped 10.0.0.1 > 10.0.0.2, 108 bytes, SPI 0x00007777, no-sa-in: no SA for this SPI, protocol and destination",
        "read 2, passed 0, opened 0, protected 0, dropped 2",
        "  no-sa-in 1: no SA for this SPI, protocol and destination",
        "  icv 1: integrity check failed",
    ]


def test_packets_are_the_clock(tmp_path):
    """An SA that lives ten seconds protects for ten seconds of the capture, whatever the time is now."""
    conf = CONF.replace("-r 4", "-r 4 -lh 10", 1)
    sent = [Record(clear(at), (1000 + at) * 10**9) for at in (0, 9, 10, 11, 30, 5)]
    result = run(tmp_path, "protect", conf, captures.pcap(sent))
    assert [line["fate"] for line in result.listed] == ["protected"] * 3 + ["dropped"] * 3
    assert result.summary["drops"] == {"no-sa-out": 3}


def test_memory_does_not_grow(files):
    """After 60 MB of packets the program is as large as after 600 kB."""
    one = captures.pcap([clear(0, 1400)] * 400)
    process = subprocess.Popen([SALLYPORT, "protect", "-f", "conf", "-", "/dev/null"], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, env=dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=1"))
    peaks = []
    for number in range(100):
        process.stdin.write(one[24 if number else 0:])
        process.stdin.flush()
        peaks.append(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1]))
    process.stdin.close()
    assert process.wait(60) == 0
    assert peaks[-1] - peaks[1] < 8 << 10, peaks


# Command line and errors --------------------------------------------------------------------


def test_pipes(files):
    done = call("protect", "-f", "conf", "-", "-", stdin=captures.pcap([clear()]))
    assert done.returncode == 0 and done.stderr.startswith(b"read 1, passed 0, opened 0, protected 1")
    assert esp().open(captures.read(done.stdout)[1][0].bytes) == clear()
    done = call("protect", "--file", "-", "in", "out", stdin=CONF.encode())
    assert done.returncode == 0 and b"protected 1" in done.stdout


WRONG = [
    (["protect", "in", "out"], "no CONF; -f names it"),
    (["protect", "-f", "conf", "in"], "two captures are needed"),
    (["protect", "-f", "conf", "in", "out", "more"], "more than two captures"),
    (["protect", "-f", "-", "-", "out"], "both standard input"),
    (["protect", "-f", "conf", "--policy", "in", "out"], "protect has no such option"),
    (["decrypt", "--nonsense"], "usage: sallyport decrypt"),
    (["decrypt", "-f", "nowhere", "in", "out"], "cannot read nowhere: No such file"),
    (["decrypt", "-f", "conf", "nowhere", "out"], "cannot read nowhere: No such file"),
    (["decrypt", "-f", "conf", "conf", "out"], "pcap and pcapng are what is read"),
    (["decrypt", "-f", "conf", "in", "in"], "it is what is to be read"),
    (["decrypt", "-f", "conf", "in", "nowhere/out"], "cannot write nowhere/out"),
    (["decrypt", "-f", "conf", "in", "/dev/full"], "cannot write /dev/full: No space left"),
    (["decode"], "there is no verb 'decode'"),
    ([], "usage: sallyport VERB"),
]


@pytest.mark.parametrize("words, message", WRONG, ids=lambda value: value if isinstance(value, str) else " ")
def test_wrong_command_lines(words, message, files):
    done = call(*words)
    assert done.returncode == 2 and message in done.stderr.decode(), done.stderr.decode()
    assert not (files / "out").exists()


def test_help(files):
    assert b"decrypt" in call("help").stdout
    for verb in ("protect", "decrypt"):
        done = call(verb, "-h")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: sallyport {verb} -f CONF".encode())


def test_errors_of_conf_are_setkeys(files):
    """All of them, at their places, keys masked; what the databases refuse too. Nothing is written."""
    (files / "conf").write_text(f"add 10.0.0.1 10.0.0.2 esp 16 -E aes-gcm-16 0x{KEY.hex()};\nadd 10.0.0.1 x;\n")
    done = call("protect", "-f", "conf", "in", "out")
    text = done.stderr.decode()
    assert done.returncode == 2 and text.count(": error: ") > 1 and "conf:1:27: error: " in text
    assert KEY.hex() not in text and "0x" + "*" * 40 in text
    line = f"add 10.0.0.1 10.0.0.2 esp 0x1001 -E aes-gcm-16 0x{KEY.hex()};\n"
    (files / "conf").write_text(line + line)
    done = call("protect", "-f", "conf", "in", "out")
    text = done.stderr.decode()
    assert done.returncode == 2 and "conf:2:27: error: " in text and "(File exists)" in text and KEY.hex() not in text
    assert not (files / "out").exists()


def test_torn_capture(files):
    whole = captures.pcap([clear(0), clear(1)])
    (files / "in").write_bytes(whole[:-10])
    done = call("protect", "-f", "conf", "in", "out")
    assert done.returncode == 2 and b"cannot read in: truncated" in done.stderr and b"read 1" in done.stdout
    assert len(captures.read((files / "out").read_bytes())[1]) == 1


def test_unknown_link_type(files):
    (files / "in").write_bytes(captures.pcap([b"x"], 105))
    done = call("protect", "-f", "conf", "in", "out")
    assert done.returncode == 2 and b"link type 105" in done.stderr and b"Ethernet" in done.stderr


def test_summary_as_json(files):
    done = call("protect", "-f", "conf", "-j", "in", "out")
    assert json.loads(done.stdout) == {"read": 1, "passed": 0, "opened": 0, "protected": 1, "dropped": 0, "drops": {}}


# The page ---------------------------------------------------------------------------------------

PAGE = (captures.ROOT / "man/sallyport.1").read_text()
EXAMPLES = re.findall(r"(?ms)^\.Bd -literal -offset indent\n\$ (.*?)\n^\.Ed", PAGE)


def test_examples_of_the_page(files):
    """In their order, each with what it shows."""
    (files / "ipsec.conf").write_text(CONF)
    (files / "clear.pcap").write_bytes(captures.pcap([clear(0), OTHER]))
    path = f"{SALLYPORT.resolve().parent}:{os.environ['PATH']}:/usr/sbin"
    done = [subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=dict(os.environ, PATH=path), timeout=60)
            for line in EXAMPLES]
    assert len(done) == 3 and done[0].stdout == "read 2, passed 1, opened 0, protected 1, dropped 0\n", done
    if shutil.which("tcpdump", path=path):
        assert "10.0.0.1.7777 > 10.0.0.2.7778: UDP, length 44" in done[1].stdout, done[1]
    assert [json.loads(line).get("fate") for line in done[2].stdout.splitlines()] == ["opened", "passed", None]


def test_every_reason_and_option_is_on_the_page():
    source = "".join((captures.ROOT / "src/sallyport" / name).read_text() for name in ("tally.h", "offline.c"))
    for word in re.findall(r'_\([A-Z]+, "([a-z-]+)"', source) + re.findall(r'{ "([a-z-]+)", (?:no|required)_argument', source):
        assert word in PAGE.replace("Fl -", "").replace("Fl ", ""), word
