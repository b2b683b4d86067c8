"""`ciped-cb` of the package, typed as in 1999, with the independent model of protocol 3 on another machine."""

import json
import pathlib
import time

from channel import VmError
from sites import address, expect

MODEL = pathlib.Path(__file__).resolve().parents[2] / "tests/classic"
PARTS = ("live_model_peer.py", "classic_ciphers.py", "classic_hostile.py", "classic_link.py", "classic_wire.py")
KEY = "101112131415161718191a1b1c1d1e1f"
A, B = "192.0.2.1:6789", "192.0.2.2:6543"
INNER_A, INNER_B = "10.0.1.1", "10.0.1.2"
REKEY = 2  # seconds
PINGS = 60


class Model:
    """tests/classic/live_model_peer.py in a VM; it reads a FIFO and answers into a file, line by line."""

    def __init__(self, host):
        self._host, self._answers = host, 0
        for part in PARTS:
            host.put_file(f"/root/model/{part}", MODEL / part)
        host.run("mkfifo /run/model.in && : > /run/model.out")
        host.start(f"exec python3 /root/model/live_model_peer.py --bind {B} --peer {A} --key {KEY} --inner {INNER_B} "
                   f"--other {INNER_A} --tokxc 1 <>/run/model.in >/run/model.out 2>/run/model.err", 500)
        self._answer()

    def _answer(self):
        self._answers += 1
        self._host.wait_for(f"[ $(wc -l < /run/model.out) -ge {self._answers} ]", 40,
                            "the model answers: $(cat /run/model.err)")
        return json.loads(self._host.machine.run(f"sed -n {self._answers}p /run/model.out").out)

    def do(self, what, **arguments):
        """The model's state after it."""
        line = json.dumps({"do": what, **arguments})
        self._host.run(f"echo '{line}' > /run/model.in")
        return self._answer()

    def until(self, condition, what, seconds=60):
        ends = time.monotonic() + seconds
        while not condition(state := self.do("state")):
            if time.monotonic() > ends:
                raise VmError(f"the model waited {seconds} s for {what}: {state}")
            time.sleep(0.5)
        return state


def tunnel_of(host):
    tunnel, = json.loads(host.run("cipectl show tunnels -j"))["tunnels"]
    return tunnel


def with_the_model(lab):
    """Keys, data both ways, new keys every two seconds while data flows, and marked as what it is."""
    a, b = lab.host("site-a"), lab.host("site-b")
    lab.wire("carrier", (a, 0), (b, 0))
    lab.boot()
    address(a, 0, "192.0.2.1/24")
    address(b, 0, "192.0.2.2/24")
    model = Model(b)
    a.put("/etc/cipe/options", f"key {KEY}\n", 0o600)
    code, said = a.code(f"ciped-cb me={A} peer={B} ipaddr={INNER_A} ptpaddr={INNER_B} tokxc=1 tokey={REKEY}", 90)
    expect(code == 0, f"ciped-cb: exit {code}: {said}")
    expect("insecure" in said.lower(), f"ciped-cb does not warn: {said}")
    a.wait_for(f"ping -n -q -c 3 -i 0.3 -w 5 {INNER_B}", 60, "the model answers ping")
    state = model.until(lambda now: now["sending"] and now["receiving"], "keys of both directions")
    keys = state["events"].get("receiving key", 0)
    # Ours and the model's at once, over several keys.
    pings = a.start(f"ping -n -q -c {PINGS} -i 0.2 -W 10 {INNER_B}", 120)
    model.do("ping", count=PINGS, interval=0.2)
    said = pings.wait()
    expect(f" {PINGS} received" in said, f"pings to the model: {said}")
    state = model.until(lambda now: now["echo"]["answered"] >= PINGS, f"answers to {PINGS} pings")
    new = state["events"].get("receiving key", 0) - keys
    expect(new >= 3, f"{new} new keys in {PINGS * 0.2:.0f} s, tokey is {REKEY}: {state}")
    expect(not state["complaints"], f"the model complains: {state['complaints']}")
    expect(state["events"].get("in dynamic DATA", 0) >= PINGS, f"no data under dynamic keys: {state}")
    expect(not state["events"].get("in static DATA"), f"data under the static key: {state}")
    tunnel = tunnel_of(a)
    expect(tunnel["insecure"] and tunnel["protocol"] == 3, f"not marked as insecure: {tunnel}")
    shown = a.run("cipectl show tunnels")
    expect("INSECURE" in shown, f"`cipectl show` does not say it: {shown}")
    a.run(f"cipectl down {tunnel['name']}", 60)
    expect(a.code(f"ip link show {tunnel['name']}")[0] != 0, "the netdev stays after `down`")


CASES = {"with-the-model": with_the_model}
