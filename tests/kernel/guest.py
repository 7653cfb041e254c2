# SPDX-License-Identifier: BSD-2-Clause
"""A Linux kernel with IPsec, on a machine whose own may have none.

Debian's kernel runs under qemu, without KVM, on the files of this machine: the guest
mounts the root of the host read-only over 9p, and a directory for what it writes. So
every program of the host runs there, ours among them, and no image is built.

    result = Guest(work).run("ip -V", seconds=60)
    result.status, result.output, result.files["name"]

By hand, a script from standard input:

    tests/kernel/guest.py [SECONDS] < SCRIPT
"""

import ctypes
import dataclasses
import hashlib
import lzma
import os
import pathlib
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
QEMU, BUSYBOX = "qemu-system-x86_64", "/bin/busybox"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MEMORY_MB = 1024
SECONDS = 1100  # for a file of tests, in the background of others
DRIVERS = ("virtio_pci", "9pnet_virtio", "9p")  # what reaching the host's files takes
HOST, TREE, OUT = "host", "tree", "out"  # tags of the shares
OUT_DIR = "/run/out"  # in the guest
COVERED = ("run", "tmp")  # directories that are the guest's own
MOUNT_9P = "trans=virtio,version=9p2000.L,msize=262144"
PR_SET_PDEATHSIG = 1
INTERPRETER = b"/ld-linux"  # what a program names at its beginning that needs libraries


class Missing(Exception):
    """What this machine lacks for a guest."""


# Finding a kernel --------------------------------------------------------------------

def find_kernel():
    """(image, version) of the newest of Debian's kernels that is here with its modules."""
    def age(image):
        return [int(number) for number in re.findall(r"\d+", image.name)]
    images = [image for image in pathlib.Path("/boot").glob("vmlinuz-*-amd64")
              if (pathlib.Path("/lib/modules") / version_of(image) / "modules.dep").exists()]
    if not images:
        raise Missing("no /boot/vmlinuz-*-amd64 with its modules: the package linux-image-amd64")
    newest = max(images, key=age)
    if not os.access(newest, os.R_OK):
        raise Missing(f"{newest} is not ours to read")
    return newest, version_of(newest)


def version_of(image):
    return image.name.removeprefix("vmlinuz-")


def find_qemu():
    if not shutil.which(QEMU, path=PATH):
        raise Missing(f"no {QEMU}: the package qemu-system-x86")
    if not os.path.exists(BUSYBOX) or INTERPRETER in pathlib.Path(BUSYBOX).read_bytes()[:4096]:
        raise Missing(f"no {BUSYBOX} that stands alone: the package busybox-static")
    return shutil.which(QEMU, path=PATH)


# The first file system ---------------------------------------------------------------

def module_files(version):
    """The files of DRIVERS and of what they need, in the order in which they are loaded."""
    files = {}
    for driver in DRIVERS:
        listing = subprocess.run(["modprobe", "-S", version, "--show-depends", driver], text=True,
                                 env={"PATH": PATH}, stdout=subprocess.PIPE, check=True).stdout
        for line in listing.splitlines():
            action, _, path = line.strip().partition(" ")
            if action == "insmod":  # the others are `builtin`
                files[path.split()[0]] = None
    return [pathlib.Path(path) for path in files]


def read_module(path):
    """The module itself: newer releases of Debian compress them."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


# Loads the drivers, mounts the host's root and goes on there with the second stage.
INIT = """#!/bin/busybox sh
export PATH=/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in $(busybox cat /modules); do busybox insmod /lib/$module; done
busybox mount -t 9p -o {mount},ro,cache=loose {host} /root || busybox poweroff -f
second=$(busybox cat /second)
busybox mount -o move /proc /root/proc
busybox mount -o move /sys /root/sys
busybox mount -o move /dev /root/dev
exec busybox switch_root /root /bin/sh -c "$second"
"""

# On the host's files. The checkout comes again where the guest's own directories hide it.
SECOND = """
export PATH={path} HOME=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
for directory in {covered}; do mount -t tmpfs tmpfs /$directory; done
mkdir -p /run/netns {out}
mount -t 9p -o {mount} {tag} {out}
if [ ! -e {root}/tests/kernel/guest.py ]; then
    mkdir -p {root} && mount -t 9p -o {mount},ro,cache=loose {tree} {root}
