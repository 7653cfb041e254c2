# SPDX-License-Identifier: BSD-2-Clause
"""The daemon's life: clean stop, sudden death, a second one, and a lot of data."""

import hashlib
import os
import re
import subprocess
import time

import pytest

from lab import ADDRESS, ARTICLE, BUILD, BUILD_PLAIN, clear_between, snmp, wait_until

PHOENIX, CARDINAL = ADDRESS["phoenix"][4], ADDRESS["cardinal"][4]


@pytest.mark.steering
@pytest.mark.parametrize("victim", ["phoenix", "cardinal"])
def test_killed_daemon_leaves_the_gate_shut(lab, victim):
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL)  # nobody protects anything yet
    assert len(clear_between(capture.packets())) == 6, "the detector does not see a clear ping"

    daemons = lab.article("-require")
    capture = lab.router_capture()
    ping = lab.spawn("phoenix", "ping", "-n", "-q", "-i", "0.01", "-c", "500", "-W", "1", CARDINAL)
    wait_until(lambda: sum(p.protected for p in capture.packets_now()) > 150, 20, "150 protected packets")
    daemons[victim].kill()
    said = ping.communicate(timeout=60)[0]  # it goes on asking
    sent, answered = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", said).groups())

    packets = capture.packets()
    protected, clear = sum(p.protected for p in packets), clear_between(packets)
    print(f"figure: {sent} requests, {answered} answered before the kill; {protected} protected packets, "
          f"{len(clear)} clear ones")
    assert protected > 100
    assert sent - answered > 100  # or the gate was not tried
    assert clear == []


@pytest.mark.steering
def test_nothing_enters_past_a_killed_daemon(lab):
    daemons = lab.article("-require")
    daemons["cardinal"].stop()
    daemons["phoenix"].kill()
    capture = lab.router_capture()
    before = snmp(lab, "phoenix", "Icmp", "InEchos")
    assert lab.mute("cardinal", PHOENIX)
    assert [p.src for p in clear_between(capture.packets())] == [CARDINAL] * 2
    assert snmp(lab, "phoenix", "Icmp", "InEchos") == before


@pytest.mark.steering
def test_restart_after_kill_and_clean_stop(lab):
    untouched = lab.state("phoenix")
    daemons = lab.article("-require")
    assert lab.pings("phoenix", CARDINAL)
    daemons["phoenix"].kill()

    capture = lab.router_capture()
    again = lab.daemon("phoenix")
    assert lab.mute("phoenix", CARDINAL)  # no policies yet: what was steered stays shut
    assert clear_between(capture.packets()) == []
    # Sequence numbers begin anew: cardinal's SAs have to as well.
    for host in ("phoenix", "cardinal"):
        lab.setkey(host, "-f", ARTICLE / f"{host}-require.conf")
    assert lab.pings("phoenix", CARDINAL)
    assert clear_between(capture.packets()) == []
    again.stop()
    assert lab.state("phoenix") == untouched


@pytest.mark.steering
@pytest.mark.parametrize("suffix", ["", "-require"])
def test_clean_stop_leaves_nothing_behind(lab, suffix):
    before = {host: lab.state(host) for host in ("phoenix", "cardinal")}
    daemons = lab.article(suffix)
    assert lab.pings("phoenix", CARDINAL)
    for host, daemon in daemons.items():
        daemon.stop()
        assert lab.state(host) == before[host]
    assert list(os.scandir("/run/sallyport")) == []
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL)
    assert len(clear_between(capture.packets())) == 6


def test_second_daemon_on_the_same_socket(lab):
    first = lab.daemon("phoenix")
    second = lab.daemon("phoenix", ready=False)
    assert second.process.wait(10) == 1
    assert "sallyportd" in second.text() and "/run/sallyport/" in second.text()
    assert lab.setkey("phoenix", "-D").stdout.strip() == "No SAD entries."
    first.stop()


def test_second_daemon_on_the_same_interface(lab):
    first = lab.daemon("phoenix")
    lab.setkey("phoenix", "-f", ARTICLE / "phoenix.conf")
    steered = lab.settled_state("phoenix")
    second = lab.daemon("phoenix", "-s", "/run/another.sock", ready=False)
    assert second.process.wait(10) == 1
    assert re.search(r"eth0.*(another|held|use)|(another|held|use).*eth0", second.text()), second.text()
    assert lab.state("phoenix") == steered
    first.stop()


def test_interface_that_is_not_there(lab):
    daemon = lab.daemon("phoenix", interface="eth7", ready=False)
    assert daemon.process.wait(10) == 1
    assert "eth7" in daemon.text()


def test_driver_that_protects_nothing(lab):
    """Files are no interface: nobody shall believe that eth0 is protected."""
    daemon = lab.daemon("phoenix", "-d", "pcap", ready=False)
    assert daemon.process.wait(10) == 1
    assert "eth0" in daemon.text() and "pcap" in daemon.text()


