"""An adapter and labelled reviews, or logits and labels -> figures: the public function `evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import ArrayLike

from lorasent import files, metrics
from lorasent.data.reviews import ReviewsLike, read
from lorasent.errors import MetricError
from lorasent.metrics import Figures

if TYPE_CHECKING:
    from lorasent.scoring.scorer import Scorer


@overload
def evaluate(logits: ArrayLike, labels: ArrayLike, names: Sequence[str]) -> Figures: ...


@overload
def evaluate(
    adapter: "Scorer | str | Path",
    data: ReviewsLike,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    skip_empty: bool = False,
) -> Figures: ...


def evaluate(*arguments: Any, **options: Any) -> Figures:
    """All metrics of logits (N, L) against label ids (N,), with the L labels' `names`; or of an adapter on labelled reviews.

    The adapter is a directory, which is loaded as `load` does by default, or a scorer. Its reviews are a source, or in memory, with
    columns and `skip_empty` as for `read`. Raises LorasentError.
    """
    are_logits = len(arguments) == 3 or options.keys() & {"logits", "labels", "names"}
    return (metrics.evaluate if are_logits else _of_adapter)(*arguments, **options)


def _of_adapter(
    adapter: Any, data: ReviewsLike, *, text_column: str | None = None, label_column: str | None = None, skip_empty: bool = False
) -> Figures:
    from lorasent.scoring.scorer import Scorer, load

    expected = "logits, labels and names, or reviews and a scorer, or reviews and an adapter's directory"
    scorer = adapter if isinstance(adapter, Scorer) else load(files.path_of(adapter, expected, MetricError))
    reviews = read(data, scorer.labels, text_column, label_column, skip_empty=skip_empty)
    return metrics.evaluate(scorer.logits(reviews.texts), reviews.labels, scorer.labels)