fi
ip link set lo up
cd {root}
setsid sh {out}/job </dev/null >{out}/output 2>&1
echo $? >{out}/status
sync
echo o >/proc/sysrq-trigger
while :; do :; done
"""


def cpio(entries):
    """An archive in the kernel's format (newc) of (name, mode, data, device), the same for the same entries."""
    out = bytearray()
    for number, (name, mode, data, device) in enumerate([*entries, ("TRAILER!!!", 0, b"", (0, 0))], 1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initramfs(version):
    folder, program, plain = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
    none = (0, 0)
    names = {"host": HOST, "mount": MOUNT_9P}
    second = SECOND.format(path=PATH, covered=" ".join(COVERED), out=OUT_DIR, tag=OUT, mount=MOUNT_9P,
                           root=shlex.quote(str(ROOT)), tree=TREE)
    entries = [(name, folder, b"", none) for name in ("bin", "dev", "lib", "proc", "root", "sys")]
    entries.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    entries.append(("bin/busybox", program, pathlib.Path(BUSYBOX).read_bytes(), none))
    modules = module_files(version)
    entries += [(f"lib/{path.stem.removesuffix('.ko')}.ko", plain, read_module(path), none) for path in modules]
    entries.append(("modules", plain, "".join(f"{path.stem.removesuffix('.ko')}.ko\n" for path in modules).encode(),
                    none))
    entries.append(("second", plain, second.encode(), none))
    entries.append(("init", program, INIT.format(**names).encode(), none))
    return cpio(entries)


# Running -----------------------------------------------------------------------------

@dataclasses.dataclass
class Result:
    status: int  # of the job; 124 when its time was up
    output: str
    console: str  # what the kernel said
    directory: pathlib.Path  # what the job left in $OUT

    @property
    def files(self):
        return {path.name: path for path in self.directory.iterdir()}


def die_with_parent():
    """A qemu does not outlive who started it, however that one ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Guest:
    """What starts kernels. `work` keeps the initramfs, and of the last run what it left."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.qemu = find_qemu()
        self.image, self.version = find_kernel()

    def initramfs(self):
        """Made where it is not there yet; its name tells what it was made for."""
        made_of = (self.version, INIT, SECOND, str(ROOT), os.stat(BUSYBOX).st_mtime_ns, self.image.stat().st_mtime_ns,
                   pathlib.Path(__file__).read_bytes())
        path = self.work / f"initramfs-{self.version}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]}"
        if not path.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            for old in self.work.glob("initramfs-*"):
                old.unlink()
            path.with_suffix(".new").write_bytes(initramfs(self.version))
            path.with_suffix(".new").rename(path)
        return path

    def run(self, job, seconds, files=()):
        """Boots, runs a shell script as root, and powers off.

        In the directory $OUT it finds `files`, (name, text) each, and leaves files of its own."""
        out = self.work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        for name, text in [("job", f"export OUT={OUT_DIR}\n{job}\n"), *files]:
            (out / name).write_text(text)

        def share(path, tag, *options):
            escaped = str(path).replace(",", ",,")
            return ["-virtfs", ",".join(["local", f"path={escaped}", f"mount_tag={tag}", "security_model=none",
                                         *options])]
        # One processor: two cost more than they bring, and packets put on a cable from both overtake each other.
        command = [
            self.qemu, "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", "1", "-m", str(MEMORY_MB),
            "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-kernel", self.image, "-initrd", self.initramfs(),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on",
            *share("/", HOST, "readonly=on", "multidevs=remap"),
            *share(ROOT, TREE, "readonly=on", "multidevs=remap"),
            *share(out, OUT)]
        with open(self.work / "console", "wb") as console:
            qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
                                    preexec_fn=die_with_parent)
            try:
                ended = qemu.wait(seconds)
            except subprocess.TimeoutExpired:
                ended = None
            finally:
                if qemu.poll() is None:
                    qemu.kill()
                    qemu.wait()
        said = (self.work / "console").read_text(errors="replace")
        output = (out / "output").read_text(errors="replace") if (out / "output").exists() else ""
        if ended is None:
            return Result(124, f"{output}\nstopped after {seconds} s\n", said, out)
        if not (out / "status").exists():
            return Result(1, f"{output}\nthe guest ended without a word\n", said, out)
        return Result(int((out / "status").read_text()), output, said, out)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 120
    try:
        with tempfile.TemporaryDirectory(prefix="sallyport-guest-") as work:
            result = Guest(work).run(sys.stdin.read(), seconds)
            print(result.output, end="")
            if result.status:
                print(f"exit status {result.status}\n{result.console}", file=sys.stderr)
            return result.status
    except Missing as error:
        sys.exit(f"guest.py: {error}")


if __name__ == "__main__":
    sys.exit(main())
