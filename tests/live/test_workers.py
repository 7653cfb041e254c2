# SPDX-License-Identifier: BSD-2-Clause
"""Several workers: packets of many flows go on, each flow in its order and none lost, whatever
happens to the databases meanwhile.

Who builds with ThreadSanitizer and sets BUILD sees races, too.
"""

import contextlib
import itertools
import pathlib
import re
import selectors
import socket
import struct
import threading
import time

import pytest

from lab import ADDRESS, BUILD_PLAIN, inside, wait_until

WORKERS = 3
PORTS = range(7001, 7005)  # each with a policy, and SAs, of its own
FLOWS_A_PORT = 3
WINDOW = 24	# of a flow: packets that are under way
SECONDS = 12
CARDINAL = ADDRESS["cardinal"][4]
PHOENIX = {port: f"192.0.2.{20 + port - PORTS[0]}" for port in PORTS}  # an address of its own, too
SIZES = (40, 300, 1200)


def spi(port, way, age):
    return 100000 + 10000 * (way == "back") + 1000 * (port - PORTS[0]) + age


def ends(port, way):
    return f"{PHOENIX[port]} {CARDINAL}" if way == "there" else f"{CARDINAL} {PHOENIX[port]}"


def add(port, way, age):
    """An SA for one port, the age'th. Its window is for workers that wait for a processor while others go on."""
    kinds = ["-E aes-gcm-16 0x" + "5a" * 20, "-E aes-cbc 0x" + "21" * 16 + " -A hmac-sha1 0x" + "43" * 20]
    return f"add {ends(port, way)} esp {spi(port, way, age)} -u {port} -r 512 {kinds[port % 2]};\n"


def delete(port, way, age):
    return f"delete {ends(port, way)} esp {spi(port, way, age)};\n"


# All between two addresses, by the SAs of the first port.
PLAIN = {host: "".join(f"spdadd {ends(PORTS[0], way)} any -P {direction} ipsec esp/transport//require;\n"
                       for way, direction in zip(("there", "back"), directions))
         for host, directions in (("phoenix", ("out", "in")), ("cardinal", ("in", "out")))}


def policies(host, verb="spdadd"):
    ways = {"there": ("out", "in"), "back": ("in", "out")}
    text = ""
    for port in PORTS:
        there, back = f"{PHOENIX[port]} {CARDINAL}[{port}] udp", f"{CARDINAL}[{port}] {PHOENIX[port]} udp"
        for selector, (at_phoenix, at_cardinal) in zip((there, back), ways.values()):
            direction = at_phoenix if host == "phoenix" else at_cardinal
            text += f"{verb} {selector} -P {direction} ipsec esp/transport//unique:{port};\n"
    return text


class Traffic:
    """Flows from phoenix to cardinal, and back what says how far they have come."""

    def __init__(self):
        self.wrong, self.carried = [], 0
        self.selector = selectors.DefaultSelector()
        with contextlib.ExitStack() as stack:
            stack.enter_context(inside("cardinal"))
            for port in PORTS:
                listener = self.socket((CARDINAL, port))
                self.selector.register(listener, selectors.EVENT_READ, self.arrived)
        self.flows = []
        with inside("phoenix"):
            for number, port in enumerate(itertools.chain(*[PORTS] * FLOWS_A_PORT)):
                sender = self.socket((PHOENIX[port], 0))
                sender.connect((CARDINAL, port))
                self.selector.register(sender, selectors.EVENT_READ, self.answered)
                self.flows.append({"socket": sender, "number": number, "sent": 0, "due": 0, "back": 0})

    @staticmethod
    def socket(address):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        s.bind(address)
        return s

    def check(self, flow, what, due, got):
        if got != due:
            self.wrong.append(f"flow {flow['number']} {what}: {got} where {due} was due, at {time.time():.3f}")

    def arrived(self, listener):
        data, source = listener.recvfrom(2048)
        number, got = struct.unpack_from("!II", data)
        flow = self.flows[number]
        self.check(flow, "there", flow["due"], got)
        flow["due"] = got + 1
        self.carried += 1
        listener.sendto(data[:8], source)

    def answered(self, sender):
        number, got = struct.unpack("!II", sender.recv(2048))
        flow = self.flows[number]
        self.check(flow, "back", flow["back"], got)
        flow["back"] = got + 1

    def fill(self, flow):
        while flow["sent"] - flow["back"] < WINDOW:
            size = SIZES[flow["sent"] % len(SIZES)]
            flow["socket"].send(struct.pack("!II", flow["number"], flow["sent"]).ljust(size, b"."))
            flow["sent"] += 1

    def run(self, more):
        """Until there is no more to wait for; what is still under way then is lost."""
        quiet = time.monotonic()
        while time.monotonic() - quiet < 3 and len(self.wrong) < 20:
            if more():
                for flow in self.flows:
                    self.fill(flow)
            elif all(flow["back"] == flow["sent"] for flow in self.flows):
                break
            for key, _ in self.selector.select(0.05):
                with contextlib.suppress(BlockingIOError):
                    for _ in range(WINDOW):
                        key.data(key.fileobj)
                        quiet = time.monotonic()
        for flow in self.flows:
            self.check(flow, "in all", flow["sent"], flow["back"])

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


