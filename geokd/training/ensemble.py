"""Several teachers as one: networks of finished runs on the same chips, whose answers are averaged."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geokd.errors import CallError, one_message
from geokd.model.seen_chips import SeenChips
from geokd.training.checkpoint import read_tensors, write_tensors
from geokd.training.initial_weights import build_teacher
from geokd.training.networks import Classifier
from geokd.training.recipe_file import expanded, recipe_from_json
from geokd.training.run_folder import read_seen_chips
from geokd.training.run_record import TrainingRun, read_run

_LEAST = 1e-30  # of a probability: its logarithm is finite


class Ensemble(Classifier):
    """An ensemble of networks.

    The logits are the logarithm of the mean of the members' probabilities. The features are those of all members, each
    scaled to unit length so that all have equal weight in a cosine, one after the other.
    """

    def __init__(self, members: Sequence[Classifier]) -> None:
        super().__init__(sum(member.width for member in members))
        self.members = nn.ModuleList(members)
        self.seen = reduce(or_, (member.seen for member in members))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map pixels (N, C, H, W) in 0..255 to logits (N, K) and features (N, sum of the widths)."""
        answers = [member(pixels) for member in self.members]
        mean = torch.stack([torch.softmax(logits.float(), dim=1) for logits, _ in answers]).mean(dim=0)
        features = [F.normalize(features.float(), dim=1) for _, features in answers]
        return mean.clamp_min(_LEAST).log(), torch.cat(features, dim=1)


def build_ensemble(runs: Sequence[str], channels: int, classes: tuple[str, ...]) -> tuple[Ensemble, str]:
    """Build the teachers of some runs as one, without weights (see :func:`take_members`), with a description.

    Raises
    ------
    CallError
        If a run does not exist.
    """
    members = []
    for run in runs:
        teacher = recipe_from_json(_read(run).recipe).teacher
        if teacher.from_bundle is not None or teacher.ensemble:
            raise CallError(f"teacher.ensemble: the teacher of {run} was not trained there as one network; name others")
        network, _ = build_teacher(replace(teacher, initial_weights="none"), channels, classes)
        network.seen = read_seen_chips(expanded(run)).get("teacher", SeenChips())
        members.append(network)
    return Ensemble(members), f"mean of the runs {', '.join(Path(run).name for run in runs)}"


def take_members(runs: Sequence[str], folder: Path, run: TrainingRun) -> Callable[[], None]:
    """Check that the teachers of some runs were trained on the chips of `run`; return their copying to `folder`.

    Raises
    ------
    CallError
        If one of the runs has no teacher, or a different one: all of them in one message.
    """
    problems = []
    for name in runs:
        other = _read(name)
        differ = [key for key in ("contract", "legend") if getattr(other, key) != getattr(run, key)]
        if other.data.get("labelled_sha256") != run.data["labelled_sha256"]:
            differ.append("labelled chips")
        if differ:
            problems.append(f"the run {name} had another {' and '.join(differ)}; name runs on the same chips")
        if not (expanded(name) / "teacher.safetensors").is_file():
            problems.append(f"the run {name} has no finished teacher; finish it, or name another")
    if problems:
        raise CallError(f"teacher.ensemble: {one_message(problems)}")

    def take() -> None:
        tensors: dict[str, Tensor] = {}
        for number, name in enumerate(runs):
            own, _ = read_tensors(expanded(name) / "teacher.safetensors")
            tensors |= {f"members.{number}.{key}": value for key, value in own.items()}
        write_tensors(folder / "teacher.safetensors", tensors)

    return take


def _read(run: str) -> TrainingRun:
    """Read the record of a run."""
    try:
        return read_run(expanded(run))
    except (OSError, ValueError) as error:
        raise CallError(f"teacher.ensemble: there is no run to take a teacher from in {run} ({error})") from error
