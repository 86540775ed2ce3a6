"""From labelled chips to a distilled student: the whole road, in stages that are each resumable.

A run's folder holds `run.json` (what was asked, what came out), `log.csv`, `curves.png`, the two networks as
`teacher.safetensors` and `student.safetensors`, `teacher_outputs/`, calibration chips for the int8 export, and a
checkpoint of the stage under way.
"""

import datetime
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geokd.assessment.calibration import fit_temperature
from geokd.assessment.drift import chip_features, learn_familiarity
from geokd.assessment.metrics import accuracy, confusion_matrix, expected_calibration_error, per_class
from geokd.bundle import InputContract
from geokd.errors import CallError, ChipError, GeokdError, TrainingError
from geokd.familiarity import Familiarity
from geokd.legend import LandUseClass, Legend, default_legend, machine_name
from geokd.recipe import Recipe, expanded, load_recipe, recipe_from_json
from geokd.scenes.bands import wavelengths_nm
from geokd.scenes.chips import ChipIndex, Chips, index_chips, probe_chips, read_chips
from geokd.training.augmentation import Traits
from geokd.training.checkpoint import read_tensors, write_tensors
from geokd.training.curves import draw_curves
from geokd.training.distillation import distillation_loss, label_loss
from geokd.training.loop import ChipSet, LossFunction, Stage, TrainingJob, epoch_generator, fit, predict, varied
from geokd.training.networks import Network, build_student, build_teacher
from geokd.training.split import block_split, listed_split, stratified_split
from geokd.training.teacher_cache import TeacherOutputs, cache_teacher

