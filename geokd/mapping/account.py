"""What a map's manifest says: how the map came about, and what it holds."""

import datetime
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geokd.mapping.jobs import MappingJob
from geokd.mapping.overlapping import Mosaic
from geokd.mapping.parallel import Crew
from geokd.maps.class_map import confidence_histogram
from geokd.maps.manifest import describe_areas, describe_cells, describe_grid, json_number, package_versions
from geokd.model.drift import Drift
from geokd.scenes.scene_info import SceneInfo


def describe_map(job: MappingJob, mosaic: Mosaic, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the manifest of a map, as a JSON object.

    Parameters
    ----------
    job : MappingJob
    mosaic : Mosaic
    seconds : dict
        Of each stage; "classify" among them.
    """
    class_map, drift = mosaic.class_map, mosaic.drift
    mapped = int(class_map.cell_counts().sum())
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "scene": describe_input(job),
        "acquired": None if job.acquisition is None else job.acquisition.to_json(),
        "model": {
            "name": job.bundle.name,
            "architecture": job.bundle.architecture,
            "precision": job.bundle.precision,
            "task": job.bundle.task,
            "path": str(job.model),
            "sha256": job.bundle.sha256,
            "size_bytes": len(job.bundle.onnx_bytes),
            "input": job.bundle.contract.to_json(),
            "classes": len(job.bundle.legend),
        },
        "legend": job.legend.to_json(),
        "options": describe_options(job),
        "fingerprint": job.fingerprint,
        "notes": list(job.notes),
        "warnings": [*job.plan.warnings, *(drift.warnings if drift else ())],
        "filters": None if mosaic.filtered is None else asdict(mosaic.filtered),
        "drift": describe_drift(drift),
        "map": describe_cells(class_map.grid),
        "valid_cells": mapped,
        "unmapped_cells": {
            **({} if job.area is None else {"outside_area": mosaic.outside_cells}),
            "without_valid_pixel": class_map.codes.size - mosaic.outside_cells - mosaic.valid_cells,
            "in_no_classified_patch": mosaic.valid_cells - mapped,
        },
        **describe_areas(class_map),
        "cells_by_confidence": confidence_histogram(class_map),
        "patches": {
            "all": sum(block.rows * block.cols for block in job.blocks),
            "classified": mosaic.classified_patches,
        },
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(job.options.crew),
        "outputs": job.outputs,
        "versions": package_versions(),
    }


def describe_drift(drift: Drift | None) -> dict[str, Any] | None:
    """Return the figures of a drift check, as a JSON object; its warnings stand with the others."""
    return None if drift is None else {k: v for k, v in asdict(drift).items() if k != "warnings"}


def describe_input(job: MappingJob) -> dict[str, Any]:
    """Return what is known of the scene that is mapped, as a JSON object."""
    path = Path(job.plan.path)
    return {
        "path": job.plan.path,
        "size_bytes": path.stat().st_size if path.is_file() else None,
        "data_type": job.info.dtype,
        **describe_product(job.info),
        **describe_grid(job.plan.grid),
        "bands_used": [
            {"bidx": b, "description": job.info.descriptions[b - 1] or None, "taken_as": name}
            for b, name in zip(job.plan.bidx, job.bundle.contract.bands, strict=True)
        ],
    }


def describe_product(info: SceneInfo) -> dict[str, Any]:
    """Return what a scene is made of, as a JSON object; empty of a raster of no known sensor."""
    product = info.product
    told: dict[str, Any] = {"sensor": info.sensor} if info.sensor else {}
    if product is not None:
        told |= {"product": product.kind, "tile": product.tile or None, "masks": sorted(product.masks)}
        told |= {"files": list(info.files)}
    return told


def describe_options(job: MappingJob) -> dict[str, Any]:
    """Return every option with the value it came to, defaults included."""
    scaling, crew = job.plan.scaling, asdict(job.options.crew)
    if job.options.scheduler is not None:
        crew |= {"workers": None, "engine": None}  # the cluster's own
    return {
        "model": job.choice.reason or job.choice.model,
        "patch_px": job.patches.patch_px,
        "stride_px": job.patches.stride_px,
        "cell_px": job.patches.cell_px,
        "margin_px": job.patches.margin_px,
        "bidx": list(job.plan.bidx),
        "value_scale": job.plan.value_scale,
        "value_offset": job.plan.value_offset,
        "value_scaling": None if scaling is None else scaling.to_json(),
        "nodata": _nodata(job),
        "mask": job.options.mask,
        "resample_m": job.options.resample_m,
        "aoi": job.options.aoi,
        "where": job.options.where,
        "bbox": None if job.options.bbox is None else list(job.options.bbox),
        "min_valid_share": job.min_valid_share,
        "min_confidence": job.options.min_confidence,
        "smooth_cells": job.options.smooth_cells,
        "min_area_ha": job.options.min_area_ha,
        "simplify_m": job.options.simplify_m,
        "polygons": job.options.polygons,
        "probabilities": job.options.probabilities,
        "report": job.options.report,
        "acquired": job.options.acquired,
        **crew,
        "block_px": list(job.blocks_px),
        "memory_mb": job.options.memory_mb,
        "overwrite": job.options.overwrite,
        "resume": job.options.resume,
    }


def _nodata(job: MappingJob) -> Any:
    """Return the nodata value of the bands that are read; of several, a list."""
    values = [json_number(value) for value in job.plan.nodata.of(job.plan.bidx)]
    return values[0] if len(set(map(str, values))) == 1 else values


def peak_memory_mb(crew: Crew) -> float | None:
    """Return the most memory used so far, in MB; None where the system does not tell.

    Of processes, the largest worker counts once per worker. Workers of a cluster do not count.
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
