"""One legend, rendered for GDAL and QGIS: names and colours come up without a user's step.

GDAL and QGIS >= 3.30 read category names and the attribute table from `<map>.tif.aux.xml` (GDAL's PAM). Every QGIS
reads `<map>.qml` beside a raster, and in a GeoPackage the `styleQML` of its table `layer_styles`. Texts are XML
without a declaration, in UTF-8 when encoded.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from geokd.legend import LandUseClass, Legend
from geokd.outputs.class_map import ClassMap
from geokd.scenes.cell_names import FIELD, LOOKED_AT, MAPPED, NONE_OF_THESE

_QGIS_VERSION = "3.22.0"  # the oldest these styles were loaded in; later ones convert on reading

# GDAL's GDALRATFieldType and GDALRATFieldUsage, numbered as in gdal.h
_INTEGER, _STRING = 0, 2
_PIXEL_COUNT, _NAME, _MIN_MAX, _RED, _GREEN, _BLUE, _ALPHA = 1, 2, 5, 6, 7, 8, 9

_STRIKING = (255, 0, 0)

CONFIDENCE_COLOURS = ((0, "ffffd9"), (25, "c7e9b4"), (50, "41b6c4"), (75, "225ea8"), (100, "081d58"))
"""Percent and colour: ColorBrewer YlGnBu, one direction of lightness, told apart by the colour-blind too."""


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
    return _text(root)


def class_raster_qml(legend: Legend) -> str:
    """Return the style of a class raster: one colour and title per class, nodata left transparent."""
    root, renderer = _raster_style("paletted")
    palette = ET.SubElement(renderer, "colorPalette")
    for c in legend:
        ET.SubElement(
            palette, "paletteEntry", value=str(c.value), color=_hash(c.color_hint), alpha="255", label=c.title
        )
    return _text(root)


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
    return _text(root)


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
    return _text(root)


def sample_qml(legend: Legend, cell_size: float) -> str:
    """Return the style and form of a sample to be labelled: the class is picked from a list, the map's is not shown.

    Parameters
    ----------
    legend : Legend
        The classes to pick from.
    cell_size : float
        Side of a cell in units of the CRS: squares of this size are drawn.
    """
    fields = {"point": "", FIELD: "ValueMap", "note": "TextEdit", "stratum": "Hidden", "picture": "Hidden"}
    root = _cells_style(legend, cell_size, "To be labelled", "")
    _form(root, legend, fields, {FIELD: "Class seen on the ground"})
    return _text(root)


def review_qml(legend: Legend, cell_size: float) -> str:
    """Return the style and form of a review: the class is the map's until it is changed, a tick says it was looked at.

    Cells that nobody has looked at yet bear a red cross. Parameters as of :func:`sample_qml`.
    """
    changed = f'("{FIELD}" <> "{MAPPED}" or ("{FIELD}" is null) <> ("{MAPPED}" is null))'
    to_be_seen = f'not (coalesce("{LOOKED_AT}", false) or {changed})'
    root = _cells_style(legend, cell_size, "No class", to_be_seen)
    told = {"second": "ValueMap", "confidence": "TextEdit", "margin": "TextEdit"}
    fields = {"point": "", FIELD: "ValueMap", LOOKED_AT: "CheckBox", "note": "TextEdit"} | told
    fields |= {MAPPED: "Hidden", "picture": "Hidden"}
    aliases = {FIELD: "Class, the map's until you change it", LOOKED_AT: "Looked at: the class is right"}
    aliases |= {"second": "Next likeliest", "confidence": "Confidence, percent", "margin": "Lead over the next, points"}
    _form(root, legend, fields, aliases)
    editable = ET.SubElement(root, "editable")
    for name in told:
        ET.SubElement(editable, "field", name=name, editable="0")
    return _text(root)


def _cells_style(legend: Legend, cell_size: float, unlabelled: str, crossed: str) -> ET.Element:
    """Begin a style with AllStyleCategories: squares of the size of a cell, by class; `unlabelled` names those without.

    `crossed` is the expression of the cells that bear a cross; all do, in the colour of their class, if it is empty.
    """
    root = ET.Element("qgis", version=_QGIS_VERSION, styleCategories="AllStyleCategories")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=FIELD)
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    for number, (value, label, rgb) in enumerate([*_choices(legend), ("", unlabelled, _STRIKING)]):
        symbol_name = str(number)
        ET.SubElement(categories, "category", value=value, symbol=symbol_name, label=label, render="true")
        symbol = ET.SubElement(symbols, "symbol", name=symbol_name, type="marker", alpha="1")
        _marker(symbol, "square", (cell_size, "MapUnit"), rgb)
        cross = _marker(symbol, "cross", (3, "MM"), _STRIKING if crossed else rgb)
        if crossed:
            _enable_where(cross, crossed)
    return root


def _choices(legend: Legend) -> list[tuple[str, str, tuple[int, int, int]]]:
    """Value, label and colour of what can be picked."""
    return [*((str(c.value), c.title, c.rgb) for c in legend), (str(NONE_OF_THESE), "None of these", (0, 0, 0))]


def _form(root: ET.Element, legend: Legend, widgets: Mapping[str, str], aliases: Mapping[str, str]) -> None:
    """Add the form: the widget of each field in order, QGIS's own where it is empty; map tips show the picture."""
    fields = ET.SubElement(root, "fieldConfiguration")
    for name, widget in widgets.items():
        if not widget:
            continue
        editor = ET.SubElement(ET.SubElement(fields, "field", name=name), "editWidget", type=widget)
        options = ET.SubElement(ET.SubElement(editor, "config"), "Option", type="Map")
        if widget == "ValueMap":
            values = ET.SubElement(options, "Option", type="List", name="map")
            for value, label, _ in _choices(legend):
                pair = ET.SubElement(values, "Option", type="Map")
                ET.SubElement(pair, "Option", type="QString", name=label, value=value)
    names = ET.SubElement(root, "aliases")
    for name, alias in aliases.items():
        ET.SubElement(names, "alias", field=name, index=str(list(widgets).index(name) + 1), name=alias)
    columns = ET.SubElement(ET.SubElement(root, "attributetableconfig"), "columns")
    for name, widget in widgets.items():
        ET.SubElement(columns, "column", type="field", name=name, hidden=str(int(widget == "Hidden")), width="-1")
    ET.SubElement(root, "previewExpression").text = '"point"'
    ET.SubElement(root, "mapTip").text = '<img src="data:image/jpeg;base64,[% "picture" %]"/>'


