"""Twelve awkward tables, each in every format: equal reviews, or the same refusal."""

import csv
import json
from decimal import Decimal

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.packaged_modules.parquet.parquet import Parquet

from lorasent.data.reviews import read
from lorasent.errors import DataError
from lorasent.hub import offline

LABELS = ("Negative", "Positive")
TEXTS = ["a fine film", "dull", "great"]
IDS = [1, 0, 1]
SEPARATED = ["one\u2028line\x85and\x0cno\x1cmore", "a \"quote\"; a tab\t; a comma, 'and' a\nline", "a\rreturn"]


def named(names):
    """The metadata that `datasets` writes for a column of class labels."""
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def table(columns, names=None):
    """An Arrow table of (name, values); its label column has class labels with these names."""
    made = pa.Table.from_arrays([pa.array(values) for _, values in columns], names=[name for name, _ in columns])
    return made.replace_schema_metadata(named(names) if names else None)


def rows(columns, names):
    """Rows of (name, cell) for formats without types: a class label is written as its name."""
    label = [name for name, _ in columns].index("label")
    for cells in zip(*(values for _, values in columns), strict=True):
        row = list(cells)
        row[label] = names[row[label]] if names else row[label]
        yield [(name, cell) for (name, _), cell in zip(columns, row, strict=True)]


def as_csv(folder, columns, names, delimiter=",", suffix="csv"):
    with (folder / f"test.{suffix}").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([name for name, _ in columns])
        writer.writerows([cell for _, cell in row] for row in rows(columns, names))
    return folder / f"test.{suffix}"


def as_semicolons(folder, columns, names):
    return as_csv(folder, columns, names, ";", "Csv")


def as_tsv(folder, columns, names):
    return as_csv(folder, columns, names, "\t", "tsv")


def as_jsonl(folder, columns, names):
    path = folder / "test.jsonl"
    path.write_text("\n".join(objects(columns, names)), "utf-8", newline="")
    return path


def as_json(folder, columns, names):
    path = folder / "test.json"
    path.write_text(f"[{', '.join(objects(columns, names))}]", "utf-8", newline="")
    return path


def objects(columns, names):
    for row in rows(columns, names):
        cells = (f"{json.dumps(name)}: {json.dumps(cell, ensure_ascii=False, default=float)}" for name, cell in row)
        yield f"{{{', '.join(cells)}}}"


def as_parquet(folder, columns, names):
    pq.write_table(table(columns, names), folder / "test.parquet")
    return folder / "test.parquet"


def as_split(folder, columns, names):
    as_parquet(folder, columns, names)
    return f"{folder}:test"


def as_hub_layout(folder, columns, names):
    (folder / "data").mkdir()
    whole = table(columns, names)
    for shard, part in enumerate((whole.slice(0, 2), whole.slice(2))):
        pq.write_table(part, folder / "data" / f"test-0000{shard}-of-00002.parquet")
    return f"{folder}:test"


def as_saved(folder, columns, names):
    """As save_to_disk does; the library itself would not write two columns of the same name."""
    datasets.Dataset.from_dict({"text": ["x"], "label": [1]}).save_to_disk(folder / "saved")
    (file,) = (folder / "saved").glob("*.arrow")
    made = table(columns, names)
    with pa.ipc.new_stream(str(file), made.schema) as stream:
        stream.write_table(made)
    (folder / "saved" / "dataset_info.json").write_text('{"features": null}')
    return folder / "saved"


def as_cached(folder, columns, names):
    """As the library keeps a hub data set in its cache."""
    path = as_parquet(folder, columns, names)
    builder = Parquet(cache_dir=str(folder), dataset_name="films", data_files={"test": [str(path)]}, hash="abc")
    builder.download_and_prepare()
    (folder / "films").rename(folder / "some-one___films")
    return "some-one/films:test"


FORMATS = [as_csv, as_semicolons, as_tsv, as_jsonl, as_json, as_parquet, as_split, as_hub_layout, as_saved, as_cached]

READ = {
    "labels flipped": ([("text", TEXTS), ("label", [0, 1, 0])], ["pos", "neg"]),
    "names in any case": ([("text", TEXTS), ("label", [" POSITIVE ", "negative", "Positive"])], None),
    "beginnings of names": ([("Text", TEXTS), ("label", ["pos", "NEG", "posit"])], None),
    "ids as text": ([("text", TEXTS), ("label", ["1", " 0", "1.0"])], None),
    "ids as decimals": ([("text", TEXTS), ("label", [Decimal("1.00"), Decimal("0.00"), Decimal("1.00")])], None),
    "ids as floats": ([("text", TEXTS), ("label", [1.0, 0.0, 1.0])], None),
    "truth": ([("text", TEXTS), ("label", [True, False, True])], None),
    "texts with all that parts lines": ([("text", SEPARATED), ("label", IDS)], None),
}

REFUSED = {
    "a column doubled": ([("text", TEXTS), ("label", IDS), ("label", IDS)], "two columns of the same name, label and label"),
    "a column doubled but for case": (
        [("text", TEXTS), ("label", IDS), ("country", TEXTS), ("Country ", TEXTS)],
        "two columns of the same name, country and Country ",
    ),
    "columns without a name": (
        [("text", TEXTS), ("label", IDS), ("", TEXTS), ("", TEXTS)],
        "two columns of the same name, without",
    ),
    "a label that is missing": ([("text", TEXTS), ("label", [1, None, 0])], "column label, row 2: unknown label ''"),
    "a label that is none": ([("text", TEXTS), ("label", [1.0, 0.0, 0.5])], "column label, row 3: unknown label '0.5'"),
}


