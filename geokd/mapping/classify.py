"""From a scene to a land-use map: the pipeline."""

import datetime
import importlib.metadata
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geokd.bundle import DEFAULT_MODEL, Bundle, InputContract, load_bundle, resolve_model
from geokd.errors import CallError
from geokd.mapping.engine import make_student
from geokd.mapping.mosaic import assemble, cell_probabilities, codes_and_confidence
from geokd.mapping.parallel import Engine, Workers, available_cores, run_blocks
from geokd.mapping.patches import BlockResult, BlockTask, assemble_valid_cells, classify_block
from geokd.outputs.class_map import ClassMap, class_areas
from geokd.outputs.geopackage import write_polygons
from geokd.outputs.geotiff import write_class_raster, write_confidence_raster
from geokd.outputs.manifest import write_manifest
from geokd.outputs.qgis import class_attributes_pam, class_raster_qml, confidence_raster_qml
from geokd.outputs.quicklook import ScenePicture, write_quicklook
from geokd.outputs.staging import OutputNames, check_outputs, output_names, staged, write_bytes
from geokd.scenes.bands import find_band
from geokd.scenes.grid import PatchGrid
from geokd.scenes.plan import SceneOptions
from geokd.scenes.reader import ScenePlan, describe_scene, plan_scene, read_preview

_QUICKLOOK_PX = 800


@dataclass(frozen=True)
class ClassifyOptions:
    """How a scene is mapped. The defaults are stated in the manifest.

    Parameters
    ----------
    stride_px : int or None
        Distance between patches, and side of a cell, in pixels; a quarter of a patch if None. Divides the patch.
    scene : SceneOptions
        Bands, scale, offset and nodata, where the file does not tell them rightly.
    min_valid_share : float
        Patches with a smaller share of valid pixels are not classified; 0 to 1.
    workers : int or None
        All cores if None.
    engine : {"threads", "processes"}
    scheduler : str or None
        Address or scheduler file of a running Dask cluster.
    block_px : int
        Side of the blocks that are read at a time, in pixels.
    overwrite : bool
        Replace outputs of the same names.

    Raises
    ------
    CallError
        If a field is out of its range.
    """

    stride_px: int | None = None
    scene: SceneOptions = field(default_factory=SceneOptions)
    min_valid_share: float = 0.25
    workers: int | None = None
    engine: Engine = "threads"
    scheduler: str | None = None
    block_px: int = 1024
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.min_valid_share <= 1:
            raise CallError(f"min_valid_share {self.min_valid_share:g} is outside 0..1")
        if self.block_px < 1:
            raise CallError(f"block_px {self.block_px} must be at least 1")


@dataclass(frozen=True, eq=False)
class ClassifyResult:
    """A finished map.

    Parameters
    ----------
    class_map : ClassMap
    folder : Path
    names : OutputNames
        Files in `folder`.
    manifest : dict
        What the JSON file holds.
    """

    class_map: ClassMap
    folder: Path
    names: OutputNames
    manifest: dict[str, Any]


