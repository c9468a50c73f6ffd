"""Simulated hosts: network namespaces that reach each other, and this machine, over a bridge. They need root, and Linux."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

ADDRESS = "10.213.77"
"""The network of the bridge, /24; this machine is 1 in it, hosts are numbered from 11."""


def missing() -> str | None:
    """Why no hosts can be simulated here, or None."""
    if os.getuid() != 0:
        return "needs root, to make network namespaces"
    if absent := [program for program in ("ip", "unshare") if not shutil.which(program)]:
        return f"needs the program {absent[0]}: apt-get install iproute2 util-linux"
    with contextlib.suppress(subprocess.CalledProcessError), network(1):
        return None
    return "needs the right to make network namespaces and bridges"


@contextlib.contextmanager
def network(count: int) -> Iterator[list[str]]:
    """The names of hosts that are simulated; afterwards they are gone. One network at a time."""
    names = [f"lorasent-{number}" for number in range(count)]
    bridge = "lorasent-br"
    try:
        _ip(f"link add {bridge} type bridge")
        _ip(f"address add {ADDRESS}.1/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        for number, name in enumerate(names):
            _ip(f"netns add {name}")
            _ip(f"link add lsent-{number} type veth peer name eth0 netns {name}")
            _ip(f"link set lsent-{number} master {bridge} up")
            _ip(f"-n {name} address add {ADDRESS}.{11 + number}/24 dev eth0")
            _ip(f"-n {name} link set eth0 up")
            _ip(f"-n {name} link set lo up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def command_on(host: str) -> list[str]:
    """What stands before a command that runs on a host, which has the name that it says of itself."""
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh"]
