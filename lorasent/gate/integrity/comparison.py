"""A comparison: the two sides, each part of them read once, and the differences between them that the policy allows.

A fault of the candidate is BLOCK; one of the baseline is INVALID, and its cause begins with "baseline-". Nothing imports torch.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import safe_open

from lorasent.adapter.architectures import Shapes, resolve_targets
from lorasent.adapter.base import BaseCheckpoint, find, whole
from lorasent.adapter.manifest import CONFIG, MANIFEST, WEIGHTS, CompleteManifest, SavedEncoding
from lorasent.adapter.snapshot import Snapshot
from lorasent.adapter.weights import ALWAYS, bounded, header
from lorasent.errors import AdapterError, BaseModelError, LorasentError, RecipeError
from lorasent.gate import sections
from lorasent.gate.finding import Outcome
from lorasent.gate.integrity.layout import Layout, layout
from lorasent.recipe import settings
from lorasent.recipe.recipe import Encoding, Recipe
from lorasent.scoring.evidence import LiveSubject, Subject
from lorasent.text import shown

EXPORT = "export the adapter again with lorasent train, or repair the exporter that wrote it"
RETRIEVE = "copy the directory again from where it was made"
ALLOW = "ship the same as the baseline, or list {} in may_change of [integrity]"
"""Advice about a difference that the policy does not allow."""

NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
TYPES = tuple(NAMES)
"""Types of weights in a safetensors header; lorasent trains in the first."""

Differences = Mapping[str, tuple[Any, Any]]
"""Old and new value by key ("table.key")."""


class Passed(NamedTuple):
    """Why a check passes; `declared` are the differences that the policy allows."""

    message: str
    declared: Mapping[str, tuple[Any, Any]] = {}


class Fault(Exception):  # noqa: N818 - it becomes a Finding, and never reaches a user as an error
    """Why a check does not pass."""

    def __init__(self, cause: str, message: str, advice: str, *, outcome: Outcome = Outcome.BLOCK, **figures: Any) -> None:
        super().__init__(message)
        self.cause, self.message, self.advice, self.outcome, self.figures = cause, message, advice, outcome, figures


class LoraSettings(BaseModel):
    """PEFT's adapter_config.json: the keys that every adapter needs; `model_extra` holds all others."""

    model_config = ConfigDict(extra="allow", strict=True)

    peft_type: str
    task_type: str | None
    base_model_name_or_path: str | None
    revision: str | None = None
    r: Annotated[int, Field(gt=0)]
    lora_alpha: int | float
    lora_dropout: int | float
    target_modules: list[str] | str
    modules_to_save: list[str] | None
    fan_in_fan_out: bool = False
    inference_mode: bool = True


def find_base(name: str, revision: str | None, sha256: str, beside: Path | None) -> BaseCheckpoint | BaseModelError:
    """The base that a manifest pins, or why it is not available. `checks` caches this: hashing takes most of a check's time."""
    try:
        return find(name, revision, sha256, beside)
    except BaseModelError as error:
        return error


