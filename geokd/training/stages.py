"""The two stages of a training run, teacher and student: their initial weights, and reports on their results."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geokd.chips.reading import Chips
from geokd.errors import RecipeError, TrainingError
from geokd.legend.classes import Legend, machine_name
from geokd.model.bundle import load_bundle
from geokd.model.contract import InputContract
from geokd.model.drift import chip_features, learn_familiarity
from geokd.model.familiarity import Familiarity
from geokd.model.seen_chips import SeenChips
from geokd.scenes.bands import wavelengths_nm
from geokd.statistics.intervals import wilson
from geokd.system.progress import Progress
from geokd.training.checkpoint import read_tensors, write_tensors
from geokd.training.data.augmentation import Traits
from geokd.training.data.batches import ChipSet, epoch_generator, varied
from geokd.training.data.reading import TrainingData, spread
from geokd.training.distillation import Answers, distillation_loss, label_loss
from geokd.training.ensemble import build_ensemble
from geokd.training.figures import NetworkFigures, Remembered, in_words, judged
from geokd.training.initial_weights import build_student, build_teacher
from geokd.training.loop import LossFunction, TrainingJob, fit, predict
from geokd.training.networks import LEAST_TEACHER_PX, Classifier
from geokd.training.recipe import Recipe, Stage
from geokd.training.recipe_file import expanded
from geokd.training.run_folder import read_seen_chips

FAMILIAR_CHIPS = 4096
_FAMILIAR_ROUNDS = 64  # validation chips; with fewer, all views are used
_SURE_CHIPS = 1024  # of these, enough for a quantile of the confidence: the student takes far longer than the features
_USEFUL_TEACHER = 0.8
_FEWEST_WATCHED = 256
_WHO: dict[Stage, str] = {"teacher": "old student", "student": "student"}

Networks = dict[Stage, tuple[Classifier, str]]
"""Networks with their initial weights, and where these come from."""


@dataclass(frozen=True)
class Arithmetic:
    """Where networks are trained, and which of them in bfloat16."""

    device: torch.device
    bf16: frozenset[Stage]

    @classmethod
    def of(cls, recipe: Recipe, networks: Networks) -> "Arithmetic":
        """Choose them for this machine."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(device, frozenset(stage for stage in networks if bf16_pays(stage, device, recipe)))

    def to_json(self, stages: Iterable[Stage]) -> dict[str, str]:
        """Return the device and the precision of each stage."""
        return {"device": self.device.type, **{s: "bfloat16" if s in self.bf16 else "float32" for s in stages}}