CALIBRATION_CHIPS = 1024
FAMILIAR_CHIPS = 4096
_FALLBACK_RESOLUTION_M = 10.0
_USEFUL_TEACHER = 0.8
_FEWEST_CHIPS = 2  # batch normalisation takes no statistics of one


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Parameters
    ----------
    folder : Path
    metrics : dict
        `teacher` (None if there was none) and `student`, each {n, accuracy, interval_95, per_class, ...} on the
        validation chips.
    """

    folder: Path
    metrics: dict[str, Any]


def train(
    chips: str | Path,
    output: str | Path,
    recipe: Recipe | str | Path | None = None,
    *,
    validation: str | Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> TrainResult:
    """Train a student on labelled chips by knowledge distillation from a VGG16 teacher.

    Parameters
    ----------
    chips : path
        Folder or zip archive with one sub-folder a class.
    output : path
        Folder of the run; must be new or empty, unless `resume`.
    recipe : Recipe or path, optional
        Defaults of :class:`geokd.recipe.Recipe` without.
    validation : path, optional
        Validation chips; without, a share of `chips` is set apart (see :class:`geokd.recipe.SplitRecipe`).
    resume : bool
        Go on with the run in `output`; it must be of the same recipe and chips.
    say : callable
        Takes one line of progress; stderr by default.

    Raises
    ------
    CallError, RecipeError, ChipError, TrainingError
    """
    resolved = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder = Path(output)
    try:
        return _train(chips, folder, resolved, validation, resume=resume, say=say)
    except GeokdError:
        raise
    except OSError as error:
        raise TrainingError(f"cannot write into {folder}: {error}; make room, then go on with --resume") from error


def _train(
    chips: str | Path,
    folder: Path,
    resolved: Recipe,
    validation: str | Path | None,
    *,
    resume: bool,
    say: Callable[[str], None],
) -> TrainResult:
    """Go the whole road; see :func:`train`."""
    index = index_chips(chips)
    contract = _contract(resolved, index, say)
    legend = _legend(resolved, index)
    training_chips, validation_chips, split = _read_and_split(resolved, index, contract, validation, say)
    run: dict[str, Any] = {
        "recipe": resolved.to_json(),
        "recipe_sha256": resolved.sha256,
        "contract": contract.to_json(),
        "legend": legend.to_json(),
        "data": {
            "chips": index.root.name,
            "split": split,
            "fingerprint": training_chips.fingerprint,
            "validation_fingerprint": validation_chips.fingerprint,
            "training_sha256": _hash_chips(training_chips),  # of those that the split left for training, in order
        },
    }
    networks = _build_networks(resolved, contract, legend)  # first: weights that cannot be had leave no folder behind
    run["initial_weights"] = {
        stage: {"origin": origin, "sha256": _hash(network)} for stage, (network, origin) in networks.items()
    }
    source = None if resolved.teacher.from_run is None else expanded(resolved.teacher.from_run)
    if resume and (folder / "teacher.safetensors").is_file():
        source = None  # it was taken over before
    if source is not None:
        _check_teacher_run(source, run)
    _open_run(folder, run, resume=resume)
    if source is not None:
        _take_teacher(source, folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sets = (_on_device(training_chips, device), _on_device(validation_chips, device))
    stages = _Stages(resolved, contract, legend, networks, sets, folder, say)

    teacher = None
    outputs = None
    if "teacher" in networks:
        network, teacher = stages.teacher()
        outputs = cache_teacher(
            network, sets[0].pixels, folder / "teacher_outputs", bf16=stages.bf16("teacher"), say=say
        )
        del network
    network, student, temperature = stages.student(outputs)
    familiarity = stages.familiarity(network, temperature)
    chosen = _spread(training_chips.labels, CALIBRATION_CHIPS, resolved.seed)
    write_tensors(folder / "calibration.safetensors", {"pixels": torch.from_numpy(training_chips.pixels[chosen])})

    run |= {
        "complete": True,
        "temperature": temperature,
        "familiarity": familiarity.to_json(),
        "metrics": {"teacher": teacher, "student": student},
        "machine": {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "cores": os.cpu_count(),
        },
        "versions": {
            "geokd": importlib.metadata.version("geokd"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }
    _write_json(folder / "run.json", run)
    draw_curves(folder / "log.csv", folder / "curves.png", title=resolved.name)
    return TrainResult(folder, run["metrics"])


class _Stages:
    """The two trainings of a run; each leaves its network and figures in the folder and finds them there again."""

    def __init__(
        self,
        recipe: Recipe,
        contract: InputContract,
        legend: Legend,
        networks: dict[Stage, tuple[Network, str]],
        sets: tuple[ChipSet, ChipSet],
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self.recipe, self.legend, self.networks = recipe, legend, networks
        self.chips, self.validation = sets
        self.folder, self.say = folder, say
        self.device = self.chips.pixels.device
        named = recipe.augmentation
        self.traits = Traits(
            water=self._are(named.water_classes),
            unmixed=self._are(named.unmixed_classes),
            stripes=self._are(named.strip_classes),
            wavelengths_nm=torch.tensor(wavelengths_nm(contract.bands), device=self.device),
        )

    def _are(self, names: tuple[str, ...]) -> Tensor:
        wanted = {machine_name(name) for name in names}
        return torch.tensor([c.name in wanted for c in self.legend], device=self.device)

    def bf16(self, stage: Stage) -> bool:
        """Whether bfloat16 pays: on a GPU always; on CPUs with native support for VGG16, never for depthwise layers."""
        if self.device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return stage == "teacher" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def teacher(self) -> tuple[Network, dict[str, Any]]:
        """Train the teacher on hard labels, or read it back."""
        recipe = self.recipe.teacher
        network, origin = self.networks["teacher"]
        network = network.to(memory_format=torch.channels_last).to(self.device)

        loss = label_loss(recipe.label_smoothing)
        network = self._fit_or_read("teacher", network, nn.Identity(), loss, origin)
        figures, _ = self._figures(network, "teacher", origin)
        if figures["accuracy"] < _USEFUL_TEACHER:
            self.say(
                f"warning: a teacher right on only {100 * figures['accuracy']:.0f} % of the validation chips may"
                " mislead the student; give it initial weights or more epochs, or lower loss.kl and loss.cosine"
            )
        return network, figures

    def student(self, outputs: TeacherOutputs | None) -> tuple[Network, dict[str, Any], float]:
        """Train the student, or read it back; return it with its figures and calibration temperature."""
        recipe = self.recipe
        network, origin = self.networks["student"]
        network = network.to(memory_format=torch.channels_last).to(self.device)
        projection: nn.Module = nn.Identity()
        if outputs is not None and recipe.loss.cosine and recipe.loss.cosine_on == "features":
            torch.manual_seed(recipe.seed + 2)
            projection = nn.Linear(network.classifier.in_features, outputs.features.shape[2], bias=False).to(
                self.device
            )
        loss = distillation_loss(recipe.loss, outputs, projection, recipe.student.label_smoothing)
        network = self._fit_or_read("student", network, projection, loss, origin)
        return network, *self._figures(network, "student", origin)

    def familiarity(self, student: Network, temperature: float) -> Familiarity:
        """Look at validation chips as training would vary them, and at the student's confidence in them."""
        generator = epoch_generator(self.recipe.seed, "student", self.recipe.student.epochs, self.device)
        features, confidence = [], []
        for pixels in varied(self.validation, self.traits, self.recipe.augmentation, FAMILIAR_CHIPS, generator):
            logits, _ = predict(student, pixels, bf16=self.bf16("student"))
            features.append(chip_features(pixels.cpu().numpy()))
            confidence.append(torch.softmax(logits / temperature, dim=1).amax(dim=1).cpu().numpy())
        chosen = _spread(self.validation.labels.cpu().numpy(), FAMILIAR_CHIPS, self.recipe.seed)
        unvaried = chip_features(self.validation.pixels[chosen].cpu().numpy())
        return learn_familiarity(np.concatenate(features), np.concatenate(confidence), unvaried)

    def _fit_or_read(
        self, stage: Stage, network: Network, projection: nn.Module, loss: LossFunction, origin: str
    ) -> Network:
        path = self.folder / f"{stage}.safetensors"
        recipe = self.recipe.teacher if stage == "teacher" else self.recipe.student
        if path.is_file():
            tensors, _ = read_tensors(path)
            try:
                network.load_state_dict(tensors)
            except RuntimeError as error:
                raise TrainingError(
                    f"{path} holds another network than {recipe.architecture}; start a new run"
                ) from error
            return network.eval()
        self.say(f"{stage}: {recipe.architecture}, initial weights: {origin}")
        job = TrainingJob(
            stage=stage,
            network=network,
            projection=projection,
            loss=loss,
            recipe=recipe,
            augmentation=self.recipe.augmentation if stage == "student" else None,
            traits=self.traits,
            chips=self.chips,
            validation=self.validation,
            seed=self.recipe.seed,
            bf16=self.bf16(stage),
            folder=self.folder,
            say=self.say,
        )
        network = fit(job)
        write_tensors(path, dict(network.state_dict()))
        (self.folder / f"{stage}.checkpoint.safetensors").unlink(missing_ok=True)
        return network

    def _figures(self, network: Network, stage: Stage, origin: str) -> tuple[dict[str, Any], float]:
        """Figures on the validation chips, and the temperature that calibrates the logits there."""
        logits, _ = predict(network, self.validation.pixels, bf16=self.bf16(stage))
        logits_np, truth = logits.cpu().numpy(), self.validation.labels.cpu().numpy()
        confusion = confusion_matrix(truth, logits_np.argmax(1), len(self.legend))
        temperature = fit_temperature(logits_np, truth)
        calibrated = torch.softmax(logits.cpu() / temperature, dim=1).numpy()
        figures = {
            **accuracy(confusion),
            "ece": expected_calibration_error(calibrated, truth),
            "initial_weights": origin,
            "parameters": sum(p.numel() for p in network.parameters()),
            "per_class": per_class(confusion, self.legend.names),
        }
        low, high = figures["interval_95"]
        self.say(
            f"{stage}: {100 * figures['accuracy']:.2f} % of {figures['n']} validation chips"
            f" (95 % interval {100 * low:.2f}-{100 * high:.2f} %)"
        )
        return figures, temperature