def outcome(source):
    """The texts and labels, or the reason of the error without its place."""
    try:
        with offline():
            reviews = read(source, LABELS)
    except DataError as error:
        return str(error).partition(": ")[2]
    return reviews.texts, reviews.labels.tolist()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes a table in a format and returns its source; hub data sets are only in the cache."""

    def write(form, columns, names=None):
        folder = tmp_path / form.__name__
        folder.mkdir()
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder)
        return form(folder, columns, names)

    return write


def test_there_are_twelve_tables():
    """There are at least twelve tables: flipped labels, repeated columns, cells of other types, and so on."""
    assert len({**READ, **REFUSED}) >= 12


@pytest.mark.parametrize("awkward", READ)
def test_awkward_tables_are_read_alike(written, awkward):
    """A table gives the same texts and labels in every format."""
    columns, names = READ[awkward]
    results = {form.__name__: outcome(written(form, columns, names)) for form in FORMATS}
    assert results == dict.fromkeys(results, (columns[0][1], IDS))


@pytest.mark.parametrize("awkward", REFUSED)
def test_awkward_tables_are_refused_alike(written, awkward):
    """An ambiguous table is refused for the same reason in every format."""
    columns, reason = REFUSED[awkward]
    # The library refuses a Parquet file with two columns of the same name, so the cache cannot have such a hub data set.
    forms = [form for form in FORMATS if form is not as_cached or awkward not in ("a column doubled", "columns without a name")]
    results = {form.__name__: outcome(written(form, columns)) for form in forms}
    assert {name: result for name, result in results.items() if not str(result).startswith(reason)} == {}
    assert len(set(results.values())) == 1, results


@pytest.mark.parametrize("form", [as_csv, as_parquet], ids=["CSV", "Parquet"])
def test_class_labels_are_named_by_the_card_of_a_data_set(tmp_path, form):
    """The names of class labels may be only in README.md, as in the layout of the hub."""
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: text\n    dtype: string\n  - name: label\n    dtype:\n      class_label:\n"
        "        names:\n          '0': pos\n          '1': neg\n---\n# Films\n"
    )
    file = form(tmp_path, [("text", TEXTS), ("label", [0, 1, 0])], None)
    assert outcome(f"{tmp_path}:test") == outcome(file) == (TEXTS, IDS)


def test_configurations_with_different_class_labels_are_told_apart_by_folder(tmp_path):
    """In the folder of a configuration its names count; in any other folder numbers have no name."""
    features = "features:\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
    (tmp_path / "README.md").write_text(
        f"---\ndataset_info:\n- config_name: a\n  {features}          '0': neg\n          '1': pos\n"
        f"- config_name: b\n  {features}          '0': pos\n          '1': neg\n---\n"
    )
    for folder, expected in (("a", [0, 1, 0]), ("b", [1, 0, 1]), ("c", "column label, row 1: unknown label 'class 0'")):
        (tmp_path / folder).mkdir()
        result = outcome(as_csv(tmp_path / folder, [("text", TEXTS), ("label", [0, 1, 0])], None))
        assert str(result).startswith(expected) if folder == "c" else result == (TEXTS, expected)


@pytest.mark.parametrize("form", [as_parquet, as_saved, as_hub_layout], ids=["Parquet", "saved", "the hub's layout"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0", "1"], (TEXTS, [0, 1, 0])),
        (["1", "0"], (TEXTS, IDS)),
        (["1", "2"], "column label, row 1: unknown label 'class 1'; expected Negative, Positive or 0 to 1"),
    ],
    ids=["its place", "another place", "stars"],
)
def test_class_labels_that_are_called_by_numbers(written, form, names, expected):
    """A class label named "1" (one star) is not the label with id 1, unless the names are the ids."""
    assert outcome(written(form, [("text", TEXTS), ("label", [0, 1, 0])], names)) == expected


def test_class_labels_in_lists_are_named_too(tmp_path):
    """A column of lists has the names of its class labels, in a saved data set and in Parquet."""
    tags = datasets.List(datasets.ClassLabel(names=["short", "long"]))
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"]), "tags": tags}
    )
    made = datasets.Dataset.from_dict({"text": TEXTS, "label": IDS, "tags": [[1], [], [0, 1]]}, features=features)
    made.save_to_disk(tmp_path / "saved")
    made.to_parquet(tmp_path / "saved.parquet")
    for source in ("saved", "saved.parquet"):
        assert read(tmp_path / source, LABELS).columns == {"tags": [["long"], [], ["short", "long"]]}


def test_a_number_without_a_name_is_no_label(tmp_path):
    """A number beyond the class labels of a column is not the id of an adapter's label."""
    pq.write_table(table([("text", TEXTS), ("label", [0, 1, 2])], ["pos", "neg"]), tmp_path / "in.parquet")
    with pytest.raises(DataError, match=r"row 3: unknown label 'class 2'; expected neg, pos, odd or 0 to 2$"):
        read(tmp_path / "in.parquet", ["neg", "pos", "odd"])
