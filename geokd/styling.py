"""`geokd style` for maps and for models; it uses both mapping and training."""

from pathlib import Path
from typing import TYPE_CHECKING

from geokd.legend.file import legend_as_toml
from geokd.model.bundle import is_model, load_bundle

if TYPE_CHECKING:
    from geokd.maps.manifest import Manifest
    from geokd.training.style_model import StyledModel


def style(
    legend: str | Path, target: str | Path, output: str | Path, *, overwrite: bool = False
) -> "Manifest | StyledModel":
    """Write a map or a model with the user's own class names, colours and merged classes.

    Parameters
    ----------
    legend : path
        A `.toml`, `.csv` or `.qml`; see :func:`geokd.legend.file.read_legend_file`. Classes that it does not mention do
        not change.
    target : path
        A class raster `<stem>_landuse.tif`, or a bundle or the name of a shipped one.
    output : path
        File to write: `<stem>_landuse.tif`, with the other files of a map beside it, or `<name>.onnx`.
    overwrite : bool
        Whether outputs that exist are replaced.

    Returns
    -------
    Manifest or StyledModel
        As from :func:`geokd.maps.style.style_map` or :func:`geokd.training.style_model.style_model`.

    Raises
    ------
    CallError, SceneError, BundleError, OutputError
        As for these.
    """
    if is_model(target):
        from geokd.training.style_model import style_model

        return style_model(legend, target, output, overwrite=overwrite)
    from geokd.maps.style import style_map

    return style_map(legend, target, output, overwrite=overwrite)


def template(target: str | Path) -> str:
    """Return the legend of a map or a model as TOML, to be edited.

    Raises
    ------
    CallError, SceneError, BundleError
        If it is missing or cannot be read.
    """
    if is_model(target):
        return legend_as_toml(load_bundle(target).legend, str(target))
    from geokd.maps.map_file import open_map

    return legend_as_toml(open_map(target).legend, str(target))
