"""Styles and forms of QGIS for cells that an analyst labels."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from geokd.labels.cell_names import FIELD, FIELD_LATER, LOOKED_AT, MAPPED, NONE_OF_THESE
from geokd.legend.classes import Legend
from geokd.maps.qgis import QGIS_VERSION, style_text

_STRIKING = (255, 0, 0)


def sample_qml(legend: Legend, cell_size: float, *, two_dates: bool = False) -> str:
    """Return the style and form of a sample to be labelled: the class is picked from a list, the map's is hidden.

    Parameters
    ----------
    legend : Legend
        The classes to pick from.
    cell_size : float
        Side of a cell in units of the CRS: squares of this size are drawn.
    two_dates : bool
        Whether a class is picked for a later date, too.
    """
    fields = {"point": "", FIELD: "ValueMap", "note": "TextEdit", "stratum": "Hidden", "picture": "Hidden"}
    aliases = {FIELD: "Class seen on the ground"}
    if two_dates:
        fields = {"point": "", FIELD: "ValueMap", FIELD_LATER: "ValueMap"} | fields
        aliases = {FIELD: "Class at the earlier date", FIELD_LATER: "Class at the later date"}
    root = _cells_style(legend, cell_size, "To be labelled", "")
    _form(root, legend, fields, aliases)
    return style_text(root)


def review_qml(legend: Legend, cell_size: float) -> str:
    """Return the style and form of a review: the class is the map's until it is changed, a tick marks it as checked.

    Cells that are not checked yet have a red cross. Parameters as in :func:`sample_qml`.
    """
    changed = f'("{FIELD}" <> "{MAPPED}" or ("{FIELD}" is null) <> ("{MAPPED}" is null))'
    to_be_seen = f'not (coalesce("{LOOKED_AT}", false) or {changed})'
    root = _cells_style(legend, cell_size, "No class", to_be_seen)
    read_only = {"second": "ValueMap", "confidence": "TextEdit", "margin": "TextEdit"}
    fields = {"point": "", FIELD: "ValueMap", LOOKED_AT: "CheckBox", "note": "TextEdit"} | read_only
    fields |= {MAPPED: "Hidden", "picture": "Hidden"}
    aliases = {FIELD: "Class, the map's until you change it", LOOKED_AT: "Looked at: the class is right"}
    aliases |= {"second": "Next likeliest", "confidence": "Confidence, percent", "margin": "Lead over the next, points"}
    _form(root, legend, fields, aliases)
    editable = ET.SubElement(root, "editable")
    for name in read_only:
        ET.SubElement(editable, "field", name=name, editable="0")
    return style_text(root)


def _cells_style(legend: Legend, cell_size: float, unlabelled: str, crossed: str) -> ET.Element:
    """Begin a style with AllStyleCategories: squares of a cell's size, by class; `unlabelled` names cells without one.

    `crossed` is the expression of the cells with a cross; if it is empty, all have one, in the colour of their class.
    """
    root = ET.Element("qgis", version=QGIS_VERSION, styleCategories="AllStyleCategories")
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
    """Value, label and colour of the choices."""
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
