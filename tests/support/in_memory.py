"""The forms in which people have reviews in memory."""

import datasets
import numpy as np
import pandas as pd

from lorasent.data.reviews import Reviews

FORMS = {
    "pairs": lambda texts, labels: list(zip(texts, labels, strict=True)),
    "dicts": lambda texts, labels: [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)],
    "dict of columns": lambda texts, labels: {"text": texts, "label": labels},
    "tuple of two lists": lambda texts, labels: (texts, labels),
    "tuple of two arrays": lambda texts, labels: (np.array(texts, object), np.array(labels, object)),
    "Dataset": lambda texts, labels: datasets.Dataset.from_dict({"text": texts, "label": labels}),
    "pandas frame": lambda texts, labels: pd.DataFrame({"text": texts, "label": labels}),
    "Reviews": lambda texts, labels: Reviews("mine", list(texts), np.array(labels)),
}
"""Functions of texts and labels; those of `Reviews` are ids."""
