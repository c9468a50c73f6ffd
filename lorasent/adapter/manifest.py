"""The manifest of an adapter, lorasent.json: what it was made from, and the sha256 of every file. Never imports torch."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from lorasent import files
from lorasent.adapter.snapshot import CONFIG, MANIFEST, MODEL_CONFIG, WEIGHTS, Snapshot, of
from lorasent.adapter.untrusted import read_json
from lorasent.errors import AdapterError, RecipeError
from lorasent.recipe import settings
from lorasent.recipe.recipe import Base, Encoding, Recipe
from lorasent.text import shown

if TYPE_CHECKING:
    from lorasent.data.reviews import Reviews

__all__ = ["CONFIG", "MANIFEST", "WEIGHTS", "CompleteManifest", "Manifest", "identity", "read", "read_json", "verify"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class PinnedBase(_Frozen):
    """The base that an adapter was trained on."""

    name: Annotated[str, Field(min_length=1, max_length=4096)]
    """Name on the hub, or path."""
    sha256: str
    """Hash of its weights, by which it is known."""
    revision: str | None
    """Revision that was asked for."""
    config: dict[str, Any] | None = None
    """The base's configuration; manifests that an older lorasent wrote have none."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """The type that its weights had in the memory of the script that sealed the adapter. Answers are computed in float32."""


class Probes(_Frozen):
    """Texts that are answered at every load, and their logits after training. Both are bounded, and so is the time of a load."""

    texts: Annotated[list[Annotated[str, Field(max_length=10_000)]], Field(min_length=1, max_length=50)]
    """The texts."""
    logits: list[list[float]]
    """For each text a logit for each label."""


class Split(_Frozen):
    """Reviews of the training run, by source and hash."""

    source: str
    """Where they came from."""
    sha256: str
    """Hash of texts and labels."""
    reviews: int
    """Their number."""


class Parameters(_Frozen):
    """Numbers of parameters."""

    total: Annotated[int, Field(gt=0)]
    """All parameters of the model, PEFT's frozen copy of the head included."""
    trainable: Annotated[int, Field(gt=0)]
    """Those that were trained, which the weights' file holds."""


class SavedEncoding(_Frozen):
    """How the tokenizer that another script saved encodes texts. It keeps its own prefix space."""

    max_length: Annotated[int, Field(ge=1)]
    """Largest number of tokens."""
    truncation_side: Literal["left", "right"]
    """The side that is cut."""
    pad_token_id: Annotated[int, Field(ge=0)]
    """Id of the pad token."""
    add_prefix_space: None = None
    """Always absent: the saved tokenizer keeps its own."""