class Stages:
    """The two stages of a training run; each writes its network and figures to the folder and reads them back."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        networks: Networks,
        folder: Path,
        arithmetic: Arithmetic,
        progress: Progress,
    ) -> None:
        self.recipe, self.legend, self.networks = recipe, data.legend, networks
        self.folder, self.device, self.progress = folder, arithmetic.device, progress
        self.bf16 = arithmetic.bf16
        device = arithmetic.device
        source = recipe.teacher.from_bundle
        self.old = None if source is None else load_bundle(source)
        self.labelled, self.validation = (_on_device(chips, device) for chips in (data.labelled, data.validation))
        self.chips = self.labelled
        if len(data.training.labels) > len(self.labelled.labels):
            self.chips = _on_device(data.training, device)
        watched = spread(data.validation.labels, max(_FEWEST_WATCHED, len(data.training.labels) // 2), recipe.seed)
        self.watched = ChipSet(self.validation.pixels[watched], self.validation.labels[watched])  # after each epoch
        self._commonest = float(np.bincount(data.validation.labels).max()) / len(data.validation.labels)
        named = recipe.augmentation
        self.traits = Traits(
            water=self._are(named.water_classes),
            unmixed=self._are(named.unmixed_classes),
            stripes=self._are(named.strip_classes),
            wavelengths_nm=torch.tensor(wavelengths_nm(data.contract.bands), device=self.device),
        )

    def _are(self, names: tuple[str, ...]) -> Tensor:
        wanted = {machine_name(name) for name in names}
        return torch.tensor([*(c.name in wanted for c in self.legend), False], device=self.device)

    def teacher(self) -> tuple[Classifier, NetworkFigures]:
        """Train the teacher on hard labels, or read it back; an old student is not trained."""
        recipe = self.recipe.teacher
        network, origin = self.networks["teacher"]
        network = network.to(memory_format=torch.channels_last).to(self.device)
        if self.old is not None:
            return network.eval(), self._figures(network, "teacher", origin)

        loss = label_loss(recipe.label_smoothing)
        network = self._fit_or_read("teacher", network, nn.Identity(), loss, origin)  # that of an ensemble exists
        figures = self._figures(network, "teacher", origin)
        if _USEFUL_TEACHER > figures.accuracy > self._commonest:
            self.progress(
                f"warning: a teacher right on only {100 * figures.accuracy:.0f} % of the validation chips may"
                " mislead the student; give it initial weights or more epochs, or lower loss.kl and loss.cosine"
            )
        return network, figures

    def student(self, answers: Answers | None, width: int) -> tuple[Classifier, NetworkFigures]:
        """Train the student, or read it back; return it with its figures. `width` is that of the teacher's features."""
        recipe = self.recipe
        network, origin = self.networks["student"]
        network = network.to(memory_format=torch.channels_last).to(self.device)
        projection: nn.Module = nn.Identity()
        if answers is not None and recipe.loss.cosine and recipe.loss.cosine_on == "features":
            torch.manual_seed(recipe.seed + 2)
            projection = nn.Linear(network.width, width, bias=False).to(self.device)
        loss = distillation_loss(recipe.loss, answers, projection, recipe.student.label_smoothing)
        network = self._fit_or_read("student", network, projection, loss, origin)
        return network, self._figures(network, "student", origin)

    def familiarity(self, student: Classifier, temperature: float) -> Familiarity:
        """Compute features of augmented validation chips, and the student's confidence for them."""
        generator = epoch_generator(self.recipe.seed, "student", self.recipe.student.epochs, self.device)
        count = min(FAMILIAR_CHIPS, _FAMILIAR_ROUNDS * len(self.validation.labels))
        features: list[NDArray[np.float64]] = []
        confidence: list[NDArray[np.float32]] = []
        for pixels in varied(self.validation, self.traits, self.recipe.augmentation, count, generator):
            features.append(chip_features(pixels.cpu().numpy()))
            if sum(map(len, confidence)) < _SURE_CHIPS:
                logits, _ = predict(student, pixels, bf16=False)
                confidence.append(torch.softmax(logits / temperature, dim=1).amax(dim=1).cpu().numpy())
        chosen = spread(self.validation.labels.cpu().numpy(), FAMILIAR_CHIPS, self.recipe.seed)
        unvaried = chip_features(self.validation.pixels[chosen].cpu().numpy())
        return learn_familiarity(np.concatenate(features), np.concatenate(confidence), unvaried)

    def remembered(self, student: Classifier, patches: Chips | None) -> Remembered | None:
        """Report how often a student whose training was continued gives the old answer on held-out patches."""
        if patches is None or self.old is None:
            return None
        pixels = torch.from_numpy(patches.pixels).to(self.device)
        old = _old_student(self.recipe, len(self.old.contract.bands), self.legend.names)[0].to(self.device)
        now, before = (predict(network, pixels, bf16=False)[0].argmax(1) for network in (student, old))
        same, n = int((now == before).sum()), len(pixels)
        low, high = wilson(same, n)
        self.progress(
            f"preserved: the old student's answer on {100 * same / n:.1f} % of {n} held-out patches"
            f" (95 % interval {100 * low:.1f}-{100 * high:.1f} %); the changes include corrections"
        )
        return Remembered(n=n, agreement=same / n, interval_95=(low, high))

    def _fit_or_read(
        self, stage: Stage, network: Classifier, projection: nn.Module, loss: LossFunction, origin: str
    ) -> Classifier:
        path = self.folder / f"{stage}.safetensors"
        recipe = self.recipe.teacher if stage == "teacher" else self.recipe.student
        if path.is_file():
            tensors, _ = read_tensors(path)
            try:
                network.load_state_dict(tensors)
            except RuntimeError as error:
                raise TrainingError(
                    f"{path} has another network than {recipe.architecture}; start a new run"
                ) from error
            return network.eval()
        frozen = not all(p.requires_grad for p in network.parameters())
        kept = f"; its first {self.recipe.teacher.frozen_layers} layers are frozen" if frozen else ""
        self.progress(f"{stage}: {recipe.architecture}, initial weights: {origin}{kept}")
        job = TrainingJob(
            stage=stage,
            network=network,
            projection=projection,
            loss=loss,
            recipe=recipe,
            augmentation=self.recipe.augmentation if stage == "student" else None,
            traits=self.traits,
            chips=self.labelled if stage == "teacher" else self.chips,
            validation=self.watched,
            seed=self.recipe.seed,
            bf16=stage in self.bf16,
            folder=self.folder,
            progress=self.progress,
        )
        network = fit(job)
        write_tensors(path, dict(network.state_dict()))
        (self.folder / f"{stage}.checkpoint.safetensors").unlink(missing_ok=True)
        return network

    def _figures(self, network: Classifier, stage: Stage, origin: str) -> NetworkFigures:
        """Figures on the validation chips, with the temperature that calibrates the logits there."""
        path = self.folder / f"{stage}_validation.safetensors"
        if not path.is_file():
            bf16 = stage == "teacher" and "teacher" in self.bf16  # a student is exported, and used, in fp32
            answers, _ = predict(network, self.validation.pixels, bf16=bf16)
            write_tensors(path, {"logits": answers.cpu(), "labels": self.validation.labels.cpu()})
        found, _ = read_tensors(path)
        logits, truth = found["logits"].numpy(), found["labels"].numpy()
        temperature = None if self.old is None else self.old.temperature
        figures = judged(logits, truth, network, self.legend, origin=origin, temperature=temperature)
        who = stage if self.old is None else _WHO[stage]
        if stage == "student" and self.old is None and figures.accuracy == 1:
            self.progress(
                f"warning: all {figures.n} validation chips are right, so its error rate cannot be estimated:"
                " its confidences are not calibrated (temperature 1); give more validation chips"
            )
        self.progress(f"{who}: {in_words(figures, 'validation chips')})")
        if self.old is None and figures.accuracy <= self._commonest < 1:
            self.progress(
                f"warning: the {who} learned nothing: its accuracy on validation chips is no higher than that of always"
                f" choosing the most common class ({100 * self._commonest:.0f} %); give it initial weights, more epochs"
                f" ({stage}.epochs) or another {stage}.learning_rate"
            )
        return figures


