"""Goldens: what counts as a difference, how it is shown, and a folder in which nothing changes unseen."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import files, golden
from lorasent.errors import GoldenError
from lorasent.text import shown

ROWS = [
    {"text": "a film", "label": "Positive", "logits": [0.25, 0.5]},
    {"text": "no film", "label": "Negative", "logits": [1.0, -1.0]},
]


def made(rows=ROWS, **changes):
    """A golden of rows; `changes` replace what it says of itself."""
    description = {
        "about": "two films",
        "producer": {"code": "here"},
        "tolerance": {"logits": 0.01},
        "why": "measured",
        "seed": 0,
        **changes,
    }
    return golden.make(rows, **description)


def changed(row=0, **cells):
    """The rows with some cells changed."""
    return [{**old, **(cells if number == row else {})} for number, old in enumerate(ROWS)]


def test_a_golden_is_read_as_it_was_written(tmp_path):
    """Columns keep their order, the same content gives the same bytes, and the folder is made."""
    path = tmp_path / "predictions" / "films.json"
    golden.write(path, made())
    before = path.read_bytes()
    assert golden.read(path) == made()
    assert list(golden.read(path).rows[0]) == ["text", "label", "logits"]
    golden.write(path, golden.read(path))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["films.json"]


def test_the_file_is_readable(tmp_path):
    """One value per line, letters unescaped, its kind first, a newline last."""
    golden.write(tmp_path / "g.json", made([{"text": "größer", "n": 0.5}]))
    text = (tmp_path / "g.json").read_text("utf-8")
    assert text.startswith('{\n "kind": "golden",\n "schema_version": 1,\n "about": "two films",\n')
    assert text.endswith('"rows": [\n  {\n   "text": "größer",\n   "n": 0.5\n  }\n ]\n}\n')


def test_empty_lists_are_equal():
    """No number has moved."""
    assert golden.compare(made([{"n": []}]), made([{"n": []}])) == []


def test_a_row_is_named_by_the_beginning_of_its_first_column():
    """By its first fifty letters."""
    recorded, found = (made([{"text": "x" * 60, "n": n}]) for n in (0, 1))
    assert golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()[2] == (
        f"row 0 ({'x' * 50}), n:   moved by 1, allowed 0"
    )


def test_a_golden_holds_the_libraries_and_the_machine_of_its_recording():
    """Versions by library, the processor's instructions, and threads."""
    assert {"torch", "transformers", "peft", "numpy"} <= made().libraries.keys()
    assert made().machine.keys() == {"architecture", "instructions", "threads"}


@given(st.floats(-0.1, 0.1), st.floats(0, 0.1))
def test_numbers_may_move_by_the_tolerance_and_no_further(shift, allowed):
    """A number in a list differs exactly when it moved by more than its column's tolerance."""
    found = made(changed(logits=[0.25, 0.5 + shift]), tolerance={"logits": allowed})
    differences = golden.compare(made(tolerance={"logits": allowed}), found)
    moved = abs((0.5 + shift) - 0.5)
    assert bool(differences) == (moved > allowed)
    assert [(place.row, place.column, place.moved, place.allowed) for place in differences] == (
        [(0, "logits", moved, allowed)] if differences else []
    )


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (made(changed(label="Negative")), (0, "label", "Positive", "Negative")),
        (made(changed(row=1, text="a film")), (1, "text", "no film", "a film")),
        (made(changed(logits=[0.25])), (0, "logits", [0.25, 0.5], [0.25])),
        (made(changed(logits="none")), (0, "logits", [0.25, 0.5], "none")),
        (made(changed(seen=True)), (0, "seen", None, True)),
        (made([{name: row[name] for name in ("text", "label")} for row in ROWS][:1] + ROWS[1:]), (0, "logits", [0.25, 0.5], None)),
        (made(ROWS[:1]), (-1, "number of rows", 2, 1)),
        (made(about="other films"), (-1, "about", "two films", "other films")),
        (made(producer={"code": "there"}), (-1, "producer", {"code": "here"}, {"code": "there"})),
        (made(seed=1), (-1, "seed", 0, 1)),
        (made(tolerance={"logits": 1.0}), (-1, "tolerance", {"logits": 0.01}, {"logits": 1.0})),
        (made(why="guessed"), (-1, "why", "measured", "guessed")),
    ],
    ids=[
        "a label",
        "a text",
        "fewer numbers",
        "no numbers",
        "a new column",
        "a lost column",
        "fewer rows",
        "another claim",
        "another producer",
        "another seed",
        "a wider tolerance",
        "another reason",
    ],
)
def test_everything_else_must_be_equal(found, place):
    """One difference, at its place, with both values."""
    (difference,) = golden.compare(made(), found)
    assert (difference.row, difference.column, difference.recorded, difference.found) == place


