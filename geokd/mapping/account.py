"""Content of a map's manifest: how the map was made, and what it contains."""

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geokd.mapping.jobs import MappingJob
from geokd.mapping.overlapping import Mosaic
from geokd.mapping.workers.crew import Crew
from geokd.maps.class_map import confidence_histogram
from geokd.maps.manifest import (
    BandRecord,
    DriftRecord,
    Manifest,
    ModelRecord,
    OptionsRecord,
    RunRecord,
    SceneRecord,
    UnmappedCells,
    areas_of,
    grid_fields,
    json_number,
    package_versions,
)
from geokd.maps.options import MapOptions
from geokd.model.drift import Drift
from geokd.scenes.options import AreaOptions
from geokd.scenes.scene_info import SceneInfo
from geokd.text import without_secrets


def describe_map(job: MappingJob, mosaic: Mosaic, run: RunRecord) -> Manifest:
    """Return the manifest of a map."""
    class_map, drift = mosaic.class_map, mosaic.drift
    cells = areas_of(class_map)
    return Manifest(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        acquired=job.acquisition,
        scene=record_scene(job),
        model=record_model(job),
        legend=job.legend.classes,
        options=record_options(job),
        notes=job.notes,
        warnings=(*job.plan.warnings, *(drift.warnings if drift else ())),
        filters=mosaic.filtered,
        drift=record_drift(drift),
        unmapped_cells=UnmappedCells(
            without_valid_pixel=class_map.codes.size - mosaic.outside_cells - mosaic.valid_cells,
            in_no_classified_patch=mosaic.valid_cells - cells["valid_cells"],
            outside_area=None if job.area is None else mosaic.outside_cells,
        ),
        cells_by_confidence=tuple(confidence_histogram(class_map)),
        run=run,
        outputs=job.outputs,
        versions=package_versions(),
        fingerprint=job.fingerprint,
        **cells,
    )


def record_model(job: MappingJob) -> ModelRecord:
    """Return the record of the model."""
    bundle = job.bundle
    return ModelRecord(
        name=bundle.name,
        architecture=bundle.architecture,
        precision=bundle.precision,
        task=bundle.task,
        path=str(job.model),
        sha256=bundle.sha256,
        size_bytes=len(bundle.onnx_bytes),
        input=bundle.contract.to_json(),
        classes=len(bundle.legend),
    )


def record_drift(drift: Drift | None) -> DriftRecord | None:
    """Return the figures of a drift check; its warnings are listed with the others."""
    if drift is None:
        return None
    return DriftRecord(patches=drift.patches, unfamiliar_share=drift.unfamiliar_share, unsure_share=drift.unsure_share)


def record_scene(job: MappingJob) -> SceneRecord:
    """Return the record of the scene."""
    path = Path(job.plan.path)
    return SceneRecord(
        path=job.plan.path,
        size_bytes=path.stat().st_size if path.is_file() else None,
        data_type=job.info.dtype,
        bands_used=tuple(
            BandRecord(bidx=b, description=job.info.descriptions[b - 1] or None, taken_as=name)
            for b, name in zip(job.plan.bidx, job.bundle.contract.bands, strict=True)
        ),
        **grid_fields(job.plan.grid),
        **product_fields(job.info),
    )


def product_fields(info: SceneInfo) -> dict[str, Any]:
    """Return the parts of a product, as fields of a record; for a raster that is not a product, only its sensor."""
    product = info.product
    fields: dict[str, Any] = {"sensor": info.sensor or None}
    if product is not None:
        fields |= {"product": product.kind, "tile": product.tile or None, "masks": tuple(sorted(product.masks))}
        fields |= {"files": tuple(info.files)}
    return fields


def record_options(job: MappingJob) -> OptionsRecord:
    """Return every option with the value that was used, defaults included."""
    scaling, asked, crew = job.plan.scaling, job.options, job.options.crew
    own = asked.scheduler is None  # a cluster has its own workers
    return OptionsRecord(
        **asked.part(AreaOptions),
        **asked.part(MapOptions) | {"stride_px": job.patches.stride_px, "min_valid_share": job.min_valid_share},
        model=str(job.choice.reason or job.choice.model),
        patch_px=job.patches.patch_px,
        cell_px=job.patches.cell_px,
        margin_px=job.patches.margin_px,
        bidx=tuple(job.plan.bidx),
        value_scale=_one_or_each(job.plan.value_scales),
        value_offset=_one_or_each(job.plan.value_offsets),
        value_scaling=None if scaling is None else scaling.to_json(),
        nodata=_one_or_each([json_number(value) for value in job.plan.nodata.of(job.plan.bidx)]),
        mask=None if asked.mask is None else without_secrets(asked.mask),
        resample_m=asked.resample_m,
        polygons=asked.polygons,
        probabilities=asked.probabilities,
        report=asked.report,
        workers=crew.workers if own else None,
        engine=crew.engine if own else None,
        scheduler=asked.scheduler,
        block_px=job.blocks_px,
        memory_mb=asked.memory_mb,
        overwrite=asked.overwrite,
        resume=asked.resume,
    )


def _one_or_each(values: Sequence[Any]) -> Any:
    """Return the values of the bands that are read: one value if all are equal."""
    return values[0] if len(set(map(str, values))) == 1 else tuple(values)


def peak_memory_mb(crew: Crew) -> float | None:
    """Return the peak memory so far, in MB; None where the system does not report it.

    For worker processes, the largest one counts once per worker. Workers of a running cluster do not count.
    """
    if sys.platform == "win32":
        return None
    import resource

    peak = _peak_kib() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if crew.engine == "processes":
        peak += crew.workers * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e6 / 1024), 1)  # macOS counts bytes, Linux KiB


def _peak_kib() -> int | None:
    """Return this process's peak, as Linux counts it; psutil has none, and `getrusage` may give the parent's."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), None)
