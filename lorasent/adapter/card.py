"""The model card of an adapter, README.md: metadata that the hub reads (`model-index`), and what people need to know.

People edit it, so the manifest does not hash it. What strangers wrote, such as labels and paths, stands in code spans or in YAML.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from lorasent.data import formats, memory
from lorasent.text import code_span, shown

NAME = "README.md"

REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)
"""A name on the hub; the hub refuses a card whose base or data set is anything else."""

METRICS = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "mcc": "matthews_correlation",
    "validation_loss": "loss",
}
"""The hub's names of the figures in the epoch table."""

BEGIN, END = "<!-- lorasent: verdict -->", "<!-- lorasent: end of verdict -->"
"""Lines that enclose the last verdict in a card."""

_VERDICT = re.compile(rf"^{BEGIN}\r?\n.*?^{END}$", re.MULTILINE | re.DOTALL)  # at the beginning of a line no stranger can write


def card(manifest: Mapping[str, Any]) -> str:
    """The model card of an adapter with this manifest."""
    from huggingface_hub import ModelCardData

    base, best = manifest["base"]["name"], manifest.get("best")
    name = _name(base)
    title = f"Sentiment adapter on {name}"
    data = ModelCardData(
        base_model=base if _is_repository(base) else None,
        datasets=_datasets(manifest) or None,
        eval_results=[*_results(manifest)] if best else None,
        model_name=title if best else None,
        library_name="peft",
        pipeline_tag="text-classification",
        tags=["lorasent", "lora", "sentiment-analysis"],
    )
    body = "\n".join([*_about(manifest), *_figures(manifest), *_limits(manifest)])
    return f"""---
{data.to_yaml(line_break=chr(10))}
---
# Sentiment adapter on {code_span(name)}

{body}

## Use

```python
import lorasent

lorasent.load("PATH OF THIS DIRECTORY").predict(["it was a good movie"])
```

It also loads with `peft.AutoPeftModelForSequenceClassification`.
"""


def with_verdict(text: str, section: str) -> str:
    """A card with a section about its last verdict, in Markdown, in the place of an earlier one."""
    section = f"{BEGIN}\n{section.strip()}\n{END}"
    if earlier := _VERDICT.search(text):
        return text[: earlier.start()] + section + text[earlier.end() :]
    return f"{text.rstrip()}\n\n{section}\n"


def _is_repository(name: str) -> bool:
    return bool(REPOSITORY.fullmatch(name)) and len(name) <= 96 and ".." not in name


def _name(path: str) -> str:
    """A base's name on the hub, or the last part of its path: where it lies on one machine helps nobody."""
    return shown(path if _is_repository(path) else PurePath(path).name)


def _source(source: str) -> tuple[str, str, str | None]:
    """The type, the name and the split of a source of reviews, as `model-index` has them."""
    path, colon, split = source.rpartition(":")
    path, split = (path, split) if colon and re.fullmatch(r"\w+", split) else (source, "")
    if memory.is_name(source):
        return "memory", memory.MEMORY, None
    if path == "embedded":
        return "lorasent", "embedded", split or None
    is_here = formats.format_of(Path(path)) or os.path.lexists(path)
    if "/" in path and _is_repository(path) and not is_here:
        return path, path, split or None
    return PurePath(path).suffix.removeprefix(".").lower()[:20] or "text", shown(PurePath(path).name), split or None


def _sources(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The sources by the name of their split, "train" and "validation"."""
    return {split: record["source"] for split, record in (manifest.get("data") or {}).items()}


def _datasets(manifest: Mapping[str, Any]) -> list[str]:
    kinds = [_source(source) for source in _sources(manifest).values()]
    return list(dict.fromkeys(kind for kind, _, _ in kinds if _is_repository(kind) and "/" in kind))


def _results(manifest: Mapping[str, Any]) -> Iterator[Any]:
    from huggingface_hub import EvalResult

    kind, name, split = _source(_sources(manifest).get("validation", "text"))
    for figure, metric in METRICS.items():
        if (value := manifest["best"].get(figure)) is not None:
            yield EvalResult(
                task_type="text-classification",
                task_name="Sentiment classification",
                dataset_type=shown(kind),
                dataset_name=shown(name),
                dataset_split=split,
                metric_type=metric,
                metric_value=round(float(value), 4),
            )


def _about(manifest: Mapping[str, Any]) -> Iterator[str]:
    recipe, libraries = manifest.get("recipe"), manifest["libraries"]
    origin, version = manifest.get("origin", "trained"), libraries["lorasent"]
    if recipe:
        lora = recipe["lora"]
        method = ("rank-stabilised " if lora.get("use_rslora") else "") + ("DoRA" if lora.get("use_dora") else "LoRA")
        modules = ", ".join(map(code_span, lora["target_modules"][:20]))
        yield f"{method} r={lora['r']}, alpha={lora['alpha']} on {modules}, trained by lorasent {version}."
    else:
        yield f"Trained by another script, {origin} by lorasent {version}."
    yield ""
    yield f"- Labels: {', '.join(map(code_span, manifest['labels'][:20]))}" + (" and more" if len(manifest["labels"]) > 20 else "")
    for split, record in (manifest.get("data") or {}).items():
        _, name, part = _source(record["source"])
        yield f"- {split.capitalize()}: {code_span(f'{name}:{part}' if part else name)}, {record['reviews']:,} reviews"
    encoding = (recipe or manifest)["encoding"]
    yield f"- Texts: at most {encoding['max_length']} tokens, cut on the {encoding['truncation_side']}"
    if parameters := manifest.get("parameters"):
        total, trainable = parameters["total"], parameters["trainable"]
        yield f"- Parameters: {trainable:,} trained, {total:,} in all ({trainable / total:.2%} trained)"
    yield f"- Base: {code_span(_name(manifest['base']['name']))}, sha256 {code_span(manifest['base']['sha256'])}"


def _figures(manifest: Mapping[str, Any]) -> Iterator[str]:
    if not (best := manifest.get("best")):
        return
    figures = {name: best[name] for name in METRICS if name in best}
    yield from ("", "## Figures", "", f"| {' | '.join(figures).replace('_', ' ')} |", f"|{'---|' * len(figures)}")
    yield f"| {' | '.join(f'{value:.4f}' for value in figures.values())} |"
    yield ""
    yield f"Of the validation reviews, which also chose the best epoch ({best['epoch']}): on new reviews expect somewhat less."


def _limits(manifest: Mapping[str, Any]) -> Iterator[str]:
    length = (manifest.get("recipe") or manifest)["encoding"]["max_length"]
    yield from ("", "## Limits", "")
    yield f"- It answers one of its {len(manifest['labels'])} labels to any text, also to one that is no review."
    yield f"- Of a text of more than {length} tokens it reads one end only."
    yield "- What it was not measured on, such as other kinds of texts, other languages and other groups of writers, is not known."
    yield "- It needs the very base named above; another version of it gives other answers."
