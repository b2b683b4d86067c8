"""What a kernel said that it should not have said."""

import re

# Seen without any of our doing, and why each is harmless.
KNOWN = [re.compile(pattern) for pattern in (
    # No hardware behind an emulated PC.
    r"RETBleed|Spectre|MDS|MMIO Stale|Speculative|Transient|ITS|VMSCAPE|TSA: |Vulnerable|SRBDS|GDS",
    r"^mtrr: |amd_pstate: |device-mapper: core: CONFIG_IMA_DISABLE_HTABLE",
    r"ACPI: .*(error|Error|warning)|acpi PNP|fail to add MMCONFIG|PCI: .*(Fatal|using)|pci \d+:.*quirk|piix4|i8042",
    r"platform regulatory|cfg80211|Direct firmware load|integrity: ",
    # The emulated clock stands still while the host does something else.
    r"clocksource|hrtimer: interrupt took|TSC |tsc: |sched_clock|rtc_cmos|x86/cpu|kvm-clock|APIC calibration",
    r"random: .* urandom|process '.*' launched .* with NULL argv",
    # virtio_net with fewer queues than processors: slower XDP_TX, which nobody uses here.
    r"XDP request \d+ queues but max is \d+",
    # The classic netdevs are TUN devices of a module built for the kernel that runs.
    r"systemd\[1\]:|systemd-journald|EXT4-fs|memfd_create\(\) .* without MFD",
    # Printed for a unit that asks for BPF before it may have it.
    r"bpf: .*lsm|capability: warning",
    r"You have booted with nomodeset|nvme|floppy|mem auto-init|Unstable clock|can't disable ASPM",
)]
BAD = re.compile(r"\bBUG:|\bOops\b|WARNING: |Kernel panic|general protection|Call Trace|unable to handle|"
                 r"hung task|blocked for more than|soft lockup|refcount_t:|use-after-free|UBSAN|KASAN|"
                 r"lockdep|possible recursive|Out of memory|segfault")
# Written while the host gives the emulator no processor; a real stall ends in a VM that hangs.
STARVED = re.compile(r"rcu_(sched|preempt|tasks).*(detected|stall|starved)|rcu: |sched: RT throttling")


def complaints(dmesg):
    """Lines of `dmesg --level emerg,alert,crit,err,warn` beyond the known ones, and every line of
    whatever level that tells of a fault."""
    found = []
    for line in dmesg.splitlines():
        text = re.sub(r"^\[ *[\d.]+\] ", "", line)
        if not text.strip() or STARVED.search(text):
            continue
        if BAD.search(text) or not any(known.search(text) for known in KNOWN):
            found.append(text)
    return found