def classify(
    scene: str | Path,
    model: str | Path = DEFAULT_MODEL,
    output: str | Path = ".",
    options: ClassifyOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ClassifyResult:
    """Map the land use of a scene.

    Parameters
    ----------
    scene : path
        Any raster GDAL opens.
    model : path or name
        A bundle, or the name of one that ships.
    output : path
        Folder for `<stem>_landuse.tif` and the files beside it; made if missing.
    options : ClassifyOptions, optional
    progress : callable, optional
        Called with the blocks done and the blocks there are.

    Raises
    ------
    CallError
        If the call is wrong, or an output exists already.
    SceneError
        If the scene cannot be read or does not fit the model.
    BundleError
        If the model cannot be used.
    OutputError
        If an output cannot be written. Nothing is then left behind.
    """
    options = options or ClassifyOptions()
    folder, names = Path(output), output_names(scene_stem(scene))
    watch = _Stopwatch()
    check_outputs(folder, names, overwrite=options.overwrite)
    bundle = load_bundle(model)
    make_student(bundle)  # a graph that does not keep the contract fails here, before any work
    plan = plan_scene(describe_scene(scene), bundle.contract, options.scene)
    grid = patch_grid(plan, bundle.contract, options.stride_px)
    workers = Workers(options.workers or available_cores(), options.engine, options.scheduler)
    tasks = [
        BlockTask(plan, grid, block, resolve_model(model), bundle.sha256, options.min_valid_share)
        for block in grid.blocks(options.block_px)
    ]
    watch.lap("open")
    parts: list[BlockResult] = []

    def collect(part: BlockResult) -> None:
        parts.append(part)
        if progress is not None:
            progress(len(parts), len(tasks))

    run_blocks(classify_block, tasks, workers, collect)
    watch.lap("classify")
    probabilities = assemble(grid, (part.predictions for part in parts), len(bundle.legend))
    valid = assemble_valid_cells(grid, parts)
    codes, confidence = codes_and_confidence(cell_probabilities(probabilities, grid), valid)
    class_map = ClassMap(codes, confidence, grid.cell_grid, bundle.legend)
    watch.lap("mosaic")

    with staged(folder, names, overwrite=options.overwrite) as place:
        tags = {"GEOKD_VERSION": importlib.metadata.version("geokd"), "GEOKD_MODEL": f"{bundle.name} {bundle.sha256}"}
        write_class_raster(class_map, place / names.class_raster, tags)
        write_bytes(place / names.class_attributes, class_attributes_pam(class_map).encode())
        write_bytes(place / names.class_style, class_raster_qml(bundle.legend).encode())
        write_confidence_raster(class_map, place / names.confidence_raster, tags)
        write_bytes(place / names.confidence_style, confidence_raster_qml().encode())
        write_polygons(class_map, place / names.polygons)
        subtitle = f"{bundle.name} ({bundle.precision}), cells of {grid.stride_px} x {grid.stride_px} px"
        write_quicklook(
            class_map, scene_picture(plan, bundle.contract), place / names.quicklook, scene_stem(scene), subtitle
        )
        watch.lap("write")
        classified = int((~np.isnan(probabilities[:, :, 0])).sum())
        manifest = _manifest(plan, bundle, grid, class_map, options, workers) | {
            "patches": {"rows": grid.shape[0], "cols": grid.shape[1], "classified": classified},
            "timings_seconds": watch.seconds,
            "patches_per_second": round(classified / max(watch.seconds["classify"], 1e-9), 1),
            "peak_memory_mb": _peak_memory_mb(),
        }
        write_manifest(manifest, place / names.manifest)
    return ClassifyResult(class_map, folder, names, manifest)


def patch_grid(plan: ScenePlan, contract: InputContract, stride_px: int | None) -> PatchGrid:
    """Lay patches over a scene; a quarter patch apart if `stride_px` is None.

    Raises
    ------
    CallError
        If the stride does not divide the patch.
    """
    stride = max(1, contract.patch_px // 4) if stride_px is None else stride_px
    if stride < 1 or contract.patch_px % stride:
        divisors = ", ".join(str(n) for n in range(1, contract.patch_px + 1) if contract.patch_px % n == 0)
        raise CallError(
            f"stride {stride} px does not divide the patch of {contract.patch_px} px; give one of {divisors}"
        )
    return PatchGrid(plan.grid, contract.patch_px, stride)


def scene_stem(scene: str | Path) -> str:
    """File name of a scene without folder, query and last extension."""
    return PurePosixPath(Path(str(scene).split("?")[0]).as_posix()).stem


def scene_picture(plan: ScenePlan, contract: InputContract) -> ScenePicture:
    """Read a small true-colour picture of a scene; its first band in grey if the model takes no red, green and blue."""
    pixels, valid = read_preview(plan, _QUICKLOOK_PX)
    rgb = [find_band(contract.bands, colour) for colour in ("red", "green", "blue")]
    chosen: NDArray[np.uint8] = pixels[[b - 1 for b in rgb] if all(rgb) else [0, 0, 0]]
    return ScenePicture(chosen, valid, plan.grid)


class _Stopwatch:
    """Seconds of each stage, by the wall clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._last, 3)
        self._last = now


def _manifest(
    plan: ScenePlan, bundle: Bundle, grid: PatchGrid, class_map: ClassMap, options: ClassifyOptions, workers: Workers
) -> dict[str, Any]:
    scene = plan.grid
    cells = class_map.codes.size
    mapped = int(class_map.mapped.sum())
    crs = scene.crs.to_string() if scene.crs else None
    return {
        "geokd": importlib.metadata.version("geokd"),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "scene": {
            "path": str(plan.path),
            "height": scene.height,
            "width": scene.width,
            "crs": crs,
            "transform": list(scene.transform)[:6],
            "pixel_size_m": [round(size, 6) for size in scene.pixel_size_m],
        },
        "model": {
            "name": bundle.name,
            "precision": bundle.precision,
            "sha256": bundle.sha256,
            "input": bundle.contract.to_json(),
            "temperature": bundle.temperature,
        },
        "options": {
            "stride_px": grid.stride_px,
            "bidx": list(plan.bidx),
            "value_scale": plan.value_scale,
            "value_offset": plan.value_offset,
            "stretched": plan.scaling is not None,
            "nodata": None if plan.nodata is None or np.isnan(plan.nodata) else plan.nodata,
            "min_valid_share": options.min_valid_share,
            "block_px": options.block_px,
            "workers": asdict(workers),
            "overwrite": options.overwrite,
        },
        "notes": list(plan.notes),
        "warnings": list(plan.warnings),
        "legend": bundle.legend.to_json(),
        "map": {
            "height": class_map.grid.height,
            "width": class_map.grid.width,
            "transform": list(class_map.grid.transform)[:6],
            "cells_mapped": mapped,
            "cells_not_mapped": cells - mapped,
        },
        "areas": class_areas(class_map),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "rasterio": rasterio.__version__,
            "gdal": rasterio.__gdal_version__,
            "onnxruntime": importlib.metadata.version("onnxruntime"),
        },
    }


def _peak_memory_mb() -> float:
    """Largest resident size of this process and of its largest finished child, in MB (1e6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(usage) * unit / 1e6, 1)
