"""What the peers' benchmark measured, as Markdown; it stands in docs/explanation/performance.md between two marks."""

import json
import os
import re
from pathlib import Path

from lorasent import files

KINDS = {"amx": "With AMX", "avx512-bf16": "With AVX-512, without AMX", "no-bf16": "Without bf16"}
"""Machines whose figures stand beside each other: by what they multiply bf16 matrices with."""

PRODUCTS = {"matmul": "torch", "prepacked": "weights laid out beforehand"}
"""The ways in which matrices are multiplied, and how they are told."""


def kind(machine) -> str:
    """Which of KINDS a machine is."""
    return "amx" if machine["amx"] else "avx512-bf16" if machine["avx512_bf16"] else "no-bf16"


def page(measured) -> str:
    """The three tables with what they were measured under."""
    return "\n\n".join([_heading(measured), _scoring(measured), _short(measured), _training(measured)]) + "\n"


def into_page(path: Path, folder: Path) -> None:
    """Puts the tables of every kind of machine that a folder has a run of between their marks, each with its plot."""
    runs = [folder / f"{name}.json" for name in KINDS]
    pages = [
        f"{page(json.loads(run.read_bytes()))}\n![Time over lorasent's]({_link(path, run.with_suffix('.svg'))})\n"
        for run in runs
        if run.is_file()
    ]
    between = "<!-- peers -->\n" + "\n".join(pages) + "<!-- end of peers -->"
    found, places = re.subn(r"<!-- peers -->.*<!-- end of peers -->", lambda _: between, path.read_text("utf-8"), flags=re.DOTALL)
    if not places:
        raise SystemExit(f"{path}: has no marks <!-- peers --> and <!-- end of peers --> to put the tables between")
    files.write(path, [found])


def _link(path: Path, file: Path) -> str:
    return Path(os.path.relpath(file, path.parent)).as_posix()


def _heading(measured) -> str:
    scoring, rate, machine, settings = (measured[key] for key in ("scoring", "matrix_rate", "machine", "settings"))
    products = [f"{rate[way] / 1e12:.2f} ({how})" for way, how in PRODUCTS.items() if rate[way]]
    precision = "fp32" if kind(machine) == "no-bf16" else "bf16"
    commit = measured["commit"][:12] + (", changed since" if measured["changed_since"] else "")
    return (
        f"**{KINDS[kind(machine)]}.** {scoring['reviews']} IMDB test reviews, {scoring['tokens']:,} tokens; DistilBERT's shape, at "
        f"most 512 tokens; {settings['threads']} threads on {machine['cores']} cores; {settings['rounds']} rounds in turn. Beside "
        f"them the machine multiplied {precision} matrices at {' and '.join(products)} Tflop/s; the share is of the faster. "
        f"Commit {commit}."
    )


def _scoring(measured) -> str:
    rows = measured["scoring"]["peers"]
    lines = []
    for name in sorted(rows, key=lambda name: rows[name]["milliseconds_a_review"]):
        row = rows[name]
        padded = "" if row["padded_over_real"] is None else f"{row['padded_over_real']:.3f}"
        lines.append(
            f"{name} | {measured['about'][name]} | {row['milliseconds_a_review']:.1f} | {_ratio(row['ratio'])} | "
            f"{100 * row['share']['definition']:.1f} | {100 * row['share']['first_row_only']:.1f} | {padded} | "
            f"{row['max_difference']:.1e} | {100 * row['agreement']:.1f}"
        )
    titles = (
        "in bulk", "set up", "ms a review", "of lorasent's time", "share of the matrix rate, %", "saved operations left out, %",
        "padded / real tokens", "logits differ by", "labels agree, %",
    )  # fmt: skip
    return _table(titles, 2, lines)


def _short(measured) -> str:
    rows = measured["short"]
    lines = [
        f"{name} | {rows[name]['p50_milliseconds']:.2f} | {rows[name]['p99_milliseconds']:.2f} | {_ratio(rows[name]['ratio'])}"
        for name in sorted(rows, key=lambda name: rows[name]["p50_milliseconds"])
    ]
    return _table(("one short review", "p50, ms", "p99, ms", "of lorasent's p50"), 1, lines)


def _training(measured) -> str:
    lines = []
    for name, row in measured["training"]["courses"].items():
        padded = "" if row["padded_over_real"] is None else f"{row['padded_over_real']:.3f}"
        lines.append(f"{name} | {row['about']} | {row['reviews_a_second']:.2f} | {_ratio(row['ratio'])} | {padded}")
    titles = ("training, batch 4", "recipe", "reviews a second", "of lorasent's time", "padded / real tokens")
    return _table(titles, 2, lines)


def _ratio(found) -> str:
    """A ratio to three digits, with its interval."""
    middle, low, high = (f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in found)
    return "1" if tuple(found) == (1, 1, 1) else f"{middle} ({low} to {high})"


def _table(titles, words: int, lines) -> str:
    """A Markdown table; all but the first columns of words are numbers."""
    ruler = ["---"] * words + ["--:"] * (len(titles) - words)
    return "\n".join(f"| {line} |" for line in (" | ".join(titles), " | ".join(ruler), *lines))
