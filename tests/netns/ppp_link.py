"""A wire without Ethernet between two namespaces: two TUN devices, joined by a process that carries
packets from one to the other. Stands for PPP, which the machine may lack.

  ppp_link.py DEVICE NAMESPACE NAMESPACE
"""

import ctypes
import fcntl
import os
import select
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
CLONE_NEWNET = 0x40000000


def open_tun(namespace, name):
    with open(f"/run/netns/{namespace}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def main():
    name, *namespaces = sys.argv[1:]
    one, two = (open_tun(namespace, name) for namespace in namespaces)
    print("ready", flush=True)
    other = {one: two, two: one}
    while True:
        for tun in select.select([one, two], [], [])[0]:
            try:
                for _ in range(64):
                    os.write(other[tun], os.read(tun, 65536))
            except BlockingIOError:
                pass
            except OSError:  # the other end is down
                continue


if __name__ == "__main__":
    main()
