"""The package from outside: its public names, and what it does not import."""

import subprocess
import sys

import pytest

import lorasent


def test_the_public_names():
    """These and no others; each can be had."""
    assert sorted(lorasent.__all__) == [
        "Figures",
        "LorasentError",
        "Policy",
        "Prediction",
        "Recipe",
        "Reviews",
        "Scorer",
        "Trained",
        "Verdict",
        "evaluate",
        "judge",
        "load",
        "read",
        "train",
    ]
    assert all(getattr(lorasent, name) for name in dir(lorasent))
    with pytest.raises(AttributeError, match=r"module 'lorasent' has no attribute 'guess'"):
        _ = lorasent.guess


@pytest.mark.parametrize(
    "code", ["import lorasent", "from lorasent.cli import main; import sys; sys.argv = ['lorasent', '--help']; main()"]
)
def test_torch_is_not_imported(code):
    """Neither `import lorasent` nor `lorasent --help` waits for torch."""
    report = "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    check = f"import atexit, sys; atexit.register(lambda: {report}); {code}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