def test_a_column_without_tolerance_must_be_equal():
    """Without a tolerance no number may move; a truth value is no number."""
    rows = [{"n": 1, "seen": True}]
    assert not golden.compare(made(rows), made([{"n": 1, "seen": True}]))
    assert len(golden.compare(made(rows), made([{"n": 1.0000001, "seen": True}]))) == 1
    assert len(golden.compare(made(rows), made([{"n": 1, "seen": 1}]))) == 1
    large = [made([{"n": 2**53 + more, "seen": True}]) for more in (0, 1)]
    assert len(golden.compare(*large)) == 1


def test_libraries_and_machine_may_differ():
    """They are recorded to explain a difference, not to be one."""
    other = made().model_copy(update={"libraries": {"torch": "0"}, "machine": {"threads": 99}})
    assert golden.compare(made(), other) == []


def test_differences_are_shown_side_by_side():
    """How many, the largest, and each place with both values."""
    found = made([{**ROWS[0], "label": "Negative", "logits": [0.25, 0.75]}, ROWS[1]])
    assert golden.describe("golden/films.json", made(), golden.compare(made(), found)).splitlines() == [
        "golden/films.json: 1 of 2 rows differ, in 2 places",
        "farthest: row 0, logits: moved by 0.25, allowed 0.01",
        "row 0 (a film), label:",
        "  recorded  Positive",
        "  found     Negative",
        "row 0 (a film), logits:   moved by 0.25, allowed 0.01",
        "  recorded  [0.25, 0.5]",
        "  found     [0.25, 0.75]",
    ]


def test_differences_of_the_description_are_shown_too():
    """They are the golden's, and of no row; long values are cut, missing ones are nothing."""
    found = made(why="x" * 300)
    assert golden.describe("g", made(), golden.compare(made(), found)).splitlines() == [
        "g: 0 of 2 rows differ, in 1 places",
        "golden, why:",
        "  recorded  measured",
        f"  found     {'x' * 200}…",
    ]
    lost = golden.compare(made([{"text": "a", "label": "b"}]), made([{"text": "a"}]))
    assert golden.describe("g", made(), lost).splitlines()[-1] == "  found     nothing"


def test_of_equal_moves_the_first_is_named():
    """Columns count in their order."""
    recorded, found = made([{"a": 0.0, "b": 0.0}]), made([{"a": 1.0, "b": 1.0}])
    assert (
        golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()[1]
        == "farthest: row 0, a: moved by 1, allowed 0"
    )


def test_twelve_differences_and_200_letters_are_shown_whole():
    """A thirteenth difference is counted; the 201st letter is cut."""
    recorded, found = (made([{"n": float(number + shift)} for number in range(12)]) for shift in (0, 1))
    assert len(golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()) == 2 + 12 * 3
    recorded, found = made(why="x" * 200), made(why="x" * 201)
    lines = golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()
    assert lines[-2:] == [f"  recorded  {'x' * 200}", f"  found     {'x' * 200}…"]


def test_more_than_twelve_differences_are_counted():
    """Twelve are shown, the largest of all is named, the rest are counted."""
    recorded = made([{"n": float(number)} for number in range(20)])
    found = made([{"n": number + 1.0 + number / 8} for number in range(20)])
    lines = golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()
    assert lines[:2] == ["g: 20 of 20 rows differ, in 20 places", "farthest: row 19, n: moved by 3.38, allowed 0"]
    assert (len(lines), lines[-1]) == (2 + 12 * 3 + 1, "and 8 more")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"^cannot be a golden: rows: List should have at least 1 item"),
        (
            [{"n": 1}, {"n": float("nan")}],
            r"^cannot be a golden: rows\.1\.n: expected a text, a finite number or a list of them, found nan$",
        ),
        ([{"n": [0.0, float("inf")]}], r"rows\.0\.n: .* found \[0.0, inf\]$"),
        ([{"n": None}], r"rows\.0\.n: .* found None$"),
        ([{"n": ["a"]}], r"rows\.0\.n: .* found \['a'\]$"),
    ],
    ids=["no rows", "not a number", "infinite", "nothing", "a list of texts"],
)
def test_rows_that_nothing_can_equal_are_refused(rows, message):
    """No rows, or values that never equal themselves."""
    with pytest.raises(GoldenError, match=message):
        made(rows)


def test_a_tolerance_is_at_least_0_and_finite():
    """Anything else is refused."""
    with pytest.raises(GoldenError, match=r"^cannot be a golden: tolerance.logits: Input should be greater than or equal to 0$"):
        made(tolerance={"logits": -1.0})
    with pytest.raises(GoldenError, match=r"tolerance.logits: Input should be a finite number$"):
        made(tolerance={"logits": float("inf")})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^.*g\.json: cannot be read as a golden: No such file or directory$"),
        (b"{", r"^.*g\.json: not a golden: file: Invalid JSON"),
        (b'{"kind": "golden"}', r"^.*g\.json: not a golden: about: Field required$"),
        (b"\xff", r"^.*g\.json: not a golden: file: Invalid JSON"),
    ],
    ids=["missing", "not JSON", "incomplete", "not UTF-8"],
)
def test_a_file_that_is_no_golden_is_named(tmp_path, content, message):
    """The error names its path, and its fault."""
    if content is not None:
        (tmp_path / "g.json").write_bytes(content)
    with pytest.raises(GoldenError, match=message):
        golden.read(tmp_path / "g.json")


