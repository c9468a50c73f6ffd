"""The suite blocks network access, and an unknown marker is an error."""

import socket
import subprocess
import sys

import pytest
from pytest_socket import SocketConnectBlockedError

from tests.studies.planted import ROOT


def test_nothing_but_loopback_can_be_reached():
    """A connection to another machine is blocked before it is tried; one to this machine works."""
    refused = pytest.raises((SocketConnectBlockedError, UserWarning), match=r"A test tried to use socket\.socket\.connect")
    with socket.socket() as outside, refused:
        outside.connect(("192.0.2.1", 443))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as inside:
        assert inside.getpeername() == server.getsockname()


def test_an_unknown_marker_is_an_error(tmp_path):
    """This project's settings make a mistyped marker an error."""
    (tmp_path / "test_typo.py").write_text("import pytest\n\n@pytest.mark.slwo\ndef test(): pass\n")
    command = [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--noconftest", tmp_path / "test_typo.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "'slwo' not found in `markers` configuration option" in done.stdout
