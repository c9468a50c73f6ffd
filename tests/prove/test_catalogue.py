"""The catalogue: each fault is planted and judged, and blocked by a right cause."""

import numpy as np
import pytest

from lorasent.adapter.manifest import MANIFEST, read_json, verify
from lorasent.prove.catalogue import FAULTS
from lorasent.prove.experiment import measure


def test_there_are_many_faults():
    """There are at least 24; each has its own name, a sentence, and one way to plant it."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24
    assert all(fault.what.endswith(".") for fault in FAULTS)
    assert all((fault.plant is None) != (fault.corrupt is None) for fault in FAULTS)


IN_FILES = [fault for fault in FAULTS if fault.plant and fault.kind != "quality" and fault.name != "slower: max_length doubled"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", IN_FILES, ids=lambda fault: fault.name)
def test_a_fault_that_shows_in_the_files_is_blocked_by_a_right_cause(small_adapter, retrained, policy, tmp_path, fault):
    """The verdict is BLOCK, although every hash of the manifest agrees."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (result,) = rates.faults
    assert (result.outcomes, result.named, result.note) == ({"BLOCK": 1}, 1, ""), result.causes
    assert rates.missed == {fault.kind: (0, 1, pytest.approx(0.975))}
    verify(tmp_path / "work" / "faults" / fault.slug / "0")


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.plant and fault.kind == "quality"], ids=lambda fault: fault.name
)
def test_a_fault_of_quality_passes_every_integrity_check(small_adapter, retrained, policy, tmp_path, fault):
    """Its manifest holds its own answers, which differ from those of the healthy adapter."""
    rates = measure([small_adapter, retrained], policy, tmp_path / "work", per_fault=1, faults=[fault])
    (result,) = rates.faults
    assert result.planted == 1
    assert not any(cause.startswith("integrity") for cause in result.causes)
    faulty = next((tmp_path / "work" / "faults").glob("*/0"))
    healthy, now = (np.array(read_json(path / MANIFEST)["probes"]["logits"]) for path in (small_adapter, faulty))
    assert np.abs(healthy - now).max() > 1e-4
