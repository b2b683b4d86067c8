"""The root file system and the kernels of the VMs, made of Debian packages, kept in build/vm/.

Nothing is installed on the host. Root and others go the same way: mmdebstrap unpacks (others: in a user
namespace of theirs), fakeroot keeps the owners while mke2fs fills the disk image.
"""

import hashlib
import io
import lzma
import os
import pathlib
import shutil
import subprocess

from channel import VmError

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / "build/vm"
STUB = ROOT / "vm-tests/guest/stub.py"
# Kernel series -> the meta package whose newest version is taken.
KERNELS = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}
PACKAGES = """
  apt bpftool bzip2 conntrack dbus ethtool iperf3 iproute2 iputils-ping kmod nftables procps
  python3 python3-cryptography strace systemd systemd-sysv tcpdump udev busybox-static
""".split()
DISK = "3G"  # sparse
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
UNIT = """[Unit]
Description=What the test harness talks to
DefaultDependencies=no
After=systemd-udevd.service local-fs.target
Wants=dev-virtio\\x2dports-cipe.0.device
After=dev-virtio\\x2dports-cipe.0.device
[Service]
ExecStart=/usr/bin/python3 /usr/lib/cipe-vm/stub.py
# A test that fills memory must not take the harness away.
OOMScoreAdjust=-1000
KillMode=process
[Install]
WantedBy=multi-user.target
"""
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod $module; done
tries=0
until [ -b /dev/vda ] || [ $tries = 200 ]; do /bin/busybox sleep 0.05; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o noatime /dev/vda /root || exec /bin/busybox sh
/bin/busybox mount -o move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""
# Runs in mmdebstrap's new root: kernels without the packages they would want installed.
KERNEL_HOOK = """set -e
for meta in {metas}; do
  image=$(chroot "$1" apt-cache depends $meta | sed -n 's/^  Depends: \\(linux-image-[^ ]*\\)$/\\1/p' | head -n 1)
  chroot "$1" sh -c "cd /tmp && apt-get download -qq -o APT::Sandbox::User=root $image && dpkg-deb -x $image*.deb kernel && mkdir -p /usr/lib/modules && cp -a kernel/lib/modules/. /usr/lib/modules/ && cp -a kernel/boot/. /boot/ && rm -r kernel $image*.deb"
done
for modules in "$1"/lib/modules/*; do chroot "$1" depmod "${{modules##*/}}"; done
"""
CUSTOMIZE = """set -e
mkdir -p "$1/usr/lib/cipe-vm"
cp "$CIPE_VM_STUB" "$1/usr/lib/cipe-vm/stub.py"
cp "$CIPE_VM_UNIT" "$1/etc/systemd/system/cipe-vm.service"
mkdir -p "$1/etc/systemd/system/multi-user.target.wants"
ln -s ../cipe-vm.service "$1/etc/systemd/system/multi-user.target.wants/"
# Nobody logs in, nothing is upgraded behind the tests' back.
for unit in getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-timesyncd.service systemd-networkd-wait-online.service; do
  ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
mkdir -p "$1/etc/systemd/system/serial-getty@ttyS0.service.d"
ln -sf /dev/null "$1/etc/systemd/system/serial-getty@ttyS0.service"
chroot "$1" passwd -d root >/dev/null
echo 0123456789abcdef0123456789abcdef > "$1/etc/machine-id"
printf '[Journal]\\nStorage=persistent\\nRateLimitIntervalSec=0\\n' > "$1/etc/systemd/journald.conf"
"""


def digest(*parts):
    made = hashlib.sha256()
    for part in parts:
        made.update(part if isinstance(part, bytes) else str(part).encode())
        made.update(b"\0")
    return made.hexdigest()[:16]


def sources():
    """Where the host has its Debian packages from, as arguments of mmdebstrap."""
    files = [pathlib.Path("/etc/apt/sources.list"),
             *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("debian*"))]
    found = [str(path) for path in files if path.exists() and "bookworm" in path.read_text()]
    return found or ["http://deb.debian.org/debian"]


def run(words, log, what, **options):
    with open(log, "ab") as file:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=file,
                              stderr=subprocess.STDOUT, check=False, **options)
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise VmError(f"{what}: exit {done.returncode}; the end of {log}:\n{tail}")