class Side:
    """The candidate, or the baseline, which may be recorded evidence without a directory (`path` is None)."""

    def __init__(self, subject: Subject, *, baseline: bool, find_base: Callable[..., BaseCheckpoint | BaseModelError]) -> None:
        self.subject = subject
        self.baseline = baseline
        self.path = subject.path if isinstance(subject, LiveSubject) else None
        self.name = subject.name
        self._find_base = find_base

    def fault(self, cause: str, what: str | LorasentError, advice: str = EXPORT, *, file: str = "", **figures: Any) -> Fault:
        """A fault of this side, whose message begins with its name, or the path of its `file`. An error names its place itself."""
        place = f"{self.name}/{file}" if file else self.name
        message = f"{place}: {what}" if isinstance(what, str) else str(what)
        if self.baseline:
            return Fault(f"baseline-{cause}", f"the baseline is faulty: {message}", advice, outcome=Outcome.INVALID, **figures)
        return Fault(cause, message, advice, **figures)

    def json(self, name: str) -> dict[str, Any]:
        """The JSON object in one of the directory's files."""
        try:
            return self.snapshot.json(name)
        except AdapterError as error:
            raise self.fault("json-broken", error, RETRIEVE) from None

    @functools.cached_property
    def snapshot(self) -> Snapshot:
        """The directory as it was read; a recorded baseline has none."""
        assert isinstance(self.subject, LiveSubject)
        return self.subject.snapshot

    @functools.cached_property
    def manifest(self) -> CompleteManifest:
        """The manifest, with the keys that the gate needs."""
        try:
            return CompleteManifest.parse(self.subject.manifest.content, f"{self.name}/{MANIFEST}")
        except AdapterError as error:
            raise self.fault("manifest-broken", error) from None

    @functools.cached_property
    def config(self) -> LoraSettings:
        """PEFT's configuration."""
        try:
            return settings.parse(LoraSettings, self.snapshot.json(CONFIG), f"{self.name}/{CONFIG}", AdapterError)
        except AdapterError as error:
            raise self.fault("config-broken", error) from None

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The manifest's recipe, unless it was edited after training; only what lorasent trained has one."""
        try:
            recipe = self.manifest.recipe
        except RecipeError as error:
            raise self.fault("recipe-broken", error) from None
        digest = hashlib.sha256(json.dumps(self.manifest.tables, sort_keys=True).encode()).hexdigest()
        listed = self.manifest.recipe_sha256
        if digest != listed:
            message = f"the recipe was edited after training: its sha256 is {digest[:12]}…, recipe_sha256 is {listed[:12]}…"
            raise self.fault("recipe-edited", message, file=MANIFEST)
        return recipe

    @functools.cached_property
    def encoding(self) -> Encoding | SavedEncoding:
        """How texts are encoded: by the recipe, or as another script saved it."""
        return self.manifest.saved_encoding or self.recipe.encoding

    @property
    def is_trained(self) -> bool:
        """Whether lorasent trained the adapter, by a recipe."""
        return self.manifest.origin == "trained"

    @functools.cached_property
    def implied(self) -> Shapes:
        """The tensors that PEFT's configuration implies, with the embeddings if the adapter holds any of them."""
        assert isinstance(self.subject, LiveSubject)

        def compute() -> list[Shapes]:
            from lorasent.adapter.directory import implied

            return implied(self.snapshot, self.base, self.manifest)

        try:
            ways = self.subject.remember("tensors", compute)
        except LorasentError as error:
            raise self.fault(getattr(error, "cause", "") or "config-broken", error) from None
        bare, embedded = ({name: tuple(shape) for name, shape in way.items()} for way in ways)
        return embedded if (embedded.keys() - bare.keys()) & self.tensors.keys() else bare

    @functools.cached_property
    def tensors(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type of every tensor of the weights, by name."""
        try:
            headers = [header(self.snapshot.folder / file) for file in self.snapshot.weights]
            return {name: tensor for each in headers for name, tensor in each.items()}
        except (ValueError, OSError) as error:
            message = f"cannot be read as safetensors: {shown(error, 300)}"
            raise self.fault("weights-broken", message, RETRIEVE, file=WEIGHTS) from None

    @property
    def types(self) -> str:
        """The types of the weights, such as "float32"."""
        return " and ".join(sorted({NAMES.get(kind, kind) for _, kind in self.tensors.values()}))

    def numbers(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every tensor of the weights with its name, one at a time, in float32."""
        kinds = ("F32",) if self.is_trained else TYPES
        if mistyped := [f"{shown(name)} is {kind}" for name, (_, kind) in self.tensors.items() if kind not in kinds]:
            names = " or ".join(f"{NAMES[kind]} ({kind})" for kind in kinds)
            raise self.fault("dtype", f"{len(mistyped)} tensors are not {names}: {mistyped[0]}", file=WEIGHTS)
        if not self.manifest.is_model and (self.snapshot.folder / WEIGHTS).stat().st_size > ALWAYS:
            try:
                bounded(self.snapshot.folder / WEIGHTS, self.base.path)
            except ValueError as error:
                raise self.fault("weights-large", str(error), file=WEIGHTS) from None
        halves = any(kind == "BF16" for _, kind in self.tensors.values())  # NumPy has no such type
        for weights in self.snapshot.weights:
            with safe_open(self.snapshot.folder / weights, framework="pt" if halves else "np") as file:
                for name in file.keys():  # noqa: SIM118 - no mapping
                    tensor = file.get_tensor(name)
                    yield name, tensor.float().numpy() if halves else tensor.astype(np.float32, copy=False)

    @functools.cached_property
    def base(self) -> BaseCheckpoint:
        """The base that the manifest pins, or the whole model. INVALID, whichever side this is, if it is not available here."""
        pinned = self.manifest.base
        if self.manifest.is_model:
            try:
                return whole(self.name, self.snapshot.folder, pinned.sha256)
            except BaseModelError as error:
                raise self.fault("config-broken", error) from None
        beside = self.path.absolute().parent if self.path else None
        base = self._find_base(pinned.name, pinned.revision, pinned.sha256, beside)
        if isinstance(base, BaseCheckpoint):
            return base
        message = f"{self.name}: its base {shown(pinned.name)} with sha256 {pinned.sha256[:12]}… is not available here: {base}"
        advice = "make the base available (lorasent doctor shows what is), or correct the manifest"
        raise Fault("base-unavailable", message, advice, outcome=Outcome.INVALID)

    @functools.cached_property
    def layout(self) -> Layout:
        """The tensors that an adapter of this base must hold."""
        try:
            return layout(self.base.path, len(self.manifest.labels), {name: shape for name, (shape, _) in self.tensors.items()})
        except (OSError, ValueError, AdapterError) as error:
            message = f"{self.base.path}: the base cannot be read: {shown(error, 500)}"
            raise Fault("base-broken", message, "fetch the base again", outcome=Outcome.INVALID) from None

    @functools.cached_property
    def targets(self) -> set[str]:
        """The linear layers that PEFT's target_modules select."""
        assert isinstance(self.config.target_modules, list)
        selected = resolve_targets(self.layout.linear, self.config.target_modules, aliases=False)
        for target, layers in selected.items():
            if not layers:
                message = f"target_modules names {shown(target)}, no linear layer of {shown(self.manifest.base.name)}"
                raise self.fault("target-modules", message, file=CONFIG)
        return {layer for layers in selected.values() for layer in layers}


class Comparison(NamedTuple):
    """The two sides that a check compares, and the policy's settings. A first adapter is both: it differs in nothing."""

    candidate: Side
    baseline: Side
    settings: sections.Integrity

    def directories(self) -> list[Side]:
        """The sides that have a directory to inspect, the candidate first; a recorded baseline has none."""
        return [side for side in dict.fromkeys((self.candidate, self.baseline)) if side.path is not None]

    @property
    def is_first(self) -> bool:
        """Whether there is no baseline."""
        return self.candidate is self.baseline

    @property
    def same_base(self) -> bool:
        """Whether both manifests pin a base of the same weights, or are whole models."""
        if self.candidate.manifest.is_model and self.baseline.manifest.is_model:
            return True
        return self.candidate.manifest.base.sha256 == self.baseline.manifest.base.sha256

    def allows(self, key: str) -> bool:
        """Whether the policy's may_change lists a key or its table."""
        return key in self.settings.may_change or key.partition(".")[0] in self.settings.may_change

    def allow(self, differences: Differences, cause: str, what: str, entry: str | None = None) -> Differences:
        """The differences, if the policy allows all. Raises the candidate's Fault, which advises to list `entry`, or the keys."""
        refused = {key: change for key, change in differences.items() if not self.allows(key)}
        if refused:
            entries = entry or ", ".join(f'"{key}"' for key in refused)
            message = f"{what}: {summary(refused)}; may_change is {list(self.settings.may_change)}"
            raise Fault(cause, message, ALLOW.format(entries), differences=refused)
        return differences


def summary(differences: Differences) -> str:
    """Differences as text: key, old value, new value."""
    return ", ".join(f"{key} {old} -> {new}" for key, (old, new) in differences.items())
