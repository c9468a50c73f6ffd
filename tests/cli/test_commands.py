"""What typer does for all commands: wrong usage, the version, completion by the shell."""

import subprocess
import sys

import pytest

import lorasent as package


def test_unknown_commands_and_options_exit_2(lorasent):
    """typer explains them."""
    assert lorasent("trian").returncode == 2
    assert lorasent("train", "--nonsense").returncode == 2


def test_the_version_is_the_packages(lorasent):
    """One line, and the code is 0."""
    assert lorasent("--version") == (0, f"lorasent {package.__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [("lorasent be", 1, ["benchmark"]), ("lorasent gate --verb", 2, ["--verbose"])],
    ids=["a command", "an option"],
)
def test_a_shell_completes(lorasent, monkeypatch, words, place, expected):
    """What bash asks is answered by a word a line, code 0 and silence: a message would stand in the prompt."""
    monkeypatch.setenv("_LORASENT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(place))
    done = lorasent()
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, expected, "")


def test_completion_is_shown_for_bash():
    """The script that bash reads is printed to a bash that asks for it, and bash can read it."""
    command = f"{sys.executable} -m lorasent.cli --show-completion"
    done = subprocess.run(["bash", "-c", f"{command}; echo code $?"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("code 0\n")
    script = done.stdout.removesuffix("code 0\n")
    assert "COMP_WORDS" in script
    assert done.stderr == ""
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_completion_imports_no_torch(lorasent, monkeypatch):
    """A prompt waits for it."""
    code = "import sys, lorasent.cli.commands; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
