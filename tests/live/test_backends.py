# SPDX-License-Identifier: BSD-2-Clause
"""Which back end setkey takes, and policies in the kernel of this machine, read by `ip xfrm`.

Most kernels have XFRM's policies; those without ESP, too. SAs are tried in the guest,
tests/kernel/test_backends.py.
"""

import re
import socket
import subprocess

import pytest

from lab import BUILD, inside

POLICIES = [
    # statement; what ip says of it, a line each
    ("10.0.0.0/24[21] 10.1.0.0/24[any] tcp -P out ipsec esp/tunnel/10.9.0.1-10.9.0.2/require",
     ["src 10.0.0.0/24 dst 10.1.0.0/24 proto tcp sport 21", "dir out priority 2147483648 ptype main",
      "tmpl src 10.9.0.1 dst 10.9.0.2", "proto esp reqid 0 mode tunnel"]),
    ("10.2.0.0/24 10.3.0.0/24 udp -P out ipsec ipcomp/transport//use esp/transport//unique:9 ah/transport//default",
     ["src 10.2.0.0/24 dst 10.3.0.0/24 proto udp", "dir out priority 2147483648 ptype main",
      "tmpl src 0.0.0.0 dst 0.0.0.0", "proto comp reqid 0 mode transport", "level use",
      "tmpl src 0.0.0.0 dst 0.0.0.0", "proto esp reqid 9 mode transport",
      "tmpl src 0.0.0.0 dst 0.0.0.0", "proto ah reqid 0 mode transport"]),
    ("2001:db8::/64 2001:db8:1::/64[80] tcp -P fwd prio low + 3 none",
     ["src 2001:db8::/64 dst 2001:db8:1::/64 proto tcp dport 80", "dir fwd priority 3221225469 ptype main"]),
    ("10.4.0.0/24 10.5.0.0/24 any -P out discard",
     ["src 10.4.0.0/24 dst 10.5.0.0/24", "dir out action block priority 2147483648 ptype main"]),
    ("::/0 ::/0 icmp6 135,0 -P out none",
     ["src ::/0 dst ::/0 proto ipv6-icmp type 135", "dir out priority 2147483648 ptype main"]),
]


def setkey(lab, *arguments, **kwargs):
    return lab.setkey("phoenix", *arguments, check=False, **kwargs)


def by_ip(lab):
    """The policies that `ip` shows, newest first, each as its lines."""
    text = lab.run("phoenix", "ip", "-d", "xfrm", "policy").stdout
    return [[line.strip() for line in block.splitlines()] for block in re.split(r"(?m)^(?=src )", text) if block]


@pytest.fixture
def kernel(bare):
    """phoenix, where setkey speaks to the kernel by XFRM."""
    with inside("phoenix"):
        try:
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 6).close()
        except OSError as error:
            pytest.skip(f"NETLINK_XFRM: {error.strerror}")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SALLYPORT_SOCKET", raising=False)
        patch.setenv("SALLYPORT_BACKEND", "xfrm")
        yield bare


def test_policies_stand_as_they_were_told(kernel):
    done = setkey(kernel, "-c", input="".join(f"spdadd {text};\n" for text, _ in POLICIES))
    assert (done.returncode, done.stderr) == (0, "")
    assert by_ip(kernel) == [lines for _, lines in reversed(POLICIES)]
    shown = setkey(kernel, "-DP").stdout
    assert [int(seq) for seq in re.findall(r"seq=(\d+)", shown)] == [1, 2, 3, 4, 0]
    assert "ipcomp/transport//use\n\tesp/transport//unique:9\n\tah/transport//require" in shown
    again = setkey(kernel, "-D", "-P", "--script").stdout
    assert setkey(kernel, "-FP").returncode == 0 and by_ip(kernel) == []
    assert setkey(kernel, "-c", input=again).returncode == 0
    assert by_ip(kernel) == [lines for _, lines in reversed(POLICIES)]


def test_a_policy_for_in_has_its_twin(kernel):
    text = "10.1.0.0/24 10.0.0.0/24 any -P in ipsec esp/tunnel/10.9.0.2-10.9.0.1/unique:7"
    assert setkey(kernel, "-e", f"spdadd {text};").returncode == 0
    fwd, into = by_ip(kernel)
    assert "dir fwd" in fwd[1] and "reqid 0" in fwd[3] and "dir in" in into[1] and "reqid 7" in into[3]
    assert setkey(kernel, "-e", f"spddelete {text};").returncode == 0 and by_ip(kernel) == []