class Image:
    """root.raw, and for each kernel vmlinuz-SERIES and initrd-SERIES.img, in `directory`."""

    def __init__(self, depends):
        """`depends`: names of the packages that the package under test needs."""
        packages = sorted({*PACKAGES, *depends})
        self._packages = packages
        self.key = digest(*packages, STUB.read_bytes(), UNIT, INIT, KERNEL_HOOK, CUSTOMIZE, DISK)
        self.directory = CACHE / f"image-{self.key}"
        self.disk = self.directory / "root.raw"

    def kernel(self, series):
        return self.directory / f"vmlinuz-{series}"

    def initrd(self, series):
        return self.directory / f"initrd-{series}.img"

    def make(self, say):
        """Once; later calls find it in the cache."""
        if (self.directory / "complete").exists():
            return
        for old in CACHE.glob("image-*"):  # of other package lists
            shutil.rmtree(old, ignore_errors=True)
        self.directory.mkdir(parents=True)
        say(f"making the root file system of {len(self._packages)} packages and {len(KERNELS)} "
            "kernels, once")
        log = self.directory / "make.log"
        (self.directory / "unit").write_text(UNIT)
        hook = KERNEL_HOOK.format(metas=" ".join(KERNELS.values()))
        tar = self.directory / "root.tar"
        run(["mmdebstrap", "--variant=minbase",
             "--mode=" + ("root" if os.geteuid() == 0 else "unshare"),
             f"--include={','.join(self._packages)}",
             "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
             "--dpkgopt=path-exclude=/usr/share/locale/*",
             # Kept for `apt install ./cipe_*.deb`, which asks them for its dependencies.
             "--skip=cleanup/apt/lists",
             f"--customize-hook={hook}", f"--customize-hook={CUSTOMIZE}",
             "bookworm", str(tar), *sources()], log, "mmdebstrap", timeout=1500,
            env={**os.environ, "CIPE_VM_STUB": str(STUB),
                 "CIPE_VM_UNIT": str(self.directory / "unit")})
        tree = self.directory / "tree"
        tree.mkdir()
        # The image and what is read out of it in one session of fakeroot, which forgets the owners.
        run(["fakeroot", "sh", "-ec",
             'tar --exclude ./dev/\\* -xf "$1" -C "$2"; chmod -R u+rwX "$2"; '
             'mke2fs -q -t ext4 -O ^metadata_csum_seed -d "$2" "$3" "$4"',
             "sh", str(tar), str(tree), str(self.disk), DISK], log, "making the disk", timeout=600)
        for series in KERNELS:
            self._make_kernel(tree, series, log)
        tar.unlink()
        shutil.rmtree(tree)
        (self.directory / "complete").touch()

    def _make_kernel(self, tree, series, log):
        releases = [path.name for path in (tree / "lib/modules").iterdir()
                    if path.name.startswith(series + ".")]
        if len(releases) != 1:
            raise VmError(f"kernels of series {series} in the root file system: {releases}")
        release = releases[0]
        shutil.copy(tree / f"boot/vmlinuz-{release}", self.kernel(series))
        initrd = self.directory / f"initrd-{series}"
        (initrd / "bin").mkdir(parents=True)
        (initrd / "modules").mkdir()
        shutil.copy(tree / "bin/busybox", initrd / "bin/busybox")
        for number, path in enumerate(boot_modules(tree, release)):
            data = path.read_bytes()
            if path.suffix == ".xz":
                data = lzma.open(io.BytesIO(data)).read()
            (initrd / f"modules/{number:02}-{path.name.split('.')[0]}.ko").write_bytes(data)
        (initrd / "init").write_text(INIT)
        (initrd / "init").chmod(0o755)
        run(["sh", "-ec", 'cd "$1"; find . | cpio --quiet -o -H newc -R 0:0 | gzip -1 > "$2"', "sh",
             str(initrd), str(self.initrd(series))], log, "making the initramfs", timeout=60)
        shutil.rmtree(initrd)


def boot_modules(tree, release):
    """Paths of what must be loaded before the root file system, in order."""
    found = []
    for module in BOOT_MODULES:
        done = subprocess.run(
            ["/sbin/modprobe", "--show-depends", "-S", release, "-d", str(tree), module],
            capture_output=True, text=True, check=False, timeout=30)
        if done.returncode != 0:
            raise VmError(f"kernel {release} has no {module}: {done.stderr.strip()}")
        found += [pathlib.Path(line.split()[1]) for line in done.stdout.splitlines()
                  if line.startswith("insmod")]
    return list(dict.fromkeys(found))
