"""Whether a scene fits a student, and every choice of how to read it. Pure: no file is opened here."""

from dataclasses import dataclass, replace

from geokd.errors import SceneError, one_message
from geokd.model.contract import InputContract, ValueScaling
from geokd.scenes.bands import choose_bands
from geokd.scenes.georeferencing import grid_problems
from geokd.scenes.grid import SceneGrid
from geokd.scenes.masks import MaskPlan
from geokd.scenes.options import SceneOptions
from geokd.scenes.scene_info import SceneInfo
from geokd.scenes.validity import Nodata
from geokd.scenes.values import choose_values


@dataclass(frozen=True)
class ScenePlan:
    """How to read one scene for one student: every choice made, picklable.

    Parameters
    ----------
    path : str
        As the user names the scene.
    grid : SceneGrid
    bidx : tuple of int
        Bands, 1-based, in the contract's order.
    value_scales, value_offsets : tuple of float
        Of each of these bands: reflectance x 10,000 = DN * scale + offset.
    scaling : ValueScaling or None
        None: bytes pass through.
    nodata : Nodata
    notes : tuple of str
        Choices that affect the map, one sentence each.
    warnings : tuple of str
        Possible problems, with the remedy, one sentence each.
    virtual : str
        Name for GDAL in place of `path`; empty for a raster.
    files : tuple of str
        All files that its pixels are read from, as far as known.
    mask : MaskPlan or None
        Mask of further pixels that are left out.
    stored_bytes : int
        Decompressed size of the largest tile or strip; 0 if unknown.
    """

    path: str
    grid: SceneGrid
    bidx: tuple[int, ...]
    value_scales: tuple[float, ...]
    value_offsets: tuple[float, ...]
    scaling: ValueScaling | None
    nodata: Nodata
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    virtual: str = ""
    files: tuple[str, ...] = ()
    mask: MaskPlan | None = None
    stored_bytes: int = 0

    @property
    def declares_nodata(self) -> bool:
        """Whether a band that is read has a nodata value."""
        return any(value is not None for value in self.nodata.of(self.bidx))

    def with_mask(self, mask: MaskPlan) -> "ScenePlan":
        """Return the plan with a mask."""
        return replace(self, mask=mask, files=(*self.files, *mask.files), notes=(*self.notes, mask.note))

    @property
    def raster(self) -> str:
        """Name for GDAL."""
        return self.virtual or self.path


def fix_plan(info: SceneInfo, contract: InputContract, options: SceneOptions) -> ScenePlan:
    """Check that a scene fits a student's contract, and decide how it is read.

    Raises
    ------
    SceneError
        If the scene does not fit: all mismatches in one message, each with its remedy.
    """
    return _plan(info, contract, options, grid_problems(info, contract))


def plan_any_grid(info: SceneInfo, contract: InputContract, options: SceneOptions) -> ScenePlan:
    """Decide how a scene is read, as :func:`fix_plan`, whatever the size and place of its pixels.

    Raises
    ------
    SceneError
        If bands or values do not fit.
    """
    return _plan(info, contract, options, [])


def _plan(info: SceneInfo, contract: InputContract, options: SceneOptions, problems: list[str]) -> ScenePlan:
    choice = values = None
    if options.bidx is not None and info.left_out:
        problems.append(f"--bidx counts all bands of the product, but {'; '.join(info.left_out)}; leave --bidx out")
    try:
        choice = choose_bands(
            info.descriptions, info.colours, contract.bands, options.bidx, info.sensor, info.centres_nm
        )
    except SceneError as error:
        problems.append(info.unreadable_of(contract.bands) or info.doubt_of(contract.bands) or str(error))
    try:
        values = choose_values(info, contract, options, choice.bidx if choice else (1,))
    except SceneError as error:
        problems.append(str(error))
    if problems or choice is None or values is None:
        raise SceneError(f"{info.path} does not fit the model: {one_message(problems)}")
    nodata = info.nodata if options.nodata is None else (options.nodata,) * len(info.nodata)
    return ScenePlan(
        path=info.path,
        grid=info.grid,
        bidx=choice.bidx,
        value_scales=values.scales,
        value_offsets=values.offsets,
        scaling=values.scaling,
        nodata=Nodata(nodata, zero_is_data=min(values.offsets) >= 0),
        notes=(*info.notes, choice.note, values.note, _nodata_note(info, options, choice.bidx)),
        warnings=(values.warning,) if values.warning else (),
        virtual=info.virtual,
        files=info.files,
    )


def plan_chips(info: SceneInfo, bidx: tuple[int, ...], nodata: float | None = None) -> ScenePlan:
    """Decide how bands of a scene are read unchanged, for chips.

    Parameters
    ----------
    info : SceneInfo
    bidx : tuple of int
        Bands without alpha.
    nodata : float, optional
        The user's value. Default: the file's.

    Raises
    ------
    SceneError
        If a band of a product cannot be read, because chips have all bands.
    """
    if info.left_out:
        raise SceneError(f"chips have all bands of a scene, but {'; '.join(info.left_out)}")
    offsets = [info.offsets[band - 1] for band in bidx]
    known = info.known_values.offset if info.known_values is not None else 0.0
    ones, zeros = (1.0,) * len(bidx), (0.0,) * len(bidx)
    values = Nodata(
        info.nodata if nodata is None else (nodata,) * len(info.nodata), zero_is_data=min([*offsets, known]) >= 0
    )
    return ScenePlan(info.path, info.grid, bidx, ones, zeros, None, values, (), virtual=info.virtual, files=info.files)


def _nodata_note(info: SceneInfo, options: SceneOptions, bidx: tuple[int, ...]) -> str:
    alpha = [f"band {bidx} is alpha, according to the file" for bidx, c in enumerate(info.colours, 1) if c == "alpha"]
    mask = f"; {(alpha or ['it has a mask'])[0]}: pixels with 0 there are missing" if info.masked else ""
    if options.nodata is not None:
        return f"nodata is {options.nodata:g} (--nodata){mask}"
    own = [info.nodata[b - 1] for b in bidx]
    if len(set(map(str, own))) > 1:
        each = ", ".join("none" if value is None else f"{value:g}" for value in own)
        return f"nodata of these bands is {each}, from the file{mask}"
    if own[0] is not None:
        return f"nodata is {own[0]:g}, from the {'file' if info.product is None else 'product'}{mask}"
    return f"no nodata value is declared{mask or ': every pixel counts as valid'}"
