"""The STAC item of a map, for catalogues (https://stacspec.org, version 1.1.0, and its extensions).

It has the content of the manifest, with the names of the extensions. Bands are described twice: in `bands`, as in STAC
1.1, and in `raster:bands` of the raster extension 1.1, which GDAL, pystac and the extension `mlm` read.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from PIL import Image

from geokd.files import write_bytes
from geokd.legend.classes import NODATA, UNCLASSIFIED, Legend
from geokd.maps.footprint import footprint
from geokd.maps.manifest import CellsRecord, Manifest, ModelRecord
from geokd.maps.stac_links import GEOTIFF, href, href_of, model_name
from geokd.model.contract import ValueScaling
from geokd.scenes.acquisition import in_words
from geokd.scenes.grid import SceneGrid
from geokd.system.documents import parse_json, read_text

STAC_VERSION = "1.1.0"

_EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.1.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
}
_OF_MODELS = {"mlm": "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"}

_COG = f"{GEOTIFF}; profile=cloud-optimized"
_SHA2_256 = "1220"  # beginning of a multihash with 32 bytes


@dataclass(frozen=True)
class _Kind:
    """Description of an output: title, media type, roles."""

    title: str
    media_type: str
    roles: tuple[str, ...]


_KINDS = {
    "class_raster": _Kind("Classes of land use", _COG, ("data",)),
    "class_attributes": _Kind("Names of the classes, for GDAL", "application/xml", ("metadata",)),
    "class_style": _Kind("Style of the classes, for QGIS", "application/xml", ("metadata", "style")),
    "confidence_raster": _Kind("Confidence in percent", _COG, ("data",)),
    "confidence_style": _Kind("Style of the confidence, for QGIS", "application/xml", ("metadata", "style")),
    "probability_raster": _Kind("Probability of each class in percent", _COG, ("data",)),
    "probability_style": _Kind("Style of the probabilities, for QGIS", "application/xml", ("metadata", "style")),
    "polygons": _Kind("Polygons of land use", "application/geopackage+sqlite3", ("data",)),
    "summary": _Kind("Areas of the classes", "text/csv", ("metadata",)),
    "quicklook": _Kind("Picture of the map", "image/png", ("overview",)),
    "thumbnail": _Kind("Thumbnail", "image/png", ("thumbnail",)),
    "report": _Kind("Report", "text/html", ("metadata",)),
    "manifest": _Kind("Manifest: how the map was made", "application/json", ("metadata",)),
    "source_raster": _Kind("Number of the map that each cell comes from", _COG, ("data",)),
    "source_attributes": _Kind("Names of the maps, for GDAL", "application/xml", ("metadata",)),
    "source_style": _Kind("Style of the sources, for QGIS", "application/xml", ("metadata", "style")),
    "date_raster": _Kind("Number of dates on which each cell was seen", _COG, ("data",)),
    "date_attributes": _Kind("Names of the numbers of dates, for GDAL", "application/xml", ("metadata",)),
    "date_style": _Kind("Style of the dates, for QGIS", "application/xml", ("metadata", "style")),
}


def write_item(
    manifest: Manifest, grid: SceneGrid, links: Iterable[Mapping[str, Any]], folder: Path, place: Path
) -> None:
    """Write the STAC item of a map, after all its other files.

    Parameters
    ----------
    manifest : Manifest
    grid : SceneGrid
        Of the map.
    links : iterable of mapping
        Sources of the map, from :func:`geokd.maps.stac_links.derived_from`.
    folder : Path
        Where the map's files are now.
    place : Path
        Where they will be.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    outputs = manifest.outputs
    files = {field: _file_facts(folder / name) for field, name in outputs.items() if field != "stac_item"}
    item = map_item(manifest, grid, links, files, place)
    text = json.dumps(item, ensure_ascii=False, allow_nan=False, indent=2)
    write_bytes(folder / outputs["stac_item"], (text + "\n").encode())


_CELLS = ("class_raster", "confidence_raster", "probability_raster", "manifest")  # QGIS may change styles and polygons