def _build_networks(recipe: Recipe, contract: InputContract, legend: Legend) -> dict[Stage, tuple[Network, str]]:
    """Networks with their initial weights and the weights' origin; no teacher if the loss does not ask for one."""
    channels, classes = len(contract.bands), legend.names
    networks: dict[Stage, tuple[Network, str]] = {}
    if recipe.teacher.epochs and (recipe.loss.kl or recipe.loss.cosine):
        torch.manual_seed(recipe.seed)
        source = recipe.teacher.from_run
        if source is None:
            networks["teacher"] = build_teacher(recipe.teacher, channels, classes)
        else:  # its weights come with the run
            network, _ = build_teacher(replace(recipe.teacher, initial_weights="none"), channels, classes)
            networks["teacher"] = network, f"run {Path(source).name}"
    torch.manual_seed(recipe.seed + 1)
    networks["student"] = build_student(recipe.student, channels, classes)
    return networks


def _on_device(chips: Chips, device: torch.device) -> ChipSet:
    return ChipSet(torch.from_numpy(chips.pixels).to(device), torch.from_numpy(chips.labels).to(device))


def _hash(network: Network) -> str:
    """Hash of all tensors of a network, hexadecimal."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _hash_chips(chips: Chips) -> str:
    """Hash of pixels and labels, hexadecimal."""
    digest = hashlib.sha256(np.ascontiguousarray(chips.pixels).data)
    digest.update(np.ascontiguousarray(chips.labels).data)
    return digest.hexdigest()


def _contract(recipe: Recipe, index: ChipIndex, say: Callable[[str], None]) -> InputContract:
    """Complete the recipe's input by what the chips tell, and say so."""
    probe = probe_chips(index)
    patch_px = recipe.input.patch_px or probe.side_px
    if recipe.input.patch_px is None:
        say(f"patches of {patch_px} px: the commonest side of the chips (input.patch_px in a recipe sets another)")
    shrink = probe.side_px / patch_px
    resolution_m = recipe.input.ground_resolution_m
    if resolution_m is None and probe.resolution_m is not None:
        resolution_m = round(probe.resolution_m * shrink, 6)
        say(f"ground resolution {resolution_m:g} m, from the chips' coordinates")
    elif resolution_m is None:
        resolution_m = _FALLBACK_RESOLUTION_M
        say(
            f"ground resolution {resolution_m:g} m is assumed: the chips carry no coordinates"
            " (input.ground_resolution_m in a recipe sets another)"
        )
    elif probe.resolution_m is not None and not 0.8 <= probe.resolution_m * shrink / resolution_m <= 1.25:
        raise ChipError(
            f"the chips have pixels of {probe.resolution_m * shrink:g} m at {patch_px} px a side, the recipe says"
            f" input.ground_resolution_m = {resolution_m:g}; correct the recipe or take other chips"
        )
    return InputContract(recipe.input.bands, patch_px, resolution_m, recipe.input.value_scaling)


