"""`geokd style`: of maps, which mapping knows, and of models, which training knows; so it stands above both."""

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
    """Write a map or a model anew with an analyst's own names, colours and classes.

    Parameters
    ----------
    legend : path
        A `.toml`, `.csv` or `.qml`; see :func:`geokd.legend.file.read_legend_file`. Classes that it does not mention
        stay as they are.
    target : path
        A class raster `<stem>_landuse.tif`, or a bundle or the name of one that ships.
    output : path
        What to write: `<stem>_landuse.tif`, with the other files of a map beside it, or `<name>.onnx`.
    overwrite : bool
        Whether outputs that exist are replaced.

    Returns
    -------
    Manifest or StyledModel
        Of :func:`geokd.maps.style.style_map` or :func:`geokd.training.style_model.style_model`.

    Raises
    ------
    CallError, SceneError, BundleError, OutputError
        As these.
    """
    if is_model(target):
        from geokd.training.style_model import style_model

        return style_model(legend, target, output, overwrite=overwrite)
    from geokd.maps.style import style_map

    return style_map(legend, target, output, overwrite=overwrite)


def template(target: str | Path) -> str:
    """Return the legend of a map or a model as TOML, to be changed by hand.

    Raises
    ------
    CallError, SceneError, BundleError
        If it is missing or cannot be read.
    """
    if is_model(target):
        return legend_as_toml(load_bundle(target).legend, str(target))
    from geokd.maps.map_file import open_map

    return legend_as_toml(open_map(target).legend, str(target))
