"""Description of a model or a scene, and an estimate of what mapping would take."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.errors import CRSError

from geokd.errors import CallError, SceneError
from geokd.mapping.account import product_fields, record_options
from geokd.mapping.choosing import choose_model, read_card
from geokd.mapping.options import ClassifyOptions
from geokd.mapping.planning import check_unclassified, plan_job
from geokd.maps.manifest import GridRecord, OptionsRecord, grid_fields, json_number
from geokd.model.about import AboutModel
from geokd.model.bundle import AUTO_MODEL, is_model, load_bundle, resolve_model, shipped_models
from geokd.model.engine import _TRIAL_SECONDS, Student, open_bundle, patches_per_second
from geokd.scenes.plan import fix_plan
from geokd.scenes.reader import describe_scene, read_preview
from geokd.scenes.scene_info import SceneInfo
from geokd.system.documents import Record


@dataclass(frozen=True, kw_only=True)
class ModelInfo(AboutModel):
    """A model; `provenance` is how it was trained, from its bundle."""

    path: str
    provenance: dict[str, Any]
    kind: str = "model"


@dataclass(frozen=True, kw_only=True)
class BandInfo(Record):
    """A band of a scene: number from 1, name, colour, and scale and offset tags."""

    bidx: int
    description: str | None
    colour: str
    scale: float | str | None
    offset: float | str | None


@dataclass(frozen=True, kw_only=True)
class MapInfo(GridRecord):
    """The grid of a map, the sides of its cells in metres (x, y), and their number."""

    cell_size_m: tuple[float, float]
    cells: int


@dataclass(frozen=True, kw_only=True)
class Expected(Record):
    """Expected cost of mapping on this machine, and how it was estimated."""

    seconds: float
    how: str
    patches_per_second_and_worker: float
    megapixels_per_second_and_worker: float | None
    raster_bytes_uncompressed: int


@dataclass(frozen=True, kw_only=True)
class MappingInfo(Record):
    """What mapping a scene with a model would take; or only `problems`, if it is not possible."""

    problems: str | None
    model: str | None = None
    precision: str | None = None
    path: str | None = None
    options: OptionsRecord | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    patches: int | None = None
    map: MapInfo | None = None
    valid_share: float | None = None
    expected: Expected | None = None


@dataclass(frozen=True, kw_only=True)
class RasterInfo(GridRecord):
    """A scene, as described by its files.

    `pixel_size_m` is None where the CRS has no known unit. `models_that_fit` names the shipped models that can map it,
    `mapping` is what mapping it with a given model would take: one of the two is None. `problems` is why none fits.
    """

    path: str
    pixel_size_m: tuple[float, float] | None
    data_type: str
    bands: tuple[BandInfo, ...]
    nodata: float | str | None
    masked: bool
    sensor: str | None = None
    product: str | None = None
    tile: str | None = None
    masks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    models_that_fit: tuple[str, ...] | None = None
    problems: str | None = None
    mapping: MappingInfo | None = None
    kind: str = "scene"


def info(
    path: str | Path, model: str | Path | None = None, options: ClassifyOptions | None = None
) -> ModelInfo | RasterInfo:
    """Describe a model, or a scene, or what mapping a scene with a model would take.

    Parameters
    ----------
    path : path
        A bundle (a `.onnx` file, or the name of a shipped one), or a scene.
    model : path, optional
        For a scene: the model it would be mapped with; "auto" chooses the one that fits.
    options : ClassifyOptions, optional
        For a scene with a model.

    Returns
    -------
    ModelInfo or RasterInfo

    Raises
    ------
    CallError
        If the file or model does not exist, or `model` is given for a model.
    SceneError
        If the scene cannot be opened.
    BundleError
        If the model is missing or broken.
    """
    if is_model(path):
        if model is not None:
            raise CallError(f"{path} is a model itself; give -m/--model with a scene only")
        bundle = load_bundle(path)
        return ModelInfo(**vars(bundle.describe()), path=str(resolve_model(path)), provenance=dict(bundle.provenance))
    options = options or ClassifyOptions()
    scene = describe_scene(path, options.resample_m, options.nodata)
    about = describe_raster(scene)
    if model is not None:
        return about.evolve(mapping=_mapping_info(scene, model, options))
    fitting = tuple(name for name in shipped_models() if _fits(scene, name, options))
    return about.evolve(models_that_fit=fitting, problems=None if fitting else _why_none_fits(scene, options))


def _fits(scene: SceneInfo, model: str, options: ClassifyOptions) -> bool:
    """Whether a shipped model can map a scene, and was trained for that."""
    card = read_card(model)
    try:
        fix_plan(scene, card.contract, options)
    except SceneError:
        return False
    return not card.for_chips_alone


def _why_none_fits(scene: SceneInfo, options: ClassifyOptions) -> str | None:
    try:
        choose_model(scene, AUTO_MODEL, options)
    except SceneError as error:
        return str(error)
    return None


def describe_raster(scene: SceneInfo) -> RasterInfo:
    """Describe a scene from its files."""
    try:
        metres = None if scene.grid.crs is None else scene.grid.pixel_size_m
    except CRSError:  # a local system with an unknown unit
        metres = None
    bands = zip(scene.descriptions, scene.colours, scene.scales, scene.offsets, strict=True)
    return RasterInfo(
        path=scene.path,
        pixel_size_m=metres,
        data_type=scene.dtype,
        bands=tuple(
            BandInfo(
                bidx=b,
                description=description or None,
                colour=colour,
                scale=json_number(scale),
                offset=json_number(offset),
            )
            for b, (description, colour, scale, offset) in enumerate(bands, 1)
        ),
        nodata=json_number(scene.nodata[0]),
        masked=scene.masked,
        **grid_fields(scene.grid),
        **product_fields(scene),
        left_out=scene.left_out,
    )


def megapixels_per_second(student: Student, patches: float) -> float:
    """Million pixels of a scene per second, from the patches per second of a dense student, without their margins."""
    contract = student.bundle.contract
    return patches * (contract.patch_px - 2 * contract.margin_px) ** 2 / 1e6


def _mapping_info(scene: SceneInfo, named: str | Path, options: ClassifyOptions) -> MappingInfo:
    """Estimate what mapping would take, or list why it is not possible."""
    try:
        choice = choose_model(scene, named, options)
    except SceneError as error:
        return MappingInfo(problems=str(error))
    model = resolve_model(choice.model).resolve()
    student = open_bundle(model)
    bundle = student.bundle
    about = MappingInfo(problems=None, model=bundle.name, precision=bundle.precision, path=str(model))
    try:
        if options.leaves_unsure:
            check_unclassified(bundle)
        job = plan_job(scene, bundle, model, Path(), options, choice)
    except (SceneError, CallError) as error:
        return about.evolve(problems=str(error))
    cells, patches = job.map_grid, sum(block.rows * block.cols for block in job.blocks)
    valid_share = float(read_preview(job.plan)[1].mean())
    return about.evolve(
        options=record_options(job),
        notes=tuple(job.notes),
        warnings=tuple(job.plan.warnings),
        patches=patches,
        map=MapInfo(**grid_fields(cells), cell_size_m=cells.pixel_size_m, cells=cells.height * cells.width),
        valid_share=round(valid_share, 4),
        expected=_expected(student, patches * valid_share, options.crew.workers, cells.height * cells.width),
    )


def _expected(student: Student, patches: float, workers: int, cells: int) -> Expected:
    """Estimate time, memory and sizes of mapping."""
    speed = patches_per_second(student)
    dense = student.bundle.contract.is_dense
    return Expected(
        seconds=round(patches / speed / workers, 1),
        how="valid share of the patches, at the speed of this machine on random bytes for"
        f" {_TRIAL_SECONDS} s in one thread, times the workers; start-up and reading are left out",
        patches_per_second_and_worker=round(speed, 1),
        megapixels_per_second_and_worker=round(megapixels_per_second(student, speed), 2) if dense else None,
        raster_bytes_uncompressed=cells,
    )
