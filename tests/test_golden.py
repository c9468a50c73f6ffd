"""Goldens: what counts as a difference, how it is shown, and a folder in which nothing changes unseen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorasent import golden
from lorasent.errors import GoldenError

ROWS = [
    {"text": "a film", "label": "Positive", "logits": [0.25, 0.5]},
    {"text": "no film", "label": "Negative", "logits": [1.0, -1.0]},
]


def made(rows=ROWS, **changes):
    """A golden of rows; `changes` replace what it says of itself."""
    said = {
        "about": "two films",
        "producer": {"code": "here"},
        "tolerance": {"logits": 0.01},
        "why": "measured",
        "seed": 0,
        **changes,
    }
    return golden.make(rows, **said)


def changed(row=0, **cells):
    """The rows with some cells changed."""
    return [{**old, **(cells if number == row else {})} for number, old in enumerate(ROWS)]


def test_it_comes_back_from_disk_as_it_was(tmp_path):
    """Written and read it is equal, columns in their order, under the same bytes each time; the folder is made."""
    path = tmp_path / "predictions" / "films.json"
    golden.write(path, made())
    before = path.read_bytes()
    assert golden.read(path) == made()
    assert list(golden.read(path).rows[0]) == ["text", "label", "logits"]
    golden.write(path, golden.read(path))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["films.json"]


def test_its_text_is_for_people(tmp_path):
    """A line a value, letters as they are, what it is first, a newline last."""
    golden.write(tmp_path / "g.json", made([{"text": "größer", "n": 0.5}]))
    text = (tmp_path / "g.json").read_text("utf-8")
    assert text.startswith('{\n "kind": "golden",\n "schema_version": 1,\n "about": "two films",\n')
    assert text.endswith('"rows": [\n  {\n   "text": "größer",\n   "n": 0.5\n  }\n ]\n}\n')


def test_lists_without_numbers_are_equal():
    """Nothing has not moved."""
    assert golden.compare(made([{"n": []}]), made([{"n": []}])) == []


def test_a_row_is_named_by_the_beginning_of_its_first_column():
    """Fifty letters of it."""
    recorded, found = (made([{"text": "x" * 60, "n": n}]) for n in (0, 1))
    assert golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()[2] == (
        f"row 0 ({'x' * 50}), n:   moved by 1, allowed 0"
    )


def test_it_says_under_what_it_was_made():
    """Libraries by version, and the processor's instructions and threads."""
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
    """One difference, at its place, with what was recorded and what was found."""
    (difference,) = golden.compare(made(), found)
    assert (difference.row, difference.column, difference.recorded, difference.found) == place


def test_a_column_without_tolerance_must_be_equal():
    """Numbers that no tolerance names do not move at all; a truth value is no number."""
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
    """How many, how far, and each place with both values under each other."""
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


def test_what_a_golden_says_of_itself_is_shown_too():
    """A difference that is of no row is the golden's; long values are cut, missing ones are nothing."""
    found = made(why="x" * 300)
    assert golden.describe("g", made(), golden.compare(made(), found)).splitlines() == [
        "g: 0 of 2 rows differ, in 1 places",
        "golden, why:",
        "  recorded  measured",
        f"  found     {'x' * 200}…",
    ]
    lost = golden.compare(made([{"text": "a", "label": "b"}]), made([{"text": "a"}]))
    assert golden.describe("g", made(), lost).splitlines()[-1] == "  found     nothing"


def test_of_equally_far_ones_the_first_is_named():
    """Two columns that moved alike are told apart by their order."""
    recorded, found = made([{"a": 0.0, "b": 0.0}]), made([{"a": 1.0, "b": 1.0}])
    assert (
        golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()[1]
        == "farthest: row 0, a: moved by 1, allowed 0"
    )


def test_what_is_shown_whole_is_not_called_cut():
    """Twelve differences are shown with nothing more to count; a text of 200 letters is whole, one of 201 is cut."""
    recorded, found = (made([{"n": float(number + shift)} for number in range(12)]) for shift in (0, 1))
    assert len(golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()) == 2 + 12 * 3
    recorded, found = made(why="x" * 200), made(why="x" * 201)
    lines = golden.describe("g", recorded, golden.compare(recorded, found)).splitlines()
    assert lines[-2:] == [f"  recorded  {'x' * 200}", f"  found     {'x' * 200}…"]


def test_many_differences_are_counted():
    """Twelve are shown, the farthest of all is named, the rest are counted."""
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
            r"^cannot be a golden: rows: row 1, n: expected a text, a finite number or a list of them, found nan$",
        ),
        ([{"n": [0.0, float("inf")]}], r"row 0, n: .* found \[0.0, inf\]$"),
        ([{"n": None}], r"row 0, n: .* found None$"),
        ([{"n": ["a"]}], r"row 0, n: .* found \['a'\]$"),
    ],
    ids=["no rows", "not a number", "infinite", "nothing", "a list of texts"],
)
def test_what_nothing_can_be_held_to_is_refused(rows, message):
    """Rows that are none, or hold what never equals itself, make no golden."""
    with pytest.raises(GoldenError, match=message):
        made(rows)


def test_a_tolerance_is_a_bound():
    """A negative one, or none that is finite, holds nothing."""
    with pytest.raises(GoldenError, match=r"^cannot be a golden: tolerance.logits: Input should be greater than or equal to 0$"):
        made(tolerance={"logits": -1.0})
    with pytest.raises(GoldenError, match=r"tolerance.logits: Input should be a finite number$"):
        made(tolerance={"logits": float("inf")})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"^.*g\.json: missing: no such golden$"),
        (b"{", r"^.*g\.json: not a golden: file: Invalid JSON"),
        (b'{"kind": "golden"}', r"^.*g\.json: not a golden: about: Field required$"),
        (b"\xff", r"^.*g\.json: not a golden: file: Invalid JSON"),
    ],
    ids=["missing", "not JSON", "incomplete", "not UTF-8"],
)
def test_a_file_that_is_no_golden_is_named(tmp_path, content, message):
    """Its path, and what is wrong with it."""
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
    """Each with its sha256, sorted; a second writing changes nothing and says so."""
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    assert (folder / "MANIFEST.json").read_text().startswith('{\n "files": {\n  "drift.json": "')
    assert list(listed) == ["drift.json", "notes.json", "predictions/films.json"]
    assert all(len(digest) == 64 for digest in listed.values())
    assert golden.faults(folder) == []
    assert not golden.write_manifest(folder)


def test_goldens_are_told_from_other_files(folder):
    """By what they say they are, not by where they lie."""
    assert golden.goldens(folder) == ["predictions/films"]


def test_a_folder_that_is_not_what_its_manifest_lists_is_said(folder):
    """Changed, missing and added files, a line each; rewriting the manifest mends it."""
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
def test_a_manifest_that_is_none_is_named(folder, content):
    """Without a manifest nothing is vouched for."""
    (folder / "MANIFEST.json").unlink()
    if content is not None:
        (folder / "MANIFEST.json").write_text(content)
    with pytest.raises(
        GoldenError, match=r"MANIFEST.json: missing, or not .*, remove it, and --lorasent-update-golden writes one$"
    ):
        golden.faults(folder)


def test_a_folder_is_no_golden(tmp_path):
    """One line, with the system's reason."""
    with pytest.raises(GoldenError) as refused:
        golden.read(tmp_path)
    assert str(refused.value) == f"{tmp_path}: cannot be read as a golden: Is a directory"