def _marker(symbol: ET.Element, shape: str, size: tuple[float, str], rgb: tuple[int, int, int]) -> ET.Element:
    """Add an outline, `size` in a unit, to a marker."""
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleMarker", "enabled": "1", "pass": "0", "locked": "0"})
    options = ET.SubElement(layer, "Option", type="Map")
    for name, option in (
        ("name", shape),
        ("size", f"{size[0]:.12g}"),
        ("size_unit", size[1]),
        ("color", "0,0,0,0"),
        ("outline_color", ",".join(str(part) for part in (*rgb, 255))),
        ("outline_style", "solid"),
        ("outline_width", "0.5"),
        ("outline_width_unit", "MM"),
    ):
        ET.SubElement(options, "Option", name=name, type="QString", value=option)
    return layer


def _enable_where(layer: ET.Element, expression: str) -> None:
    """Show a layer of a symbol only where an expression is true."""
    properties = ET.SubElement(ET.SubElement(layer, "data_defined_properties"), "Option", type="Map")
    ET.SubElement(properties, "Option", type="QString", name="name", value="")
    enabled = ET.SubElement(ET.SubElement(properties, "Option", type="Map", name="properties"), "Option")
    enabled.attrib |= {"type": "Map", "name": "enabled"}
    ET.SubElement(enabled, "Option", type="bool", name="active", value="true")
    ET.SubElement(enabled, "Option", type="QString", name="expression", value=expression)
    ET.SubElement(enabled, "Option", type="int", name="type", value="3")
    ET.SubElement(properties, "Option", type="QString", name="type", value="collection")


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
    return ET.Element("qgis", version=_QGIS_VERSION, styleCategories="Symbology")


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


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