def test_no_capability(lab):
    """As whoever runs it by mistake without privilege: what is missing, in words."""
    result = lab.run("phoenix", "setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all",
                     "--no-new-privs", BUILD / "sallyportd", "-f", "-i", "eth0", "-s", lab.dir / "s", check=False)
    assert result.returncode == 1
    assert re.search(r"CAP_NET_ADMIN|capabilit|privilege|root", result.stderr), result.stderr


def test_no_tun_device(bare):
    result = bare.run("phoenix", "unshare", "-m", "sh", "-c",
                      f"mount -t tmpfs none /dev/net && exec {BUILD}/sallyportd -f -i eth0", check=False)
    assert result.returncode == 1
    assert "/dev/net/tun" in result.stderr


def test_no_room_for_the_journal(lab):
    """What could not be undone is not done, and it is said why."""
    before = lab.state("phoenix")
    result = lab.run("phoenix", "unshare", "-m", "sh", "-c", f"""
        mount -t tmpfs -o size=64k t /mnt && dd if=/dev/zero of=/mnt/full bs=4k 2>/dev/null
        exec timeout 10 {BUILD}/sallyportd -f -i eth0 -s /mnt/s""", check=False)
    assert result.returncode == 1, result.stderr
    assert "/mnt/s.eth0.journal" in result.stderr and "No space left" in result.stderr
    assert lab.state("phoenix") == before


def test_databases_alone_need_no_privilege(bare):
    """With no -i it serves the databases, to whoever started it."""
    socket = bare.dir / "keys"
    daemon = subprocess.Popen(
        ["setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs",
         BUILD / "sallyportd", "-f", "-s", socket], stderr=subprocess.PIPE, text=True)
    try:
        wait_until(socket.exists, 10, "the socket")
        env = dict(os.environ, SALLYPORT_SOCKET=str(socket))
        bare.setkey("phoenix", "-f", ARTICLE / "phoenix.conf", env=env)
        dump = bare.setkey("phoenix", "-D", env=env).stdout
        assert "spi=15700(0x00003d54)" in dump and "spi=24501(0x00005fb5)" in dump
        assert oct(socket.stat().st_mode & 0o777) == "0o600"
    finally:
        daemon.terminate()
        said = daemon.communicate(timeout=20)[1]
    assert daemon.returncode == 0, said
    assert not socket.exists()


def test_background(lab):
    """Without -f it returns when it serves, and SIGTERM ends it."""
    before = lab.state("phoenix")
    lab.run("phoenix", BUILD / "sallyportd", "-i", "eth0", timeout=30)
    assert lab.setkey("phoenix", "-D").stdout.strip() == "No SAD entries."
    pids = subprocess.check_output(["ip", "netns", "pids", "phoenix"], text=True).split()
    assert len(pids) == 1
    os.kill(int(pids[0]), 15)
    wait_until(lambda: lab.setkey("phoenix", "-D", check=False).returncode != 0, 10, "the end")
    wait_until(lambda: lab.state("phoenix") == before, 10, "everything undone")


SERVER = """
import socket, sys, hashlib
listener = socket.create_server((sys.argv[1], 8000))
print("ready", flush=True)
stream, digest, size = listener.accept()[0], hashlib.sha256(), 0
while data := stream.recv(1 << 16):
    digest.update(data); size += len(data)
print(size, digest.hexdigest(), flush=True)
"""
CLIENT = """
import socket, sys
stream = socket.create_connection((sys.argv[1], 8000), timeout=60)
with open(sys.argv[2], "rb") as file:
    stream.sendfile(file)
"""
MB = 1_000_000


@pytest.mark.parametrize("build, size", [("asan", 8 * MB), ("plain", 100 * MB)])
def test_file_over_tcp(lab, build, size):
    path = {"asan": BUILD, "plain": BUILD_PLAIN}[build]
    daemons = [lab.daemon(host, build=path) for host in ("phoenix", "cardinal")]
    for host in ("phoenix", "cardinal"):
        lab.setkey(host, "-f", ARTICLE / f"{host}-require.conf")
    file = lab.dir / "file"
    data = os.urandom(size)
    file.write_bytes(data)

    # A whole capture would fill the disk; what must not be there needs little room.
    clear = lab.capture("router", "west", "tcp")
    segments, again = (snmp(lab, "phoenix", "Tcp", name) for name in ("OutSegs", "RetransSegs"))
    server = lab.spawn("cardinal", "/usr/bin/python3", "-c", SERVER, CARDINAL)
    assert server.stdout.readline() == "ready\n"
    began = time.monotonic()
    lab.run("phoenix", "/usr/bin/python3", "-c", CLIENT, CARDINAL, file, timeout=180)
    received = server.communicate(timeout=60)[0]
    took = time.monotonic() - began
    segments = snmp(lab, "phoenix", "Tcp", "OutSegs") - segments
    again = snmp(lab, "phoenix", "Tcp", "RetransSegs") - again
    print(f"figure: {size / MB:.0f} MB in {took:.1f} s, {size * 8 / took / 1e6:.0f} Mbit/s, "
          f"{again} of {segments} segments sent again")

    assert received.split() == [str(size), hashlib.sha256(data).hexdigest()]
    assert segments > size / 1500
    assert again < segments / 100
    assert clear.packets() == []
    for daemon in daemons:
        daemon.stop()