@pytest.fixture
def folder(tmp_path):
    """A folder with a golden, a file that is none, and a manifest of both."""
    path = tmp_path / "golden"
    golden.write(path / "predictions" / "films.json", made())
    (path / "drift.json").write_text('{"rows": []}')
    (path / "notes.json").write_text("no JSON")
    assert golden.write_manifest(path)
    return path


def test_a_manifest_lists_every_file(folder):
    """Each with its sha256, in order; writing it again changes nothing, and returns so."""
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    assert (folder / "MANIFEST.json").read_text().startswith('{\n "files": {\n  "drift.json": "')
    assert list(listed) == ["drift.json", "notes.json", "predictions/films.json"]
    assert all(len(digest) == 64 for digest in listed.values())
    assert golden.faults(folder) == []
    assert not golden.write_manifest(folder)


def test_goldens_are_told_from_other_files(folder):
    """By their kind, not by their place."""
    assert golden.goldens(folder) == ["predictions/films"]


def test_faults_lists_changed_missing_and_added_files(folder):
    """One per line; writing the manifest again removes them."""
    (folder / "drift.json").write_text("{}")
    (folder / "notes.json").unlink()
    (folder / "new.json").write_text("[]")
    assert golden.faults(folder) == [
        "golden/notes.json: missing, MANIFEST.json lists it",
        "golden/new.json: MANIFEST.json does not list it",
        "golden/drift.json: not the file that MANIFEST.json lists (another sha256)",
    ]
    assert golden.write_manifest(folder)
    assert golden.faults(folder) == []


@pytest.mark.parametrize(
    "content",
    [None, "{", "[]", "{}", '{"files": {"a": 1}}', '{"files": {"a": "b"}}', '{"files": {}, "kind": "films"}'],
    ids=["missing", "not JSON", "a list", "no files", "numbers", "no hashes", "another kind"],
)
def test_a_missing_or_invalid_manifest_is_an_error(folder, content):
    """It names the file, and what to do."""
    (folder / "MANIFEST.json").unlink()
    if content is not None:
        (folder / "MANIFEST.json").write_text(content)
    with pytest.raises(
        GoldenError, match=r"MANIFEST.json: missing, or not .*, remove it, and --lorasent-update-golden writes one$"
    ):
        golden.faults(folder)


def test_a_folder_is_no_golden(tmp_path):
    """One line, with the system's reason."""
    message = f"{tmp_path}: cannot be read as a golden: Is a directory"
    with pytest.raises(GoldenError, match=f"^{re.escape(message)}$"):
        golden.read(tmp_path)


def test_what_does_not_print_is_shown_in_bounds():
    """A row's first cell in 200 characters, a value in 1,000: escapes are longer than what they stand for."""
    strange = "\N{LANGUAGE TAG}" * 300
    recorded = made([{"text": strange, "n": 1.0}])
    told = golden.describe("g", recorded, [golden.Difference(0, "text", strange, "x")]).splitlines()
    assert told[1] == f"row 0 ({shown(strange[:50], 200)}), text:"
    assert told[2] == f"  recorded  {shown(strange[:200] + '…', 1000)}"


def test_the_farthest_number_is_the_one_that_moved_most():
    """One that moved by nothing has moved less than any."""
    differences = [golden.Difference(0, "a", 1, 1, 0.0, 0.0), golden.Difference(0, "b", 1.0, 1.5, 0.5, 0.0)]
    assert golden.describe("g", made(), differences).splitlines()[1].startswith("farthest: row 0, b: ")


def test_a_folder_of_goldens_keeps_its_line_endings(tmp_path):
    """Git is told so, unless somebody told it something; line endings that it converted are named as such."""
    golden.write(tmp_path / "g.json", made())
    assert golden.write_manifest(tmp_path)
    attributes = tmp_path / files.ATTRIBUTES
    assert attributes.read_text() == files.AS_WRITTEN
    attributes.write_text("* text")
    golden.write_manifest(tmp_path)
    assert attributes.read_text() == "* text"
    path = tmp_path / "g.json"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert golden.faults(tmp_path) == [f"{tmp_path.name}/g.json: {files.CONVERTED}"]
    path.write_bytes(b"{}\r\n")
    assert golden.faults(tmp_path) == [f"{tmp_path.name}/g.json: not the file that MANIFEST.json lists (another sha256)"]


def test_a_manifest_of_an_earlier_version_needs_no_kind(tmp_path):
    """Its files are enough; another kind's are refused."""
    listed = {"g.json": "0" * 64}
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files": listed}))
    assert golden.read_manifest(tmp_path) == listed
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files": listed, "kind": "another"}))
    with pytest.raises(GoldenError, match="not a manifest of goldens"):
        golden.read_manifest(tmp_path)