def _legend(recipe: Recipe, index: ChipIndex) -> Legend:
    """Classes in the order of the chip folders; titles and colours from the recipe where it has them."""
    names = [machine_name(c) for c in index.classes]
    doubled = sorted({n for n in names if names.count(n) > 1})
    unknown = sorted({e.name for e in recipe.legend} - set(names) - set(index.classes))
    named = recipe.augmentation
    asked = {*named.water_classes, *named.unmixed_classes, *named.strip_classes}
    absent = sorted(asked - set(names) - set(index.classes))
    if doubled:
        raise ChipError(
            f"class folders of {index.root} differ only in signs that names may not hold: {', '.join(doubled)}"
        )
    if named.mix_share and all(c in named.unmixed_classes for c in index.classes):
        raise ChipError("augmentation.mix_share has nothing to mix: all classes are among unmixed_classes")
    if unknown or absent:
        raise ChipError(f"the recipe names classes that have no chips in {index.root}: {', '.join(unknown + absent)}")
    entries = {machine_name(e.name): e for e in recipe.legend}
    defaults = default_legend(index.classes)
    try:
        return Legend(
            tuple(
                LandUseClass(c.value, c.name, entries[c.name].title, entries[c.name].color_hint)
                if c.name in entries
                else c
                for c in defaults
            )
        )
    except ValueError as error:
        raise ChipError(f"the legend of the recipe cannot be used: {error}") from error


def _read_and_split(
    recipe: Recipe,
    index: ChipIndex,
    contract: InputContract,
    validation: str | Path | None,
    say: Callable[[str], None],
) -> tuple[Chips, Chips, str]:
    """Read chips for training and validation; the text tells how they were parted."""
    if validation is not None and recipe.split.file is not None:
        raise CallError(
            f"the recipe splits the chips by {recipe.split.file}, and validation chips are given as well; leave one out"
        )
    chips = read_chips(index, contract)
    if validation is not None:
        other = index_chips(validation)
        if other.classes != index.classes:
            differ = ", ".join(sorted(set(other.classes) ^ set(index.classes)))
            raise ChipError(f"training and validation chips have different classes: {differ}")
        apart = read_chips(other, contract)
        how = f"given: {len(chips.labels)} training and {len(apart.labels)} validation chips"
        say(f"split {how}")
        return chips, apart, how
    share, seed = recipe.split.validation_share, recipe.seed
    if recipe.split.file is not None:
        path = expanded(recipe.split.file)
        training, apart_at = listed_split(index.files, path, recipe.split.training, recipe.split.validation)
        how = f"by {path.name}, {' and '.join(recipe.split.training)} for training,"
        how += f" {' and '.join(recipe.split.validation)} for validation"
    elif chips.bounds is not None:
        how = f"in blocks of {recipe.split.block_m:g} m"
        training, apart_at = block_split(chips.labels, chips.bounds, share, recipe.split.block_m, seed)
    else:
        how = "at random, stratified; neighbouring chips on both sides would flatter the accuracy"
        training, apart_at = stratified_split(chips.labels, index.classes, share, seed)
    how += f": {len(training)} training and {len(apart_at)} validation chips"
    left_out = len(chips.labels) - len(training) - len(apart_at)
    if left_out:
        how += f", {left_out} left out"
        how += "" if recipe.split.file is not None else " since they overlap validation chips"
    unseen = [name for k, name in enumerate(index.classes) if k not in chips.labels[apart_at]]
    if unseen:
        how += f"; no validation chip of {', '.join(unseen)}"
    if len(training) < _FEWEST_CHIPS:
        raise ChipError(f"{len(training)} chips are left for training, at least {_FEWEST_CHIPS} are needed; add some")
    say(f"split {how}")
    return _subset(chips, training), _subset(chips, apart_at), how