class Changes(threading.Thread):
    """What administrators and key managers do, in rounds; whatever the flows need stays there."""

    def __init__(self, lab, more):
        super().__init__()
        self.lab, self.more, self.done, self.trouble = lab, more, 0, None

    def load(self, host, text, *options):
        self.lab.setkey(host, *options, "-c", input=text, build=BUILD_PLAIN)

    def both(self, text):
        for host in ("cardinal", "phoenix"):
            self.load(host, text if isinstance(text, str) else text(host))

    def strangers(self, number):
        """SAs and policies of nobody who is here come and go."""
        hosts = [f"203.0.113.{i}" for i in range(1, 60)]
        sas = [(f"{PHOENIX[PORTS[0]]} {host}", 500000 + i) for i, host in enumerate(hosts)]
        self.both("".join(f"add {ends} esp {n} -E aes-gcm-16 0x{'11' * 20};\n"
                          f"spdadd {ends} any -P out ipsec esp/transport//use;\n" for ends, n in sas))
        self.both("".join(f"delete {ends} esp {n};\nspddelete {ends} any -P out;\n" for ends, n in sas))

    def new_policies(self, number):
        """The flows' own policies are replaced by the same; a wider one comes and goes."""
        self.both(lambda host: policies(host, "spdupdate"))
        for text in ("spdadd 192.0.2.0/24 198.51.100.0/24 any -P out none;",
                     "spddelete 192.0.2.0/24 198.51.100.0/24 any -P out;"):
            self.load("phoenix", text)

    def new_keys(self, number):
        """Who receives has the new SA first and the old one last, some by transactions."""
        options = ["--atomic"] if number % 2 else []
        age = number % 900
        for way, sender, receiver in (("there", "phoenix", "cardinal"), ("back", "cardinal", "phoenix")):
            news = "".join(add(port, way, age + 1) for port in PORTS)
            olds = "".join(delete(port, way, age) for port in PORTS)
            self.load(receiver, news, *options)
            self.load(sender, olds + news if options else news + olds, *options)
            time.sleep(0.1)  # what the old ones protect arrives
            self.load(receiver, olds, *options)

    def tunables(self, number):
        for host in ("phoenix", "cardinal"):
            self.lab.sallyport(host, "sysctl", f"net.inet.ipsec.esp_randpad={number % 12 - 1}", build=BUILD_PLAIN)

    def looks(self, number):
        for host in ("phoenix", "cardinal"):
            self.lab.setkey(host, "-D", build=BUILD_PLAIN)
            self.lab.setkey(host, "-DP", build=BUILD_PLAIN)
            self.lab.sallyport(host, "stats", build=BUILD_PLAIN)

    def limits(self, number):
        """An SA of the flows is changed in place."""
        for port in PORTS:
            self.load("phoenix", f"update {ends(port, 'there')} esp {spi(port, 'there', number % 900 + 1)}"
                                 f" -lh 86400 -ls {80000 + number};")

    def run(self):
        try:
            for number in itertools.count():
                if not self.more():
                    return
                for change in (self.strangers, self.new_policies, self.new_keys, self.limits, self.tunables, self.looks):
                    change(number)
                    self.done += 1
        except AssertionError as error:
            self.trouble = error


def workers_of(daemon):
    """Its threads' directories in /proc, but for one that ThreadSanitizer may have made."""
    tasks = pathlib.Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return [task for task in tasks
            if task.name == str(daemon.process.pid) or (task / "comm").read_text().startswith("worker")]


