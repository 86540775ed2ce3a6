"""The record of a training run, `run.json`: what was requested, what it began from, and what came of it."""

import datetime
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geokd.model.familiarity import Familiarity
from geokd.system.documents import Record, parse_json, read_record, read_text
from geokd.training.figures import Metrics


@dataclass(frozen=True, kw_only=True)
class InitialWeights(Record):
    """Where the initial weights of a network come from, in words, and the hash of its tensors."""

    origin: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Machine(Record):
    """Name of the GPU, or "cpu", and number of processor cores."""

    device: str
    cores: int | None


@dataclass(frozen=True, kw_only=True)
class MadeBy(Record):
    """Machine, versions of libraries, and date (YYYY-MM-DD) of a run; None until it is finished."""

    machine: Machine | None = None
    versions: dict[str, str] | None = None
    date: str | None = None

    @classmethod
    def now(cls) -> "MadeBy":
        """Describe this machine, today."""
        return cls(
            machine=Machine(
                device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu", cores=os.cpu_count()
            ),
            versions={
                "geokd": importlib.metadata.version("geokd"),
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
            date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        )


@dataclass(frozen=True, kw_only=True)
class TrainingRun(MadeBy):
    """A training run.

    The first five fields are what was requested, and identify the data: a run is continued with the same only. Of each
    stage ("teacher", "student") `initial_weights` has the initial weights, `arithmetic` the precision, and of "device"
    the kind of processor. The fields from `temperature` on are there once the run is `complete`; `derived_from` and
    `notes` are those of a student that was trained further. `teacher_only` marks the teacher of an ablation.
    """

    recipe: dict[str, Any]
    recipe_sha256: str
    contract: dict[str, Any]
    legend: tuple[dict[str, Any], ...]
    data: dict[str, Any]
    initial_weights: dict[str, InitialWeights]
    arithmetic: dict[str, str] | None = None
    teacher_only: bool = False
    complete: bool = False
    temperature: float | None = None
    familiarity: dict[str, Any] | None = None
    metrics: Metrics | None = None
    derived_from: dict[str, str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return str(self.recipe.get("name", ""))


@dataclass(frozen=True, kw_only=True)
class FinishedRun(TrainingRun):
    """A run that is complete."""

    machine: Machine
    versions: dict[str, str]
    date: str
    temperature: float
    metrics: Metrics

    @property
    def statistics(self) -> Familiarity | None:
        """Statistics of the training data, if the run recorded any."""
        return None if self.familiarity is None else Familiarity.from_json(self.familiarity)


def read_run(folder: Path) -> TrainingRun:
    """Read the record of the run in a folder.

    Raises
    ------
    OSError
        If there is none.
    ValueError
        If it is not one: the first problem.
    """
    return read_record(parse_json(read_text(folder / "run.json")), TrainingRun)