def test_unique_numbers_are_new_ones(kernel):
    for _ in range(2):
        setkey(kernel, "-e", "".join(f"spdadd 10.0.0.1 10.0.1.{i} any -P out ipsec esp/transport//unique;" for i in
                                     (1, 2)))
        setkey(kernel, "-e", "spddelete 10.0.0.1 10.0.1.1 any -P out;")
    reqids = [int(number) for number in re.findall(r"reqid (\d+)", str(by_ip(kernel)))]
    assert len(set(reqids)) == len(reqids) == 1 and reqids[0] > 16383


def test_refusals_are_at_their_place(kernel):
    text = "spdadd 10.0.0.1 10.0.0.2 any -P out none;"
    done = setkey(kernel, "-c", input=text)
    assert done.returncode == 0
    done = setkey(kernel, "-c", input=text)
    assert done.returncode == 1 and "stdin:1:33: error: there is a policy of this selector" in done.stderr
    done = setkey(kernel, "-e", "spddelete 10.0.0.1 10.0.0.9 any -P out;")
    assert done.returncode == 1 and "there is no such policy" in done.stderr
    requests = "esp/transport//require " * 7
    done = setkey(kernel, "-e", f"spdadd 10.0.0.3 10.0.0.4 any -P out ipsec {requests};")
    assert done.returncode == 1 and "7 requests in a policy; Linux takes up to 6" in done.stderr


def test_atomic_is_refused_by_name(kernel):
    done = setkey(kernel, "--atomic", "-e", "spdadd 10.0.0.1 10.0.0.2 any -P out none;")
    assert done.returncode == 1 and "the kernel (XFRM) has no transactions" in done.stderr
    assert by_ip(kernel) == []


def test_what_others_do_is_seen(kernel):
    with (kernel.dir / "seen").open("w+") as out:
        listener = subprocess.Popen(["ip", "netns", "exec", "phoenix", BUILD / "setkey", "-x"], stdout=out)
        try:
            for _ in range(50):
                kernel.run("phoenix", "ip", "xfrm", "policy", "add", "src", "10.0.0.1", "dst", "10.0.0.2", "dir", "out")
                kernel.run("phoenix", "ip", "xfrm", "policy", "del", "src", "10.0.0.1", "dst", "10.0.0.2", "dir", "out")
                text = (kernel.dir / "seen").read_text()
                if " type=14 " in text and " type=15 " in text:
                    break
            else:
                raise AssertionError(text)
        finally:
            listener.terminate()
            listener.wait()
    assert "sadb_x_policy{ type=1 dir=2 id=" in text


def test_ten_thousand_in_their_order(kernel):
    n = 10000
    text = "".join(f"spdadd 10.0.0.1 10.{i >> 8}.{i & 255}.2 any -P out none;\n" for i in range(n))
    assert setkey(kernel, "-c", input=text).returncode == 0
    shown = re.findall(r"(?m)^10\.0\.0\.1\[any\] 10\.(\d+)\.(\d+)\.2", setkey(kernel, "-DP").stdout)
    assert [(int(a) << 8) + int(b) for a, b in shown] == list(reversed(range(n)))


# The choice --------------------------------------------------------------------------

@pytest.fixture
def undecided(bare):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SALLYPORT_SOCKET", raising=False)
        patch.delenv("SALLYPORT_BACKEND", raising=False)
        yield bare


def can_do_esp(lab):
    """What `ip` is told when it adds an SA."""
    done = lab.run("phoenix", "ip", "xfrm", "state", "add", "src", "10.0.0.1", "dst", "10.0.0.2", "proto", "esp",
                   "spi", "0x1000", "mode", "transport", "enc", "ecb(cipher_null)", "", check=False)
    lab.run("phoenix", "ip", "xfrm", "state", "flush")
    return done.returncode == 0


def test_auto_says_why_not(undecided):
    if can_do_esp(undecided):
        pytest.skip("this kernel does ESP")
    done = setkey(undecided, "-D")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    for words in "no sallyportd serves", "XFRM: ", "AF_KEY: ", "start one: sallyportd -i INTERFACE":
        assert words in done.stderr
    print("figure:", done.stderr)


def test_auto_takes_the_daemon(undecided):
    daemon = undecided.daemon("phoenix", interface=None, ready=False)
    for _ in range(500):
        done = setkey(undecided, "-D")
        if done.returncode == 0:
            break
    assert done.stdout == "No SAD entries.\n", done.stderr
    daemon.process.kill()
    daemon.process.wait()
    done = setkey(undecided, "-D")
    assert done.returncode == 1 and "says that there should be one" in done.stderr, done.stderr


def test_a_name_that_is_none(undecided):
    done = setkey(undecided, "--backend", "kernel", "-D")
    assert done.returncode == 1 and "there are auto, local, xfrm and afkey" in done.stderr