def busy(daemon):
    """How many of its threads have worked, by the processor time that they took."""
    stats = [(task / "stat").read_text().rpartition(")")[2].split() for task in workers_of(daemon)]
    return sum(int(fields[11]) + int(fields[12]) > 5 for fields in stats)


@contextlib.contextmanager
def two_hosts(lab):
    """Daemons with several workers on both hosts, and what the flows need."""
    daemons = [lab.daemon(host, "--workers", WORKERS) for host in ("phoenix", "cardinal")]
    for host in ("phoenix", "cardinal"):
        sas = "".join(add(port, way, 0) for port in PORTS for way in ("there", "back"))
        lab.load(host, sas + policies(host))
    for address in PHOENIX.values():
        lab.run("phoenix", "ip", "address", "add", f"{address}/24", "dev", "eth0")
    lab.ping("phoenix", CARDINAL)
    yield daemons
    for daemon in daemons:
        daemon.stop()


def test_nothing_is_lost_or_overtaken_while_everything_changes(lab):
    with two_hosts(lab) as daemons:
        traffic = Traffic()
        traffic.run(iter([True, True, True, False, *[False] * 1000]).__next__)  # neighbours, routes
        until = time.monotonic() + SECONDS
        changes = Changes(lab, lambda: time.monotonic() < until)
        changes.start()
        traffic.run(changes.is_alive)
        changes.join()
        traffic.close()
        drops = {host: {name: n for name, n in lab.stats(host).items() if "drop" in name and n}
                 for host in ("phoenix", "cardinal")}
        threads = [busy(daemon) for daemon in daemons]
    print(f"figure: {traffic.carried} packets of {len(traffic.flows)} flows, {changes.done} changes, threads at work {threads}")
    assert changes.trouble is None, changes.trouble
    assert not traffic.wrong, f"{traffic.wrong}\n{drops}"
    assert changes.done >= 12 and traffic.carried > 5000
    assert min(threads) > 1, "one thread did all of it"


@pytest.mark.steering
def test_the_next_daemon_may_have_another_number_of_them(lab):
    """A killed daemon's devices are taken over, shut until there are policies."""
    text = "".join(add(port, way, 0) for port in PORTS for way in ("there", "back"))
    lab.run("phoenix", "ip", "address", "add", f"{PHOENIX[PORTS[0]]}/24", "dev", "eth0")

    def loss():
        said = lab.ping("phoenix", CARDINAL, "-I", PHOENIX[PORTS[0]], "-c", "2", "-i", "0.2", "-W", "1").stdout
        return re.search(r"(\d+)% packet loss", said)[1]

    cardinal = lab.daemon("cardinal", "--workers", 2)
    lab.load("cardinal", text + PLAIN["cardinal"])
    for workers in (3, 1, 2):
        daemon = lab.daemon("phoenix", "--workers", workers)
        assert len(workers_of(daemon)) == workers
        if workers != 3:
            assert "was killed" in daemon.text() and loss() == "100"
        lab.load("phoenix", text + PLAIN["phoenix"])
        wait_until(lambda: loss() == "0", 5, "answers")
        if workers != 2:
            daemon.kill()
    daemon.stop()
    cardinal.stop()
    assert loss() == "0"


def test_a_second_daemon_gets_no_queue_of_the_first(lab):
    """Not even with sockets and journals of its own, whatever their numbers of workers."""
    first = lab.daemon("phoenix", "--workers", 2)
    for workers in (1, 2, 3):
        second = lab.daemon("phoenix", "-s", "/run/other.sock", "--workers", workers, ready=False)
        assert second.process.wait(10) == 1
        assert "another sallyportd holds eth0" in second.text()
    lab.load("phoenix", f"spdadd {ADDRESS['phoenix'][4]} {CARDINAL} any -P out discard;")
    assert lab.mute("phoenix", CARDINAL)
    first.stop()


@pytest.mark.parametrize("number", ["0", "65", "two", ""])
def test_a_number_that_is_none(lab, number):
    daemon = lab.daemon("phoenix", "--workers", number, interface=None, ready=False)
    assert daemon.process.wait(10) == 1
    assert f"--workers {number}: it takes a number from 1 to 64" in daemon.text()
