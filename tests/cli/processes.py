"""The command line as a process, and what it must have left."""

import os
import shutil
import subprocess
import sys


def one_line(done, message):
    """Asserts exit code 2, one line on standard error with the message, and nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("lorasent: ")
    assert message in line


def gate_arguments(folder, verdict, name="größe"):
    """The arguments of `gate` that give a verdict; the candidate's folder has this name."""
    candidate, baseline = {"PASS": ("sound", "sound"), "BLOCK": ("swapped", "sound"), "INVALID": ("sound", "swapped")}[verdict]
    link = folder / f"{name}-{verdict}"
    if not link.exists():
        shutil.copytree(folder / candidate, link)
    return ["gate", link, "--baseline", folder / baseline, "--policy", folder / "gate.toml"]


def start(folder, arguments, redirected="", **how):
    """Runs the command line as a process whose streams a shell redirects."""
    command = ["bash", "-c", f'"$@" {redirected}', "bash", sys.executable, "-m", "lorasent.cli", *map(os.fspath, arguments)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "LORASENT_CACHE": str(folder / "cache"), **how.pop("env", {})}
    return subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, check=False, timeout=300, **({"stdout": subprocess.PIPE} | how)
    )


def closed_pipe():
    """The write end of a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    return write
