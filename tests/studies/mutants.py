"""Reports which mutants the tests killed, after `mutmut run`. `python -m tests.studies.mutants`, or `tox -e mutants` for both.

A survivor is identified by its function and its changed lines, because its number shifts when code changes: survivors.toml has a
table ["module.function"] of changed lines and reasons. The study exits 1 if too few mutants were killed, if a survivor has no
reason, or if a reason has no survivor any more.
"""

import sys
import tomllib
from collections import Counter
from pathlib import Path

from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

REQUIRED = 0.95
SURVIVORS = Path(__file__).with_name("survivors.toml")

OUTCOMES = {1: "killed", 3: "killed", -24: "timed out", 24: "timed out", 152: "timed out", 0: "survived"}
"""Outcomes by exit code of pytest. Any other code (no test, a wrong test id, a crash, never run) is "not judged"."""


def changed_lines(key: str, path: Path) -> str:
    """Returns the lines that a mutant added, joined; or, where they hold only brackets, the lines that it removed."""
    lines = get_diff_for_mutant(key, path=path).splitlines()[2:]
    added, removed = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "+-")
    return added if any(map(str.isalnum, added)) else f"without: {removed}"


def module(path: Path) -> str:
    """Returns a file's module name within the package, such as "gate.golden"."""
    return ".".join(path.with_suffix("").parts[1:])


def report(path: Path, known: dict[str, dict[str, str]], survivors: set[tuple[str, str]], late: set[tuple[str, str]]) -> Counter:
    """Returns a module's mutants counted by outcome; prints survivors, and adds them to `survivors` and late ones to `late`."""
    mutation = SourceFileMutationData(path=path)
    mutation.load()
    outcomes = {key: OUTCOMES.get(code, "not judged") for key, code in mutation.exit_code_by_key.items()}
    for key, outcome in outcomes.items():
        if outcome == "killed":
            continue
        name, owner = orig_function_and_class_names_from_key(key)
        function = ".".join(filter(None, (module(path), owner, name)))
        lines = changed_lines(key, path)
        if outcome == "timed out":
            late.add((function, lines))
            continue
        survivors.add((function, lines))
        print(f"{outcome}: {key}\n    {lines}\n    {known.get(function, {}).get(lines, 'NO REASON LISTED')}")
    return Counter(outcomes.values())


def main() -> int:
    """Prints the figures of each module and of all modules; returns the exit status."""
    known = tomllib.loads(SURVIVORS.read_text("utf-8"))
    survivors: set[tuple[str, str]] = set()
    late: set[tuple[str, str]] = set()
    counts = {module(path): report(path, known, survivors, late) for path in sorted(walk_mutatable_files())}
    counts["all"] = sum(counts.values(), Counter())
    print(f"\n{'':18}{'mutants':>9}{'killed':>9}{'timed out':>11}{'survived':>10}{'not judged':>12}{'share':>8}")
    shares = {}
    for name, count in counts.items():
        shares[name] = (count["killed"] + count["timed out"]) / count.total() if count else 0.0
        print(f"{name:18}{count.total():9}{count['killed']:9}{count['timed out']:11}{count['survived']:10}", end="")
        print(f"{count['not judged']:12}{shares[name]:8.1%}")
    listed = {(function, lines) for function, reasons in known.items() for lines in reasons}
    faults = [f"{function}: no reason listed: {lines}" for function, lines in sorted(survivors - listed)]
    # On a busy machine a mutant that changes nothing may run out of time, so its reason stays listed.
    faults += [f"{function}: listed, but no mutant survives: {lines}" for function, lines in sorted(listed - survivors - late)]
    faults += [f"{name}: {share:.1%} killed, required are {REQUIRED:.0%}" for name, share in shares.items() if share < REQUIRED]
    faults += [f"{counts['all']['not judged']} mutants were not judged"] if counts["all"]["not judged"] else []
    print("\n".join(["", *faults]) if faults else f"\nEvery survivor has its reason in {SURVIVORS.name}.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