def _subset(chips: Chips, which: NDArray[np.int64]) -> Chips:
    bounds = None if chips.bounds is None else chips.bounds[which]
    return Chips(chips.pixels[which], chips.labels[which], bounds, chips.fingerprint)  # of the set it is part of


def _spread(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Draw up to `count` chips, as even over the classes as can be."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    rank = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        rank[order[labels[order] == k]] = np.arange((labels == k).sum())
    return np.sort(order[np.argsort(rank[order], kind="stable")][:count])


def _open_run(folder: Path, run: dict[str, Any], *, resume: bool) -> None:
    """Make the run's folder, or check that the one there is the same run."""
    path = folder / "run.json"
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CallError(f"the output {folder} exists already; name a new folder, or go on with --resume")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CallError(f"cannot make the folder {folder}: {error.strerror}") from error
        _write_json(path, run | {"complete": False})
        return
    if not path.is_file():
        raise CallError(f"there is no run to resume in {folder}: it has no run.json; start it without --resume")
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        weights = before["initial_weights"]
        hashes = {stage: found["sha256"] for stage, found in weights.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{path} is not what a run leaves there ({error}); start a new run") from error
    differ = [key for key in ("contract", "legend", "data") if before.get(key) != run[key]]
    if not _same_recipe(before.get("recipe"), run["recipe"]):
        differ.insert(0, "recipe")
    if hashes != {k: v["sha256"] for k, v in run["initial_weights"].items()}:
        origins = ", ".join(f"{stage} from {found['origin']}" for stage, found in weights.items())
        differ.append(f"set of initial weights ({origins})")
    if differ:
        raise CallError(
            f"the run in {folder} had another {', '.join(differ)}; resume with the same, or start a new run"
        )


def _same_recipe(before: Any, now: dict[str, Any]) -> bool:
    """Whether the recipe of a run is the one asked for; keys that are younger than the run had their defaults."""
    try:
        return recipe_from_json(before).to_json() == now
    except (GeokdError, AttributeError):
        return False


def _check_teacher_run(source: Path, run: dict[str, Any]) -> None:
    """Check that the teacher of the run in `source` is the one that `run` asks for, on the same chips."""
    try:
        other = json.loads((source / "run.json").read_text(encoding="utf-8"))
        before = recipe_from_json(other["recipe"]).to_json()
        wanted, had = ({**recipe["teacher"], "from_run": None} for recipe in (run["recipe"], before))
        same = [run[key] == other[key] for key in ("contract", "legend")]
        same += [wanted == had, run["recipe"]["seed"] == other["recipe"]["seed"]]
        same += [run["data"]["training_sha256"] == other["data"]["training_sha256"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CallError(f"teacher.from_run = {source}: there is no run to take a teacher from ({error})") from error
    if not (source / "teacher.safetensors").is_file():
        raise CallError(f"teacher.from_run = {source}: that run has no finished teacher")
    if not all(same):
        raise CallError(
            f"teacher.from_run = {source}: that run had another [teacher], seed, input, legend, split or other chips;"
            " leave from_run out, or make them alike"
        )


def _take_teacher(source: Path, folder: Path) -> None:
    """Copy the teacher and those of its answers that are there, unless it was done before."""
    (folder / "teacher_outputs").mkdir(exist_ok=True)
    for path in (source / "teacher.safetensors", *sorted((source / "teacher_outputs").glob("view*.safetensors"))):
        target = folder / path.relative_to(source)
        if not target.is_file():
            partial = target.with_name(f".{target.name}.partial")
            shutil.copyfile(path, partial)
            partial.replace(target)


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)
