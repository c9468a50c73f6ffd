"""Simulated hosts: network namespaces that reach each other, and this machine, over a bridge. They need root, and Linux."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator


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
def network(count: int) -> Iterator[tuple[str, list[str]]]:
    """This machine's address in a network, and the names of the hosts in it; afterwards they are gone. One network a process."""
    process = os.getpid()
    subnet, bridge, names = f"10.213.{process % 250}", f"lsb{process}", [f"lorasent-{process}-{number}" for number in range(count)]
    try:
        _ip(f"link add {bridge} type bridge")
        _ip(f"address add {subnet}.1/24 dev {bridge}")
        _ip(f"link set {bridge} up")
        for number, name in enumerate(names):
            _ip(f"netns add {name}")
            _ip(f"link add lsv{process}-{number} type veth peer name eth0 netns {name}")
            _ip(f"link set lsv{process}-{number} master {bridge} up")
            _ip(f"-n {name} address add {subnet}.{11 + number}/24 dev eth0")
            _ip(f"-n {name} link set eth0 up")
            _ip(f"-n {name} link set lo up")
        yield f"{subnet}.1", names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", bridge], check=False, capture_output=True)


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def command_on(host: str) -> list[str]:
    """What stands before a command that runs on a host, which has the name that it says of itself."""
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh"]