def strangers(folder: Path, outputs: Mapping[str, str]) -> list[str]:
    """List rasters and manifest of a map that do not have the sizes and checksums in its STAC item.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the item is broken.
    OSError
        If a file cannot be read.
    """
    assets = parse_json(read_text(folder / outputs["stac_item"]))["assets"]
    return [
        outputs[field]
        for field in _CELLS
        if field in outputs and not _file_facts(folder / outputs[field]).items() <= assets[field].items()
    ]


def map_item(
    manifest: Manifest,
    grid: SceneGrid,
    links: Iterable[Mapping[str, Any]],
    files: Mapping[str, Mapping[str, Any]],
    place: Path,
) -> dict[str, Any]:
    """Return the STAC item of a map.

    Parameters
    ----------
    manifest, grid, links, place
        As for :func:`write_item`.
    files : mapping of str to mapping
        Size and checksum of each output, by the extension `file`.
    """
    outputs, model = manifest.outputs, manifest.model
    where = footprint(grid)
    assets = {}
    for field, facts in files.items():
        kind = _KINDS[field]
        named = {"href": href(outputs[field]), "title": kind.title, "type": kind.media_type, "roles": list(kind.roles)}
        assets[field] = named | dict(facts) | _bands(field, manifest)
    if model is not None:
        assets["model"] = _model_asset(model, place)
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [*_EXTENSIONS.values(), *(_OF_MODELS.values() if model else ())],
        "id": outputs["class_raster"].removesuffix(".tif"),
        "geometry": None if where is None else where.geometry,
        **({} if where is None else {"bbox": where.bbox}),
        "properties": {
            "title": f"Land use, {outputs['class_raster'].removesuffix('_landuse.tif')}",
            **_times(manifest),
            "processing:level": "L4",  # derived from measurements by models
            "processing:lineage": "; ".join(manifest.notes),
            "processing:software": dict(manifest.versions),
            **_projection(grid),
            **(_model_fields(model) if model else {}),
        },
        "links": [dict(link) for link in links],
        "assets": assets,
    }


def _file_facts(path: Path) -> dict[str, Any]:
    """Return size and checksum of a file and, for a picture, that it is not georeferenced, and its height and width."""
    with path.open("rb") as file:
        facts = {"file:size": path.stat().st_size, "file:checksum": _SHA2_256 + file_digest(file, "sha256").hexdigest()}
    if path.suffix != ".png":
        return facts
    with Image.open(path) as picture:
        return facts | {"proj:code": None, "proj:wkt2": None, "proj:shape": [picture.height, picture.width]}


def _times(manifest: Manifest) -> dict[str, Any]:
    made = (manifest.date or "").replace("+00:00", "Z")
    fields = {"created": made, "updated": made}
    if manifest.acquired is None:
        return {"datetime": made} | fields
    start, end = in_words(manifest.acquired.start), in_words(manifest.acquired.end)
    if start == end:
        return {"datetime": start} | fields
    return {"datetime": None, "start_datetime": start, "end_datetime": end} | fields


def _projection(grid: SceneGrid) -> dict[str, Any]:
    authority = grid.crs.to_authority() if grid.crs is not None else None
    fields: dict[str, Any] = {
        "proj:code": ":".join(authority) if authority else None,
        "proj:wkt2": None if grid.crs is None else grid.crs.to_wkt(version="WKT2_2019"),
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": list(grid.bounds),
    }
    return fields if authority or grid.crs is None else fields | {"proj:projjson": grid.crs.to_dict(projjson=True)}


