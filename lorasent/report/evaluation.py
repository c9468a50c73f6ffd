"""An evaluation of one adapter as one HTML page that needs no other file."""

import datetime as dt
from typing import Any

from numpy.typing import NDArray

from lorasent.evaluation.console import Evaluation
from lorasent.evaluation.mistakes import Mistake
from lorasent.metrics import Figures
from lorasent.report import parts, plots
from lorasent.report.details import side
from lorasent.report.flips import Excerpt, excerpt
from lorasent.report.render import render
from lorasent.text import shown

MOST_SLICES, MOST_SUSPECTS = 200, 50
"""Largest numbers of slices and of suspected label errors that are shown."""


def page(
    evaluation: Evaluation, adapter: str, source: str, sha256: str, logits: NDArray[Any], labels: NDArray[Any], command: str
) -> str:
    """One HTML page: figures, confusion matrix, reliability, scores, slices, mistakes; of logits (N, L) and label ids (N,)."""
    one, names, mistakes = side("adapter", logits, labels, evaluation.labels), evaluation.labels, evaluation.mistakes
    score = f"probability of {shown(names[1], 40)}" if len(names) == 2 else "confidence"
    slices = mistakes.by_slice if mistakes else []
    cut = "left" if mistakes is None or not mistakes.worst else _side(mistakes.worst)

    def text(mistake: Mistake) -> Excerpt:
        return excerpt(mistake.text, mistake.words, cut)

    return render(
        "evaluation.html",
        e=evaluation,
        side=one,
        labels=names,
        figures=[(name.replace("_", " "), getattr(one.figures, name)) for name in Figures.__annotations__ if name != "n"],
        by_label=list(evaluation.by_label()),
        reliability=plots.reliability([one]),
        distribution=plots.distribution(one, score),
        score_name=f"{score}, by label," if len(names) == 2 else f"{score}, of right and of wrong answers,",
        slices=sorted(slices, key=lambda each: each.accuracy)[:MOST_SLICES],
        slices_left_out=max(0, len(slices) - MOST_SLICES),
        suspects=mistakes.suspects[:MOST_SUSPECTS] if mistakes else [],
        suspects_left_out=max(0, len(mistakes.suspects) - MOST_SUSPECTS) if mistakes else 0,
        text=text,
        ends=lambda suspect: excerpt(suspect.text, (), "left", 300),
        adapter=shown(adapter, parts.LONGEST_PATH),
        source=shown(source, parts.LONGEST_PATH),
        sha256=sha256,
        command=shown(command, parts.LONGEST_PATH),
        written=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _side(mistakes: list[Mistake]) -> str:
    """The side on which a long text is cut: that which holds no word that carried a mistake, as far as the words tell."""
    words = [(word.start, len(mistake.text)) for mistake in mistakes for word in mistake.words[:3]]
    late = sum(start > size / 2 for start, size in words)
    return "left" if 2 * late >= len(words) else "right"
