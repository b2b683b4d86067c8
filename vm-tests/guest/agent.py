"""Inside a VM: runs what the host asks for. One JSON object a line each way; stub.py gives
`port` and what it had `received` already.

  {"id": N, "run": WORDS, "timeout": SECONDS}   -> {"id": N, "code": C, "out": TEXT, "err": TEXT}
  {"id": N, "write": PATH, "data": BASE64, "mode": M}  -> the same
  {"id": N, "signal": S, "of": M}               sends signal S to the process of request M
  {"id": N, "settle": {...}}                    after a restored snapshot: time, entropy, name, MACs
Requests run side by side, each in a thread and process group of its own. Output is bounded.
"""

import base64
import fcntl
import json
import os
import signal
import struct
import subprocess
import threading
import time

MOST = 2 << 20  # octets of output passed on
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207  # random(4)
running = {}
write_lock = threading.Lock()


def answer(number, code, out="", err=""):
    line = json.dumps({"id": number, "code": code, "out": out[-MOST:], "err": err[-MOST:]}) + "\n"
    data = line.encode()
    with write_lock:
        while data:
            data = data[port.write(data):]  # noqa: F821 - given by stub.py


def run(request):
    process = subprocess.Popen(request["run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, start_new_session=True, cwd="/",
                               env={**os.environ, "LC_ALL": "C.UTF-8", "HOME": "/root"})
    running[request["id"]] = process
    try:
        out, err = process.communicate(timeout=request["timeout"])
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        code = 124
    finally:
        del running[request["id"]]
    return code, out.decode(errors="replace"), err.decode(errors="replace")


def write(request):
    os.makedirs(os.path.dirname(request["write"]), exist_ok=True)
    with open(request["write"], "wb") as file:
        file.write(base64.b64decode(request["data"]))
    os.chmod(request["write"], request["mode"])
    return 0, "", ""


def send_signal(request):
    process = running.get(request["of"])
    if process is None:
        return 1, "", "it has ended"
    os.killpg(process.pid, request["signal"])
    return 0, "", ""


def settle(request):
    """A restored VM must not share its clock, its name or its random numbers with its twins."""
    told = request["settle"]
    time.clock_settime(time.CLOCK_REALTIME, told["time"])
    seed = base64.b64decode(told["entropy"])
    with open("/dev/urandom", "wb") as pool:
        fcntl.ioctl(pool, RNDADDENTROPY, struct.pack("ii", 8 * len(seed), len(seed)) + seed)
        fcntl.ioctl(pool, RNDRESEEDCRNG)
    with open("/proc/sys/kernel/hostname", "w", encoding="ascii") as file:
        file.write(told["name"])
    for index, address in enumerate(told["macs"]):
        subprocess.run(["ip", "link", "set", f"eth{index}", "address", address], check=True)
    return 0, "", ""


def serve(request):
    try:
        for verb, does in (("run", run), ("write", write), ("signal", send_signal),
                           ("settle", settle)):
            if verb in request:
                answer(request["id"], *does(request))
                return
        answer(request["id"], 2, "", "unknown request")
    except Exception as error:  # noqa: BLE001 - the host shall read what it was
        answer(request["id"], 255, "", f"agent: {type(error).__name__}: {error}")


def main(came):
    begun = []  # pieces of a line: one of some MB comes a page at a time
    while True:
        *lines, rest = came.split(b"\n")
        for line in lines:
            whole = b"".join([*begun, line])
            begun.clear()
            if whole:
                threading.Thread(target=serve, args=(json.loads(whole),), daemon=True).start()
        begun.append(rest)
        came = port.read(65536) or b""  # noqa: F821


main(received)  # noqa: F821