def build_networks(recipe: Recipe, contract: InputContract, legend: Legend) -> Networks:
    """Networks with their initial weights and their origin; no teacher if the loss does not need one."""
    channels, classes, pixel_m = len(contract.bands), legend.names, contract.ground_resolution_m
    networks: Networks = {}
    if recipe.teacher.from_bundle is not None and recipe.loss.needs_teacher:
        networks["teacher"] = _old_student(recipe, channels, classes)
    elif (recipe.teacher.epochs or recipe.teacher.ensemble) and recipe.loss.needs_teacher:
        is_vgg16 = recipe.teacher.architecture == "vgg16" and not recipe.teacher.ensemble
        if is_vgg16 and contract.patch_px * recipe.teacher.upsample < LEAST_TEACHER_PX:
            raise RecipeError(
                f"patches of {contract.patch_px} px are too small for the teacher, which halves them five times: set"
                f" input.patch_px = {LEAST_TEACHER_PX} or more, or loss.kl and loss.cosine to 0 for labels only"
            )
        torch.manual_seed(recipe.seed)
        source = recipe.teacher.from_run
        if recipe.teacher.ensemble:  # its weights come from its runs
            networks["teacher"] = build_ensemble(recipe.teacher.ensemble, channels, classes)
        elif source is None:
            networks["teacher"] = build_teacher(recipe.teacher, channels, classes, pixel_m=pixel_m)
        else:  # its weights come from the run
            network, _ = build_teacher(replace(recipe.teacher, initial_weights="none"), channels, classes)
            network.seen = read_seen_chips(expanded(source)).get("teacher", SeenChips())
            networks["teacher"] = network, f"run {Path(source).name}"
    torch.manual_seed(recipe.seed + 1)
    networks["student"] = build_student(recipe.student, channels, classes, pixel_m=pixel_m)
    return networks


def bf16_pays(stage: Stage, device: torch.device, recipe: Recipe) -> bool:
    """Whether to train in bfloat16: on a GPU that has it; on CPUs that have it for VGG16, not for depthwise layers."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    own = stage == "teacher" and recipe.teacher.from_bundle is None and not recipe.teacher.ensemble
    return own and recipe.teacher.architecture == "vgg16" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _old_student(recipe: Recipe, channels: int, classes: tuple[str, ...]) -> tuple[Classifier, str]:
    return build_student(recipe.student, channels, classes, initial_weights=recipe.teacher.from_bundle)


def _on_device(chips: Chips, device: torch.device) -> ChipSet:
    return ChipSet(torch.from_numpy(chips.pixels).to(device), torch.from_numpy(chips.labels).to(device))
