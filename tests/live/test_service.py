# SPDX-License-Identifier: BSD-2-Clause
"""The daemon as a service: its units, restarts, and an interface that comes and goes."""

import contextlib
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from lab import ADDRESS, ARTICLE, BUILD, BUILD_PLAIN, clear_between, inside, wait_until

PHOENIX, CARDINAL, ROUTER = (ADDRESS[host][4] for host in ("phoenix", "cardinal", "router"))
UNITS = BUILD / "contrib/systemd"


def unit(name):
    """The settings of a unit."""
    lines = (UNITS / f"{name}.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z]\w+=", line))


def load(lab, host="phoenix"):
    """As setkey.service does."""
    words = unit("setkey")["ExecStart"].replace("/etc/ipsec.conf", str(ARTICLE / f"{host}-require.conf")).split()
    assert pathlib.Path(words[0]).name == "setkey"
    lab.setkey(host, *words[1:], build=BUILD_PLAIN)


def test_units_are_right(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze: the package systemd")
    for name in ("sallyportd", "setkey"):
        text = (UNITS / f"{name}.service").read_text()
        (tmp_path / f"{name}.service").write_text(re.sub(r"(=)\S*/(setkey|sallyportd) ", rf"\1{BUILD}/\2 ", text))

    def verify():
        return subprocess.run(["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.glob("*.service")))],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = verify()
    if "Failed to" in said.stdout and "initialize" in said.stdout:
        pytest.skip(f"systemd-analyze does not run here: {said.stdout.strip()}")
    assert said.returncode == 0 and said.stdout == "", said.stdout
    bad = tmp_path / "sallyportd.service"
    bad.write_text(bad.read_text().replace("RestartKillSignal", "RestartKilSignal"))
    assert "RestartKilSignal" in verify().stdout, "the detector sees a wrong word"


@pytest.mark.steering
@pytest.mark.parametrize("how", ["restart", "stop"])
def test_restart_under_traffic(lab, how):
    """
    `systemctl restart`: no packet in clear, and few lost. `stop`, and a start after it, is
    the administrator's word that it may be in clear in between: the detector.
    """
    number = signal.Signals[unit("sallyportd")["RestartKillSignal"] if how == "restart" else "SIGTERM"]
    lab.daemon("cardinal", build=BUILD_PLAIN)
    load(lab, "cardinal")
    daemon = lab.daemon("phoenix", build=BUILD_PLAIN)
    load(lab)
    untouched = lab.state("cardinal")
    capture = lab.router_capture()
    ping = lab.spawn("phoenix", "ping", "-n", "-q", "-i", "0.01", "-c", "400", "-W", "1", CARDINAL)
    gaps = []
    for _ in range(3):
        time.sleep(0.6)
        began = time.monotonic()
        daemon.process.send_signal(number)
        assert daemon.process.wait(10) == 0, daemon.text()
        daemon = lab.daemon("phoenix", build=BUILD_PLAIN)
        load(lab)
        gaps.append(time.monotonic() - began)
    sent, answered = map(int, re.search(r"(\d+) packets transmitted, (\d+) received",
                                        ping.communicate(timeout=60)[0]).groups())
    clear = clear_between(capture.packets())
    print(f"figure: {how} three times under 100 pings a second: {sent - answered} of {sent} lost, {len(clear)} in clear; "
          f"{', '.join(f'{1000 * gap:.0f}' for gap in gaps)} ms from the signal to the policies")
    if how == "restart":
        assert clear == []
        assert sent - answered <= 100 * sum(gaps) + 30
        assert lab.pings("phoenix", CARDINAL)
    else:
        assert clear != []
    assert lab.state("cardinal") == untouched
    daemon.stop()


@pytest.mark.steering
def test_end_that_stays_shut(lab):
    """SIGHUP without a daemon that follows: nothing passes; and the next one's clean stop undoes it all."""
    untouched = lab.state("phoenix")
    daemons = lab.article("-require")
    daemons["phoenix"].process.send_signal(signal.SIGHUP)
    assert daemons["phoenix"].process.wait(10) == 0
    daemons["phoenix"].check_log()
    capture = lab.router_capture()
    assert lab.mute("phoenix", CARDINAL) and lab.mute("cardinal", PHOENIX)
    assert [p for p in clear_between(capture.packets()) if p.src == PHOENIX] == []
    lab.daemon("phoenix").stop()
    assert lab.state("phoenix") == untouched


def test_hangup_without_policies(lab):
    """There is nothing to keep shut."""
    untouched = lab.state("phoenix")
    daemon = lab.daemon("phoenix")
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.process.wait(10) == 0
    assert lab.state("phoenix") == untouched


def test_nohup(lab):
    """Whoever has it ignore SIGHUP means it."""
    daemon = lab.spawn("phoenix", "nohup", BUILD / "sallyportd", "-f", "-s", lab.dir / "keys")
    wait_until((lab.dir / "keys").exists, 10, "the socket")
    daemon.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert daemon.poll() is None
    daemon.terminate()
    assert daemon.wait(10) == 0


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_supervisor_is_told(lab, monkeypatch, kind):
    """READY=1 when the socket serves, STOPPING=1 at the end: Type=notify."""
    assert unit("sallyportd")["Type"] == "notify"
    name = str(lab.dir / "notify") if kind == "path" else "@sallyport-notify"
    with inside("phoenix"):  # to whose network an abstract name belongs
        supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with supervisor:
        supervisor.bind(name.replace("@", "\0"))
        supervisor.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        daemon = lab.daemon("phoenix", ready=False)
        assert supervisor.recv(100) == b"READY=1"
        assert lab.setkey("phoenix", "-D").returncode == 0
        daemon.stop()
        assert supervisor.recv(100) == b"STOPPING=1"


def test_supervisor_that_is_not_there(lab, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(lab.dir / "nobody"))
    daemon = lab.daemon("phoenix")
    assert "cannot tell NOTIFY_SOCKET READY=1" in daemon.text()
    daemon.stop()


def test_capabilities_of_the_unit(lab):
    """What the unit leaves the daemon is enough, by eBPF too where it may."""
    kept = [word.removeprefix("CAP_").lower() for word in unit("sallyportd")["CapabilityBoundingSet"].split()]
    bounded = ["setpriv", "--bounding-set=-all," + ",".join(f"+{name}" for name in kept), "--no-new-privs"]
    log = lab.dir / "bounded.log"
    with log.open("w") as out:
        daemon = subprocess.Popen(["ip", "netns", "exec", "phoenix", *bounded, BUILD / "sallyportd", "-f", "-i", "eth0"],
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        wait_until(lambda: lab.setkey("phoenix", "-D", check=False).returncode == 0, 10, "the socket")
        lab.daemon("cardinal")
        for host in ("phoenix", "cardinal"):
            lab.setkey(host, "-f", ARTICLE / f"{host}-require.conf")
        assert lab.pings("phoenix", CARDINAL)
        filters = lab.run("phoenix", "tc", "filter", "show", "dev", "eth0", "ingress").stdout
        first = "4294967295" in pathlib.Path("/proc/self/uid_map").read_text()
        assert ("sallyport" in filters and "direct-action" in filters) == first, filters
        daemon.terminate()
        assert daemon.wait(10) == 0, log.read_text()
    finally:
        daemon.kill()
        daemon.wait()


# An interface that comes and goes ------------------------------------------------------

def plug(lab):
    """phoenix's interface again, under its name."""
    lab.run("phoenix", "sh", "-c", f"""
        set -e
        ip -o link show eth0 >/dev/null 2>&1 || ip link add eth0 type veth peer name west netns router
        ip address add {PHOENIX}/24 dev eth0
        ip link set eth0 up""")
    lab.run("router", "sh", "-c", f"ip address add {ROUTER}/24 dev west; ip link set west up")
    lab.run("phoenix", "ip", "route", "replace", "default", "via", ROUTER)
    wait_until(lambda: "state UP" in lab.run("phoenix", "ip", "link", "show", "eth0").stdout, 5, "the cable")


@pytest.mark.steering
def test_interface_down_and_up(lab):
    daemons = lab.article("-require")
    capture = lab.router_capture()
    for _ in range(2):
        lab.run("phoenix", "ip", "link", "set", "eth0", "down")
        assert not lab.pings("phoenix", CARDINAL, "-c", "1", "-W", "1")
        lab.run("phoenix", "ip", "link", "set", "eth0", "up")
        lab.run("phoenix", "ip", "route", "replace", "default", "via", ROUTER)
        wait_until(lambda: lab.pings("phoenix", CARDINAL, "-c", "1", "-W", "1"), 10, "the way back")
    assert lab.pings("phoenix", CARDINAL) and lab.pings("cardinal", PHOENIX)
    assert clear_between(capture.packets()) == []
    for daemon in daemons.values():
        daemon.stop()


@pytest.mark.steering
def test_interface_made_anew_and_daemon_restarted(lab):
    """What is left of the old interface is undone, and the new one protected."""
    daemons = lab.article("-require")
    lab.run("phoenix", "ip", "link", "del", "eth0")
    plug(lab)
    daemons["phoenix"].process.send_signal(signal.SIGHUP)
    assert daemons["phoenix"].process.wait(10) == 0
    again = lab.daemon("phoenix")
    load(lab)
    capture = lab.router_capture()
    assert lab.pings("phoenix", CARDINAL) and lab.pings("cardinal", PHOENIX)
    assert clear_between(capture.packets()) == []
    again.stop()
    links = lab.run("phoenix", "ip", "-o", "link").stdout
    assert not re.search(r"sp[io]\d", links), links


@pytest.mark.steering
def test_interface_made_anew(lab):
    """Under its old name, while the daemon runs and somebody sends: protected before it has an address, if that is
    waited for."""
    daemons = lab.article("-require")
    lab.run("phoenix", "ip", "link", "del", "eth0")
    wait_until(lambda: "gone" in daemons["phoenix"].text(), 5, "the daemon's word")
    lab.run("phoenix", "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "west", "netns", "router")
    lab.run("router", "ip", "link", "set", "west", "up")
    capture = lab.router_capture()
    with contextlib.ExitStack() as stack:
        ping = lab.spawn("phoenix", "sh", "-c", f"while :; do ping -n -q -i 0.01 -c 20 -W 1 {CARDINAL}; done")
        stack.callback(ping.communicate)
        stack.callback(ping.kill)
        wait_until(lambda: "interface eth0 is back" in daemons["phoenix"].text(), 5, "the daemon's word")
        plug(lab)
        wait_until(lambda: lab.pings("phoenix", CARDINAL, "-c", "1", "-W", "1"), 6, "the new interface works")
    packets = capture.packets()
    print(f"figure: an interface made anew under 100 pings a second: {sum(p.protected for p in packets)} packets "
          f"protected, {len(clear_between(packets))} in clear")
    assert sum(p.protected for p in packets) > 0
    assert clear_between(packets) == []
    for daemon in daemons.values():
        daemon.stop()
