"""The gate under pytest: a policy is a file of tests, and each of its checks is a test.

`pytest gate.toml --gate-candidate=DIR --gate-baseline=DIR` collects a policy. Here stands only what every run of pytest needs.
"""

from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from lorasent.pytest_plugin.options import add_used_options

CANDIDATE = {"dest": "gate_candidate", "metavar": "DIR", "help": "the adapter that a policy (pytest gate.toml) judges"}
BASELINE = {
    "dest": "gate_baseline",
    "metavar": "DIR",
    "action": "append",
    "help": "its baseline; several: a bank; none: a first adapter",
}
CANDIDATE_PREDICTIONS = {
    "dest": "gate_candidate_predictions",
    "metavar": "FILE",
    "help": "predictions of another system to judge, in place of an adapter",
}
BASELINE_PREDICTIONS = {
    "dest": "gate_baseline_predictions",
    "metavar": "FILE",
    "action": "append",
    "help": "predictions of another system as a baseline, behind those of --gate-baseline",
}
CANDIDATE_IDENTITY = {"dest": "gate_candidate_identity", "metavar": "NAME", "help": "the system that made them, if they do not say"}
BASELINE_IDENTITY = {
    "dest": "gate_baseline_identity",
    "metavar": "NAME",
    "action": "append",
    "help": "likewise, in the order of --gate-baseline-predictions",
}
LABELS = {"dest": "gate_labels", "metavar": "A,B", "help": "labels of predictions, if nothing else names them"}
DATA = {"dest": "gate_data", "metavar": "SRC", "help": "a source of labelled reviews, instead of the policy's"}
WAIVERS = {"dest": "gate_waivers", "metavar": "FILE", "help": "known regressions that do not decide, a TOML file"}
REPORT_TO = {
    "dest": "gate_report_to",
    "metavar": "NAME",
    "action": "append",
    "help": "a tracker to report the verdict to: mlflow, wandb or tensorboard",
}
REPORT = {"dest": "gate_report", "metavar": "FILE", "help": "HTML page to write of its verdict; of a further policy: FILE-2, ..."}
QUIET = {"dest": "gate_quiet", "action": "store_true", "help": "show the line of a policy's verdict alone"}
VERBOSE = {"dest": "gate_verbose", "action": "store_true", "help": "show every finding of a policy with its figures"}
BENCHMARK = {
    "dest": "gate_benchmark",
    "action": "store_true",
    "help": "measure the candidate's speed, beside its baseline, once it is judged; fails where it is slower",
}
OPTIONS = {
    "--gate-candidate": CANDIDATE,
    "--gate-baseline": BASELINE,
    "--gate-candidate-predictions": CANDIDATE_PREDICTIONS,
    "--gate-baseline-predictions": BASELINE_PREDICTIONS,
    "--gate-candidate-identity": CANDIDATE_IDENTITY,
    "--gate-baseline-identity": BASELINE_IDENTITY,
    "--gate-labels": LABELS,
    "--gate-data": DATA,
    "--gate-waivers": WAIVERS,
    "--gate-report-to": REPORT_TO,
    "--gate-report": REPORT,
    "--gate-quiet": QUIET,
    "--gate-verbose": VERBOSE,
    "--gate-benchmark": BENCHMARK,
}
ADAPTERS = {"--candidate": CANDIDATE, "--baseline": BASELINE}
SHORT = {**ADAPTERS, "--benchmark": BENCHMARK}


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config, parser: pytest.Parser, args: list[str]) -> Generator[None, Any, Any]:
    """Adds the options that begin with --gate-; also --candidate, --baseline and --benchmark if a policy is named."""
    words = {word.partition("=")[0] for word in args}
    policies = [path for path in early_config.known_args_namespace.file_or_dir if _suffix(path) == ".toml"]
    named = policies or words & OPTIONS.keys() or words >= ADAPTERS.keys()
    return (yield from add_used_options(early_config, parser, args, {**OPTIONS, **(SHORT if named else {})}))


def pytest_configure(config: pytest.Config) -> None:
    """Registers the hooks that judge policies, if the run names a candidate or a baseline."""
    if _names_adapters(config):
        config.pluginmanager.import_plugin("lorasent.pytest_plugin.policies")
        if config.getoption("gate_report_to", None):
            config.pluginmanager.import_plugin("lorasent.pytest_plugin.reporting")
        if config.getoption("gate_benchmark", default=False) and not hasattr(config, "workerinput"):
            config.pluginmanager.import_plugin("lorasent.pytest_plugin.benchmarking")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects a policy that is named by its path, or called gate*.toml in a folder if the run names a candidate."""
    config = parent.config
    paths = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args if _suffix(argument)]
    named, judged = file_path.resolve() in [path.resolve() for path in paths], _names_adapters(config)
    if file_path.suffix.lower() != ".toml" or not (named or (judged and fnmatch(file_path.name, "gate*.toml"))):
        return None
    from lorasent.pytest_plugin.policies import PolicyFile, is_policy

    return PolicyFile.from_parent(parent, path=file_path) if judged or is_policy(file_path) else None


def _names_adapters(config: pytest.Config) -> bool:
    subjects = (*ADAPTERS.values(), CANDIDATE_PREDICTIONS, BASELINE_PREDICTIONS)
    return any(config.getoption(str(option["dest"]), None) is not None for option in subjects)


def _suffix(argument: str) -> str:
    return Path(argument.partition("::")[0]).suffix.lower()
