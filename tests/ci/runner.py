"""A stand-in for GitHub's runner: executes the `run` steps of action.yml and of workflows, with its files and variables."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BASH = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]
TOKEN = re.compile(r"'(?:[^']|'')*'|\|\||&&|==|!=|[()]|[\w.-]+")


def steps(path, job=None):
    """The steps of an action, or of a workflow's job."""
    content = yaml.safe_load(Path(path).read_text("utf-8"))
    return content["jobs"][job]["steps"] if job else content["runs"]["steps"]


def expression(text, known):
    """The value of an expression of workflows: names, texts, ||, &&, == and !=. What is not known is empty."""
    words = TOKEN.findall(text)

    def value():
        word = words.pop(0)
        if word == "(":
            inner = either()
            words.pop(0)
            return inner
        if words and words[0] == "(":  # always()
            del words[:2]
            return True
        return word[1:-1] if word[0] == "'" else known.get(word, "")

    def equal():
        left = value()
        while words and words[0] in ("==", "!="):
            same = words.pop(0) == "=="
            left = (str(left) == str(value())) is same
        return left

    def both():
        left = equal()
        while words and words[0] == "&&":
            words.pop(0)
            right = equal()
            left = right if left else left
        return left

    def either():
        left = both()
        while words and words[0] == "||":
            words.pop(0)
            right = both()
            left = left or right
        return left

    return either()


@dataclass
class Runner:
    """One job: its folder, the values of its expressions, and the variables of its environment."""

    folder: Path
    known: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, Any] = field(default_factory=dict)
    """Steps that are not run here, by name: installations, and other people's actions. Called with the runner where not None."""
    done: list[tuple[str, subprocess.CompletedProcess[str]]] = field(default_factory=list)

    def __post_init__(self):
        self.temp, self.workspace = self.folder / "temp", self.folder / "workspace"
        self.known = {"runner.temp": str(self.temp), "runner.os": "Linux", "github.action_path": str(ROOT), **self.known}
        for place in (self.temp, self.workspace, self.folder / "home"):
            place.mkdir(parents=True, exist_ok=True)
        self.files = {name: self.folder / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH")}

    def run(self, all_steps):
        """Runs steps as the runner does: after a failure only those that say always(). Returns whether none failed."""
        sound = True
        for step in all_steps:
            condition = step.get("if", "")
            wanted = bool(expression(condition, self.known)) if condition else True
            if not wanted or not (sound or "always()" in condition):
                continue
            if "run" not in step or step["name"] in self.skipped:
                if stand_in := self.skipped.get(step["name"]):
                    stand_in(self)
                continue
            sound &= self._step(step)
        return sound

    def _step(self, step):
        assert "${{" not in step["run"], step["name"]
        environment = {name: self.filled(value) for name, value in step.get("env", {}).items()}
        self.files["GITHUB_OUTPUT"].write_text("")
        done = subprocess.run(
            [*BASH, step["run"]],
            cwd=self.filled(step.get("working-directory", str(self.workspace))),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "home"),
                "RUNNER_TEMP": str(self.temp),
                "GITHUB_WORKSPACE": str(self.workspace),
                "HF_HUB_OFFLINE": "1",
                "OMP_NUM_THREADS": "1",
                "LORASENT_DEVICE": "cpu",
                "GIT_CONFIG_GLOBAL": str(self.folder / "home" / ".gitconfig"),
                **{name: str(path) for name, path in self.files.items()},
                **self.environment,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        self.done.append((step["name"], done))
        if "id" in step:
            for line in self.files["GITHUB_OUTPUT"].read_text().splitlines():
                name, _, value = line.partition("=")
                self.known[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode == 0

    def filled(self, value):
        """A text with the values of its expressions."""
        return re.sub(r"\$\{\{(.+?)\}\}", lambda found: str(expression(found[1].strip(), self.known)), str(value))

    @property
    def log(self):
        """All that the steps printed."""
        return "".join(done.stdout + done.stderr for _, done in self.done)

    @property
    def summary(self):
        """What the job's page shows."""
        path = self.files["GITHUB_STEP_SUMMARY"]
        return path.read_text("utf-8") if path.exists() else ""


def make_python(runner):
    """In place of the installation: a Python of its own that finds this checkout, and what is installed where the tests run."""
    folder = runner.temp / "lorasent-python"
    venv.create(folder, with_pip=False)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    places = [str(ROOT), sysconfig.get_path("purelib")]
    (folder / "lib" / version / "site-packages" / "here.pth").write_text("\n".join(places))
