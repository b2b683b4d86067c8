"""Has another process make one system call, as if whoever owned it had wanted it.

  inject.py PID NAME

Stops the process's first thread (ptrace(2), x86-64), sets its registers to the call, makes it do one step, reads
the result and puts everything back. Prints one JSON object: {"result": N} (an error is negative) or {"killed": SIGNAL}.
"""

import ctypes
import errno
import json
import os
import signal
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
STEP, ATTACH, DETACH, CONT, GETREGS, SETREGS = 9, 16, 17, 7, 12, 13
# struct user_regs_struct, sys/user.h
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
         "fs_base gs_base ds es fs gs").split()
AT_FDCWD, SELF = -100, None
TEXT = "text"  # stands for the address of the text, below
# Number (asm/unistd_64.h), arguments, text that is put into the process's memory.
CALLS = {
    "getuid": (102, (), b""),
    "execve": (59, (TEXT, 0, 0), b"/bin/sh"),
    "fork": (57, (), b""),
    "socket": (41, (2, 1, 0), b""),
    "socket_netlink": (41, (16, 3, 0), b""),
    "ptrace": (101, (16, 1, 0, 0), b""),
    "mount": (165, (TEXT, TEXT, TEXT, 0, 0), b"proc"),
    "setuid": (105, (0,), b""),
    "unshare": (272, (0x10000000,), b""),  # CLONE_NEWUSER
    "io_uring_setup": (425, (4, TEXT), bytes(120)),
    "openat": (257, (AT_FDCWD, TEXT, 0, 0), b"/etc/shadow"),
    "open_root": (257, (AT_FDCWD, TEXT, 0o200000, 0), b"/"),  # O_DIRECTORY
    "creat": (85, (TEXT, 0o644), b"/left-behind"),
    "mkdir": (83, (TEXT, 0o755), b"/left-behind"),
    "unlink": (87, (TEXT,), b"/etc/passwd"),
    "kill_broker": (62, (SELF, 9), b""),
    "kill_init": (62, (1, 9), b""),
    "bpf_program": (321, (5, TEXT, 128), bytes(128)),
    "bpf_map": (321, (0, TEXT, 72), struct.pack("<IIII", 2, 4, 4, 1) + bytes(56)),
    "map_executable": (9, (0, 4096, 7, 0x22, -1, 0), b""),
    "attach_filter": (54, (3, 1, 26, TEXT, 16), bytes(16)),  # SO_ATTACH_FILTER
    "ioctl": (16, (3, 0x8912, TEXT), bytes(64)),  # SIOCGIFCONF
    "prctl_dumpable": (157, (4, 1, 0, 0, 0), b""),
}


def ptrace(what, thread, address=0, data=0):
    ctypes.set_errno(0)
    result = libc.ptrace(what, thread, address, data)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {what}: {os.strerror(ctypes.get_errno())}")
    return result


class Gone(Exception):
    """The process was ended by a signal."""


def await_stop(thread):
    """The signal it stopped with."""
    _, status = os.waitpid(thread, 0x40000000)  # __WALL
    if os.WIFSIGNALED(status) or os.WIFEXITED(status):
        raise Gone(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    return os.WSTOPSIG(status)


def get_registers(thread):
    buffer = ctypes.create_string_buffer(8 * len(NAMES))
    ptrace(GETREGS, thread, 0, ctypes.addressof(buffer))
    return dict(zip(NAMES, struct.unpack(f"<{len(NAMES)}Q", buffer.raw)))


def set_registers(thread, values):
    packed = struct.pack(f"<{len(NAMES)}Q", *(values[name] & (1 << 64) - 1 for name in NAMES))
    buffer = ctypes.create_string_buffer(packed, len(packed))
    ptrace(SETREGS, thread, 0, ctypes.addressof(buffer))


def find_syscall(memory, rip):
    """Address of a `syscall` instruction: the one the thread waits in."""
    if memory_at(memory, rip - 2, 2) == b"\x0f\x05":
        return rip - 2
    raise SystemExit(f"the thread does not wait in a system call: {memory_at(memory, rip - 2, 2).hex()}")


def memory_at(memory, address, size):
    memory.seek(address)
    return memory.read(size)


def inject(process, name):
    number, arguments, text = CALLS[name]
    parent = int(open(f"/proc/{process}/stat", encoding="ascii").read().rpartition(")")[2].split()[1])
    ptrace(ATTACH, process)
    await_stop(process)
    try:
        before = get_registers(process)
        with open(f"/proc/{process}/mem", "r+b", buffering=0) as memory:
            call = find_syscall(memory, before["rip"])
            place = (before["rsp"] - 8192) & ~15  # below what the stack is used for
            saved = memory_at(memory, place, 256)
            memory.seek(place)
            memory.write((text + b"\0").ljust(256, b"\0"))
            values = [parent if value is SELF else place if value is TEXT else value for value in arguments]
            values += [0] * (6 - len(values))
            registers = dict(before, rax=number, orig_rax=-1, rip=call,
                             **dict(zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values)))
            set_registers(process, registers)
            stopped = signal.SIGSTOP
            passed = 0
            while stopped != signal.SIGTRAP:
                ptrace(STEP, process, 0, passed)
                stopped = await_stop(process)
                passed = stopped if stopped == signal.SIGSYS else 0
            result = ctypes.c_int64(get_registers(process)["rax"]).value
            memory.seek(place)
            memory.write(saved)
        set_registers(process, before)
    except Gone as gone:
        return {"killed": signal.Signals(gone.args[0]).name if gone.args[0] else "exit"}
    ptrace(DETACH, process)
    return {"result": result, "error": errno.errorcode.get(-result, "") if result < 0 else ""}


print(json.dumps(inject(int(sys.argv[1]), sys.argv[2])))
