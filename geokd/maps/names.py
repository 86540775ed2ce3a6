"""Names of the files of a map."""

from typing import NamedTuple

INDEX_NAME = "index.html"
"""File name of the page that links the reports of several scenes."""

# Fields of OutputNames that are written only if requested.
_ON_REQUEST = {
    "polygons": ("polygons",),
    "probabilities": ("probability_raster", "probability_style"),
    "report": ("report",),
    "sources": ("source_raster", "source_attributes", "source_style"),
    "dates": ("date_raster", "date_attributes", "date_style"),
}


class OutputNames(NamedTuple):
    """File names of all outputs of one scene, or of one mosaic."""

    class_raster: str
    class_attributes: str
    class_style: str
    confidence_raster: str
    confidence_style: str
    probability_raster: str
    probability_style: str
    polygons: str
    summary: str
    quicklook: str
    thumbnail: str
    report: str
    manifest: str
    stac_item: str
    source_raster: str
    source_attributes: str
    source_style: str
    date_raster: str
    date_attributes: str
    date_style: str

    def chosen(
        self,
        *,
        polygons: bool = False,
        probabilities: bool = False,
        report: bool = False,
        sources: bool = False,
        dates: bool = False,
    ) -> dict[str, str]:
        """Return the names by their fields: those of every map, and those that were requested."""
        asked = {"polygons": polygons, "probabilities": probabilities, "report": report, "sources": sources}
        asked["dates"] = dates
        left_out = {field for kind, fields in _ON_REQUEST.items() if not asked[kind] for field in fields}
        return {field: name for field, name in self._asdict().items() if field not in left_out}


def output_names(stem: str) -> OutputNames:
    """Return the names of the outputs of the scene `stem`, a file name without its extension."""
    return OutputNames(
        class_raster=f"{stem}_landuse.tif",
        class_attributes=f"{stem}_landuse.tif.aux.xml",
        class_style=f"{stem}_landuse.qml",
        confidence_raster=f"{stem}_confidence.tif",
        confidence_style=f"{stem}_confidence.qml",
        probability_raster=f"{stem}_probabilities.tif",
        probability_style=f"{stem}_probabilities.qml",
        polygons=f"{stem}_landuse.gpkg",
        summary=f"{stem}_summary.csv",
        quicklook=f"{stem}_landuse.png",
        thumbnail=f"{stem}_thumbnail.png",
        report=f"{stem}_report.html",
        manifest=f"{stem}_landuse.json",
        stac_item=f"{stem}_landuse.stac.json",
        source_raster=f"{stem}_sources.tif",
        source_attributes=f"{stem}_sources.tif.aux.xml",
        source_style=f"{stem}_sources.qml",
        date_raster=f"{stem}_dates.tif",
        date_attributes=f"{stem}_dates.tif.aux.xml",
        date_style=f"{stem}_dates.qml",
    )
