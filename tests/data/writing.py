"""Three reviews, and functions that write them in a file format."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq

LABELS = ("Negative", "Positive")


ROWS = [("a fine film", 1), ("a dull film,\nwith a \"quote\" and 'more'", 0), ("größer — 映画 🎬", 1)]


TEXTS, IDS = [text for text, _ in ROWS], [label for _, label in ROWS]


def write_parquet(path, text="text", label="label", values=IDS):
    pq.write_table(pa.table({text: TEXTS, label: values}), path)


def write_jsonl(path, text="text", label="label", values=IDS):
    lines = [json.dumps({text: review, label: value}) for review, value in zip(TEXTS, values, strict=True)]
    path.write_text("\n".join(lines) + "\n\n", "utf-8")


def write_csv(path, text="text", label="label", values=IDS):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([(text, label), *zip(TEXTS, values, strict=True)])


WRITERS = {"parquet": write_parquet, "jsonl": write_jsonl, "csv": write_csv}