class Manifest(_Frozen):
    """The keys of a manifest that loading needs. `content` is the whole JSON object, which is hashed.

    What lorasent trained has a recipe. What another script trained has PEFT's configuration and the encoding instead, and was
    sealed in the trainer's memory, or adopted: then its probes show only what its files answered on that day.
    """

    schema_version: Literal[1]
    """The version of this format."""
    origin: Literal["trained", "sealed", "adopted"] = "trained"
    """Who wrote it: `lorasent train`, `lorasent.seal` in a training script, or `lorasent adopt` afterwards."""
    tables: Annotated[dict[str, Any] | None, Field(alias="recipe")] = None
    """The recipe as it was written, not validated; see `recipe`."""
    peft: dict[str, Any] | None = None
    """PEFT's configuration of an adapter that another script trained; empty of a whole model."""
    saved_encoding: Annotated[SavedEncoding | None, Field(alias="encoding")] = None
    """How an adapter of another script encodes texts; what lorasent trained has a recipe, which says so."""
    embeddings: Annotated[int | None, Field(gt=0, le=1 << 24)] = None
    """Number of embeddings that the adapter brings, if it brings them."""
    not_read: list[Annotated[str, Field(max_length=300)]] = []
    """Files beside an adopted adapter that were not read, such as pickles."""
    in_memory: bool = False
    """Whether the manifest was made for one verdict, and no file holds it."""
    base: PinnedBase
    """The base."""
    labels: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=2, max_length=10_000)]
    """Names of the labels, in the order of the logits."""
    tokenizer_sha256: str
    """Hash of what the tokenizer does."""
    probes: Probes
    """What the trainer's memory answered."""
    files: dict[str, str]
    """The sha256 of each file beside the manifest, but for the model card."""
    data: dict[str, Split] = {}
    """The reviews of each split, "train" and "validation"."""
    _content: Mapping[str, Any] = PrivateAttr()
    _where: str = PrivateAttr()

    @model_validator(mode="after")
    def _answers_every_probe(self) -> Self:
        if [len(row) for row in self.probes.logits] != [len(self.labels)] * len(self.probes.texts):
            raise ValueError("probes: every text needs a logit for each label")
        required = {"recipe": self.tables} if self.origin == "trained" else {"encoding": self.saved_encoding, "peft": self.peft}
        if missing := [key for key, value in required.items() if value is None]:
            raise ValueError(f"required key {missing[0]} is missing")
        if self.tables is not None and self.saved_encoding is not None:
            raise ValueError("recipe and encoding exclude each other: a recipe has an encoding of its own")
        return self

    @classmethod
    def parse(cls, content: Mapping[str, Any], where: str | Path) -> Self:
        """The manifest in a JSON object, which messages call `where`. Raises AdapterError."""
        manifest = settings.parse(cls, content, str(where), AdapterError)
        manifest._content, manifest._where = content, str(where)  # noqa: SLF001 - of its own class
        return manifest

    @property
    def content(self) -> Mapping[str, Any]:
        """The JSON object as it was read, with keys that this class does not have."""
        return self._content

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe. Raises RecipeError; only what lorasent trained has one."""
        if self.tables is None:
            raise RecipeError(f"{self._where}: has no recipe: the adapter was {self.origin}, not trained by lorasent")
        return Recipe.parse(self.tables, self._where)

    @property
    def encoding(self) -> Encoding | SavedEncoding:
        """How texts are encoded. Raises RecipeError."""
        return self.recipe.encoding if self.saved_encoding is None else self.saved_encoding

    @property
    def settings(self) -> Base:
        """The labels, and the base's dropout. Raises RecipeError."""
        return (
            self.recipe.base if self.tables is not None else Base.model_construct(model=self.base.name, labels=tuple(self.labels))
        )

    @property
    def is_model(self) -> bool:
        """Whether this is a whole model, without LoRA."""
        return self.peft == {}

    def trained_on(self, reviews: "Reviews") -> str | None:
        """The split of the training run, "train" or "validation", that has the reviews' hash or source; None if neither does."""
        same = (name for name, split in self.data.items() if split.sha256 == reviews.fingerprint or split.source == reviews.source)
        return next(same, None)


class CompleteManifest(Manifest):
    """A manifest with the further keys that the gate needs. Training writes all of them."""

    recipe_sha256: str = ""
    """Hash of the recipe, which shows that it was not edited."""
    parameters: Parameters
    """Numbers of parameters."""
    tokenizer_parts: dict[str, str] | None = None
    """Hashes of the tokenizer's parts as transformers builds it; manifests that an older lorasent wrote have none."""
    libraries: dict[str, str] = {}
    """Versions of the libraries."""


def read(path: Path | Snapshot) -> Manifest:
    """The manifest of an adapter's directory. Raises AdapterError, which names the invalid key."""
    snapshot = of(path)
    snapshot.require(MANIFEST)
    return Manifest.parse(snapshot.json(MANIFEST), snapshot.path / MANIFEST)


def verify(path: Path | Snapshot) -> Manifest:
    """The manifest of an adapter's directory. Raises AdapterError for a file that is missing, added or changed."""
    snapshot = of(path)
    manifest = read(snapshot)
    for name in sorted({*snapshot.weights, MODEL_CONFIG if manifest.is_model else CONFIG} | manifest.files.keys()):
        where, listed = snapshot.path / shown(name), manifest.files.get(name)
        snapshot.require_read(name)
        if name not in snapshot.hashes:
            raise AdapterError(f"{where}: missing, the manifest lists it")
        if snapshot.hashes[name] != listed:
            if snapshot.is_converted(name, listed):
                raise AdapterError(f"{where}: {files.CONVERTED}", "line-endings")
            raise AdapterError(f"{where}: not the file that was written (sha256 differs from the manifest's)")
    if added := [name for name in snapshot if name not in manifest.files]:
        raise AdapterError(f"{snapshot.path / shown(added[0])}: not among the files that the manifest lists; remove it")
    return manifest


def identity(path: Path | Snapshot) -> str:
    """The sha256 of everything that determines an adapter's answers: its files, and its manifest's content."""
    snapshot = of(path)
    content = read(snapshot).content
    hashed = {key: content[key] for key in ("recipe", "encoding", "base", "labels") if key in content}
    digests = {shown(name): snapshot.hashes.get(name) for name in snapshot}
    return hashlib.sha256(files.canonical({"files": digests, **hashed}).encode()).hexdigest()