def _bands(field: str, manifest: Manifest) -> dict[str, Any]:
    """Describe a raster's bands; empty for other outputs."""
    cells = manifest.map
    assert cells is not None, "written with the map"
    left = cells.height * cells.width - manifest.valid_cells
    unmapped = {"value": NODATA, "name": "not_mapped", "title": "Not mapped", "nodata": True, "count": left}
    if field == "class_raster":
        counts = {area.value: area.cells for area in manifest.areas}
        classes = [c | {"count": counts[c["value"]]} for c in Legend(manifest.legend).to_json()]
        return _raster(cells, [("land_use", "Code of the class")]) | {"classification:classes": [*classes, unmapped]}
    if field == "source_raster" and manifest.mosaic is not None:
        classes = [
            {"value": m.number, "name": f"map_{m.number}", "title": Path(m.path).name, "count": m.cells_taken}
            for m in manifest.mosaic.maps
        ]
        return _raster(cells, [("map", "Number of the map")]) | {"classification:classes": [*classes, unmapped]}
    if field == "date_raster":
        return _raster(cells, [("dates", "Number of dates on which the cell was seen")])
    if field == "confidence_raster":
        return _raster(cells, [("confidence", "Probability of the class that is shown")], "%")
    if field == "probability_raster":
        of_model = [c for c in manifest.legend if c.name != UNCLASSIFIED]
        return _raster(cells, [(c.name, c.title) for c in of_model], "%")
    return {}


def _raster(cells: CellsRecord, bands: Sequence[tuple[str, str]], unit: str | None = None) -> dict[str, Any]:
    """Return the properties common to all bands of a raster, and those (name, description) of each."""
    common = {"data_type": "uint8", "nodata": NODATA} | ({"unit": unit} if unit else {})
    size = max(cells.cell_size_m)
    of_extension = {"sampling": "area", "spatial_resolution": size, **common}
    return {
        **common,
        "bands": [{"name": name, "description": description} for name, description in bands],
        "raster:bands": [{"name": name, **of_extension} for name, _ in bands],
    }


def _scaling_of_bands(scaling: Mapping[str, Any], bands: int) -> list[dict[str, Any]]:
    """Return the stretch in the form of `mlm`: one object for all bands, or one for each."""
    if not isinstance(scaling["maximum"], list):
        return [dict(scaling)]
    return [one.to_json() for one in ValueScaling.from_json(scaling).of_bands(bands)]


def _model_fields(model: ModelRecord) -> dict[str, Any]:
    """Describe a model's input and output with the extension `mlm`."""
    wanted = model.input
    scaling, cell_px = wanted["value_scaling"], wanted.get("cell_px")
    cells = [] if cell_px is None else [wanted["patch_px"] // cell_px] * 2
    task = "semantic-segmentation" if cells else "scene-classification"
    return {
        "mlm:name": model_name(model.name),
        "mlm:architecture": model.architecture,
        "mlm:tasks": [task],
        "mlm:framework": "ONNX",
        "mlm:input": [
            {
                "name": "patches",
                "description": f"pixels of {wanted['ground_resolution_m']:g} m",
                "bands": wanted["bands"],
                "input": {
                    "shape": [-1, len(wanted["bands"]), wanted["patch_px"], wanted["patch_px"]],
                    "dim_order": ["batch", "channel", "height", "width"],
                    "data_type": wanted["data_type"],
                },
                "value_scaling": None if scaling is None else _scaling_of_bands(scaling, len(wanted["bands"])),
                "resize_type": wanted["resize_type"],
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "description": f"one per class{' for each cell' if cells else ''}, in the order of their values",
                "tasks": [task],
                "result": {
                    "shape": [-1, model.classes, *cells],
                    "dim_order": ["batch", "class", *(("height", "width") if cells else ())],
                    "data_type": "float32",
                },
            }
        ],
    }


def _model_asset(model: ModelRecord, place: Path) -> dict[str, Any]:
    return {
        "href": href_of(model.path, place),
        "title": f"The model {model.name} ({model.precision})",
        "type": "application/octet-stream; framework=onnx",
        "roles": ["mlm:model"],
        "mlm:artifact_type": "onnx",
        "file:size": model.size_bytes,
        "file:checksum": _SHA2_256 + model.sha256,
        "raster:bands": [{"name": band, "data_type": model.input["data_type"]} for band in model.input["bands"]],
    }
