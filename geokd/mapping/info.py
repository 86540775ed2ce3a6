"""What a model or a scene is, and what mapping it would take, without doing it."""

from pathlib import Path
from typing import Any

from rasterio.errors import CRSError

from geokd.errors import CallError, SceneError
from geokd.mapping.account import product_fields, record_options
from geokd.mapping.choosing import choose_model, read_card
from geokd.mapping.jobs import check_unclassified, plan_job
from geokd.mapping.options import ClassifyOptions
from geokd.maps.manifest import grid_fields, json_number
from geokd.model.bundle import is_model, load_bundle, resolve_model, shipped_models
from geokd.model.engine import _TRIAL_SECONDS, Student, open_bundle, patches_per_second
from geokd.scenes.plan import fix_plan
from geokd.scenes.reader import describe_scene, read_preview
from geokd.scenes.scene_info import SceneInfo


def info(path: str | Path, model: str | Path | None = None, options: ClassifyOptions | None = None) -> dict[str, Any]:
    """Describe a model, or a scene, or what mapping a scene by a model would take.

    Parameters
    ----------
    path : path
        A bundle (a `.onnx` file, or the name of one that ships), or a scene.
    model : path, optional
        For a scene: the model it would be mapped with; "auto" leaves the choice to the scene.
    options : ClassifyOptions, optional
        For a scene with a model.

    Returns
    -------
    dict
        A JSON object; `kind` is "model" or "scene". A scene alone has the names of the models that ship and can take it
        under `models_that_fit`. With a model, a scene that does not fit has its mismatches under
        `problems`, and nothing else is said of its map.

    Raises
    ------
    CallError
        If there is no such file or model, or `model` is given for a model.
    SceneError
        If the scene cannot be opened.
    BundleError
        If the model is missing or broken.
    """
    if is_model(path):
        if model is not None:
            raise CallError(f"{path} is a model itself; give -m/--model with a scene only")
        return {"kind": "model", "path": str(resolve_model(path)), **load_bundle(path).describe()}
    options = options or ClassifyOptions()
    scene = describe_scene(path, options.resample_m)
    about: dict[str, Any] = {"kind": "scene", **describe_scene_info(scene)}
    if model is not None:
        return about | _prospect(scene, model, options)
    return about | {"models_that_fit": [name for name in shipped_models() if _fits(scene, name, options)]}


def _fits(scene: SceneInfo, model: str, options: ClassifyOptions) -> bool:
    """Whether a model that ships can take a scene."""
    try:
        fix_plan(scene, read_card(model).contract, options.scene_options)
    except SceneError:
        return False
    return True


def describe_scene_info(scene: SceneInfo) -> dict[str, Any]:
    """Return what a raster file says of itself, as a JSON object."""
    try:
        metres = None if scene.grid.crs is None else list(scene.grid.pixel_size_m)
    except CRSError:  # a local system whose unit nobody knows
        metres = None
    return {
        "path": scene.path,
        **grid_fields(scene.grid),
        "pixel_size_m": metres,
        "data_type": scene.dtype,
        "bands": [
            {
                "bidx": b,
                "description": description or None,
                "colour": colour,
                "scale": json_number(scale),
                "offset": json_number(offset),
            }
            for b, (description, colour, scale, offset) in enumerate(
                zip(scene.descriptions, scene.colours, scene.scales, scene.offsets, strict=True), 1
            )
        ],
        "nodata": json_number(scene.nodata[0]),
        "masked": scene.masked,
        **product_fields(scene),
    }


def megapixels_per_second(student: Student, patches: float) -> float:
    """Million pixels of a scene that so many patches a second of a dense student come to, their margins left out."""
    contract = student.bundle.contract
    return patches * (contract.patch_px - 2 * contract.margin_px) ** 2 / 1e6


def _prospect(scene: SceneInfo, named: str | Path, options: ClassifyOptions) -> dict[str, Any]:
    """Say what mapping would take, or why it cannot be done."""
    try:
        choice = choose_model(scene, named, options.scene_options)
    except SceneError as error:
        return {"model": None, "problems": str(error)}
    model = resolve_model(choice.model).resolve()
    student = open_bundle(model)
    bundle = student.bundle
    about: dict[str, Any] = {"model": {"name": bundle.name, "precision": bundle.precision, "path": str(model)}}
    try:
        if options.min_confidence > 0:
            check_unclassified(bundle)
        job = plan_job(scene, bundle, model, Path(), options, choice)
    except (SceneError, CallError) as error:
        return about | {"problems": str(error)}
    cells, patches = job.map_grid, sum(block.rows * block.cols for block in job.blocks)
    valid_share = float(read_preview(job.plan)[1].mean())
    speed = patches_per_second(student)
    return about | {
        "problems": None,
        "options": record_options(job).to_json(),
        "notes": list(job.notes),
        "warnings": list(job.plan.warnings),
        "patches": patches,
        "map": grid_fields(cells) | {"cell_size_m": list(cells.pixel_size_m), "cells": cells.height * cells.width},
        "valid_share": round(valid_share, 4),
        "expected": {
            "seconds": round(patches * valid_share / speed / options.crew.workers, 1),
            "how": "valid share of the patches, at the speed of this machine on random bytes for "
            f"{_TRIAL_SECONDS} s in one thread, times the workers; without start-up and reading",
            "patches_per_second_and_worker": round(speed, 1),
            **(
                {"megapixels_per_second_and_worker": round(megapixels_per_second(student, speed), 2)}
                if bundle.contract.is_dense
                else {}
            ),
            "raster_bytes_uncompressed": cells.height * cells.width,
        },
    }
