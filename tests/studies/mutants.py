"""What `mutmut run` left in mutants/: the share that the tests killed, and whether every survivor is known.

A survivor is known by its function and its changed lines, not by its number, which shifts when code changes: survivors.toml
has a table ["module.function"] of changed lines and reasons. Exits 1 if the share is too small, a survivor has no reason, or
a reason has no survivor any more.
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
"""By exit code of pytest. All others (no test, a wrong test id, a crash, never run) prove nothing: they are "not judged"."""


def changed_lines(key: str, path: Path) -> str:
    """The lines that a mutant has and its original has not, joined; where they are but brackets, those that it lacks."""
    lines = get_diff_for_mutant(key, path=path).splitlines()[2:]
    added, removed = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "+-")
    return added if any(map(str.isalnum, added)) else f"without: {removed}"


def module(path: Path) -> str:
    """A file's module within the package: "golden" is another than "gate.golden"."""
    return ".".join(path.with_suffix("").parts[1:])


def report(path: Path, known: dict[str, dict[str, str]], survivors: set[tuple[str, str]], late: set[tuple[str, str]]) -> Counter:
    """Counts a module's mutants by outcome, prints those that survived and adds them to `survivors`, timed-out ones to `late`."""
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
    """Prints the figures by module and in all; the exit status."""
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
    # On a busy machine one that changes nothing may run out of time: its reason stays.
    faults += [f"{function}: listed, but no mutant survives: {lines}" for function, lines in sorted(listed - survivors - late)]
    faults += [f"{name}: {share:.1%} killed, required are {REQUIRED:.0%}" for name, share in shares.items() if share < REQUIRED]
    faults += [f"{counts['all']['not judged']} mutants were not judged"] if counts["all"]["not judged"] else []
    print("\n".join(["", *faults]) if faults else f"\nEvery survivor has its reason in {SURVIVORS.name}.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
