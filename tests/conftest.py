"""Fixtures that all tests share: small bases, a small trained adapter, and the command line."""

import gc
import io
import os
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support import object_store
from tests.support.bases import make_base, write_small_recipe
from tests.support.model_hub import TOKEN, ModelHub, serving

# Claims about bits are the CPU's. A test that needs a GPU names it.
os.environ.setdefault("LORASENT_DEVICE", "cpu")

# The hub's client gives up at once, instead of asking for the address five times and waiting 23 seconds in all.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

pytest_plugins = ["pytester", "tests.benchmarks.plugin"]

# No deadline, because a busy machine is not a broken property. A failure prints the blob that repeats it.
settings.register_profile("lorasent", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lorasent")

# For mutation testing: every run has the same cases, and failures are not shrunk.
settings.register_profile(
    "mutants",
    settings.get_profile("lorasent"),
    derandomize=True,
    database=None,
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist, starts with the files whose slow tests may take longest, so that workers end together."""
    if not hasattr(config, "workerinput"):
        return
    longest: Counter[Path] = Counter()
    for item in items:
        if item.get_closest_marker("slow"):
            timeout = item.get_closest_marker("timeout")
            longest[item.path] += timeout.args[0] if timeout else 20  # seconds; most take less
    items.sort(key=lambda item: -longest[item.path])


def pytest_collection_finish() -> None:
    """Exempts all imported objects from garbage collection, which Trainer starts often."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test that needs a GPU, or oneDNN's packed products, where the machine has none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU: torch finds none")
    for precision in (argument for marker in item.iter_markers("onednn") for argument in marker.args):
        import torch

        from lorasent.unpadded import products

        if not products.available(torch.device("cpu"), getattr(torch, precision)):
            pytest.skip(f"needs oneDNN's products in {precision}: it is not there, is turned off, or has none")


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Returns a function that makes the small base of an architecture, once in a session."""
    made: dict[str, Path] = {}

    def base(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = make_base(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return base


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory, bases: Callable[[str], Path]) -> Path:
    """Returns a recipe that trains in a second: the small BERT, 24 embedded reviews, three epochs, with dropout."""
    return write_small_recipe(tmp_path_factory.mktemp("recipe"), bases("bert"))


@pytest.fixture(scope="session")
def small_adapter(tmp_path_factory: pytest.TempPathFactory, small_recipe: Path) -> Path:
    """Returns the adapter of the small recipe. A test that changes it makes a copy."""
    from lorasent import Recipe, train

    return train(Recipe.read(small_recipe), tmp_path_factory.mktemp("adapters") / "small").path


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of answers that no other test has."""
    monkeypatch.setenv("LORASENT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Returns the folder of real reviews; skips the test if LORASENT_DATA is not set."""
    folder = os.environ.get("LORASENT_DATA")
    if not folder:
        pytest.skip("real reviews: set LORASENT_DATA to a folder that holds them")
    return Path(folder)


class Done(NamedTuple):
    """The exit code and the output of a command."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def lorasent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line in this process, in an empty folder with an empty hub cache (sockets are blocked)."""
    from lorasent import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("LORASENT_BASE", "")  # --base adds to it

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr("sys.argv", ["lorasent", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        with pytest.raises(SystemExit, match=r"^\d+$") as left:
            cli.main()
        return Done(int(str(left.value)), *capfd.readouterr())

    return run


@pytest.fixture
def model_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub on this machine that takes models, and a token for it; large files go through Git LFS."""
    with serving() as hub:
        template = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of an empty bucket on a server on this machine that speaks S3."""
    pytest.importorskip("moto", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with object_store.serving() as url:
        yield url


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty store of MLflow, in files: a database takes seconds to make."""
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    before, store = mlflow.get_tracking_uri(), f"file:{tmp_path}/mlruns"
    mlflow.set_tracking_uri(store)
    yield store
    mlflow.set_tracking_uri(before)


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., Done]:
    """Runs the command line as a process, in an empty folder, offline; no file may grow beyond `largest_file` bytes."""

    def run(*arguments: object, largest_file: int | None = None) -> Done:
        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
        if largest_file is not None:  # coverage's data file would hit the limit first, and compiled modules would be truncated
            environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
            environment["PYTHONDONTWRITEBYTECODE"] = "1"

        done = subprocess.run(
            [sys.executable, "-m", "lorasent.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=300,
            check=False,
            preexec_fn=limit,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
