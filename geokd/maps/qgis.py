"""One legend, rendered for GDAL and QGIS: names and colours come up without a user's step.

GDAL and QGIS >= 3.30 read category names and the attribute table from `<map>.tif.aux.xml` (GDAL's PAM). Every QGIS
reads `<map>.qml` beside a raster, and in a GeoPackage the `styleQML` of its table `layer_styles`. Texts are XML
without a declaration, in UTF-8 when encoded.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from geokd.legend.classes import LandUseClass, Legend
from geokd.maps.class_map import ClassMap

QGIS_VERSION = "3.22.0"  # the oldest these styles were loaded in; later ones convert on reading

# GDAL's GDALRATFieldType and GDALRATFieldUsage, numbered as in gdal.h
_INTEGER, _STRING = 0, 2
_PIXEL_COUNT, _NAME, _MIN_MAX, _RED, _GREEN, _BLUE, _ALPHA = 1, 2, 5, 6, 7, 8, 9


CONFIDENCE_COLOURS = ((0, "ffffd9"), (25, "c7e9b4"), (50, "41b6c4"), (75, "225ea8"), (100, "081d58"))
"""Percent and colour: ColorBrewer YlGnBu, one direction of lightness, distinguishable by the colour-blind."""


def class_attributes_pam(class_map: ClassMap) -> str:
    """Return the `.aux.xml` of a class raster: category names and a thematic raster attribute table."""
    root = ET.Element("PAMDataset")
    band = ET.SubElement(root, "PAMRasterBand", band="1")
    names = ET.SubElement(band, "CategoryNames")
    for c in class_map.legend:
        ET.SubElement(names, "Category").text = c.title
    table = ET.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    columns = (
        ("Value", _INTEGER, _MIN_MAX),
        ("Class", _STRING, _NAME),
        ("Count", _INTEGER, _PIXEL_COUNT),
        ("Red", _INTEGER, _RED),
        ("Green", _INTEGER, _GREEN),
        ("Blue", _INTEGER, _BLUE),
        ("Alpha", _INTEGER, _ALPHA),
    )
    for index, (name, kind, usage) in enumerate(columns):
        column = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(column, "Name").text = name
        ET.SubElement(column, "Type").text = str(kind)
        ET.SubElement(column, "Usage").text = str(usage)
    for c, count in zip(class_map.legend, class_map.cell_counts(), strict=True):
        row = ET.SubElement(table, "Row", index=str(c.value))
        for value in (c.value, c.title, count, *c.rgb, 255):
            ET.SubElement(row, "F").text = str(value)
    return style_text(root)


def class_raster_qml(legend: Legend) -> str:
    """Return the style of a class raster: one colour and title per class, nodata left transparent."""
    root, renderer = _raster_style("paletted")
    palette = ET.SubElement(renderer, "colorPalette")
    for c in legend:
        ET.SubElement(
            palette, "paletteEntry", value=str(c.value), color=_hash(c.color_hint), alpha="255", label=c.title
        )
    return style_text(root)


def confidence_raster_qml() -> str:
    """Return the style of a confidence raster: pale to dark blue from 0 to 100 percent."""
    root, renderer = _raster_style("singlebandpseudocolor", classificationMin="0", classificationMax="100")
    shader = ET.SubElement(
        ET.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="1",
        minimumValue="0",
        maximumValue="100",
        clip="0",
    )
    for percent, colour in CONFIDENCE_COLOURS:
        ET.SubElement(shader, "item", value=str(percent), color=_hash(colour), alpha="255", label=f"{percent} %")
    return style_text(root)


def polygons_qml(legend: Legend) -> str:
    """Return the style of the polygons: one filled category per class, by the column `class_value`."""
    root = _style()
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr="class_value")
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for c in legend:
        value = str(c.value)
        ET.SubElement(categories, "category", value=value, symbol=value, label=c.title, render="true")
        symbol = ET.SubElement(symbols, "symbol", name=value, type="fill", alpha="1")
        layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1", "pass": "0", "locked": "0"})
        options = ET.SubElement(layer, "Option", type="Map")
        for name, option in _fill_options(c):
            ET.SubElement(options, "Option", name=name, type="QString", value=option)
    return style_text(root)


def _fill_options(c: LandUseClass) -> Iterable[tuple[str, str]]:
    """Yield name and value of QGIS's options for a fill; the outline of the same colour closes the seams."""
    colour = ",".join(str(part) for part in (*c.rgb, 255))
    yield "color", colour
    yield "style", "solid"
    yield "outline_color", colour
    yield "outline_style", "solid"
    yield "outline_width", "0.1"
    yield "outline_width_unit", "MM"
    yield "joinstyle", "miter"


def _style() -> ET.Element:
    return ET.Element("qgis", version=QGIS_VERSION, styleCategories="Symbology")


def _raster_style(kind: str, **attributes: str) -> tuple[ET.Element, ET.Element]:
    """Return a raster style and its renderer of type `kind`, to be filled."""
    root = _style()
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe, "rasterrenderer", {"type": kind, "band": "1", "opacity": "1", "alphaBand": "-1", **attributes}
    )
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0", invertColors="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    return root, renderer


def _hash(colour: str) -> str:
    return f"#{colour.lower()}"


def style_text(root: ET.Element) -> str:
    """Return a style as indented XML."""
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
