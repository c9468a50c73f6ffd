"""Options of pytest that are added only if the command line has them and no other plugin knows them.

pytest refuses two options of the same name, and calls plugins before any conftest. So lorasent adds no option at first. When the
project's plugins and conftests have added theirs, it adds its own that would otherwise be "unrecognized arguments".
"""

import inspect
from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lorasent.text import shown

Options = Mapping[str, Mapping[str, Any]]
"""Keyword arguments of `addoption`, by the option's name."""


def add_used_options(config: pytest.Config, parser: pytest.Parser, args: list[str], options: Options) -> Generator[None, Any, Any]:
    """The wrapper of pytest_load_initial_conftests: adds those of `options` that are used and that no other plugin has.

    Before that, pytest takes the value in "--gate-baseline DIR" for a test path; its conftests are not loaded. Raises UsageError
    if pytest read another project's settings because of it.
    """
    namespace = config.known_args_namespace
    paths = namespace.file_or_dir
    namespace.file_or_dir = _without(paths, _values(args, options, _unknown(parser, args)))
    result = yield
    unknown = _unknown(parser, args)
    for name, attributes in options.items():
        if name in unknown or (namespace.help and _is_free(parser, name)):
            parser.getgroup("lorasent").addoption(name, **attributes)
    pairs = _values(args, options, unknown)
    if pairs and config.inipath and config.inipath != _settings(config, _without(paths, pairs)):
        raise pytest.UsageError(
            f"pytest took the value of {pairs[0][0]} for a test path, and {shown(config.inipath)} for this project's settings: "
            f"write {shown(' '.join(map('='.join, pairs)), 1000)}"
        )
    return result


def _values(args: Sequence[str], options: Options, unknown: set[str]) -> list[tuple[str, str]]:
    """lorasent's unknown options with their values, if a space separates the two."""
    ours = {name for name in options.keys() & unknown if options[name].get("action") != "store_true"}
    return [(word, value) for word, value in pairwise(args) if word in ours]


def _without(paths: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    values = {value for _, value in pairs}
    return [path for path in paths if path not in values]


def _unknown(parser: pytest.Parser, args: Sequence[str]) -> set[str]:
    """The names of options in the command line that no plugin has added."""
    return {word.partition("=")[0] for word in parser.parse_known_and_unknown_args(args)[1]}


def _is_free(parser: pytest.Parser, name: str) -> bool:
    try:
        return name in _unknown(parser, [name])
    except pytest.UsageError:  # another plugin has it, and it needs a value
        return False


def _settings(config: pytest.Config, paths: Sequence[str]) -> Path | None:
    """The settings file that pytest finds by `paths`."""
    from _pytest.config.findpaths import determine_setup

    namespace = config.known_args_namespace
    arguments: dict[str, Any] = {
        "inifile": namespace.inifilename,
        "override_ini": namespace.override_ini,
        "args": paths,
        "rootdir_cmd_arg": namespace.rootdir or None,
        "invocation_dir": config.invocation_params.dir,
    }
    parameters = inspect.signature(determine_setup).parameters  # versions of pytest differ
    return determine_setup(**{name: value for name, value in arguments.items() if name in parameters})[1]
