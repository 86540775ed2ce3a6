"""Several files as one raster: the text of a virtual raster (VRT) that any process can open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError

from geokd.errors import CallError, SceneError, named, one_message
from geokd.scenes.opening import GdalErrors, gdal_reason, open_scene
from geokd.scenes.products.product import BandFile, Product, ProductBand
from geokd.scenes.warping import gdal_type

_WHOLE_PX = 1e-3  # tolerance of pixels from one grid, in pixels
_BLOCK_PX = (64, 2048)  # sides of a file's blocks that the virtual raster adopts


@dataclass(frozen=True)
class _Source:
    """A file: its grid, and how its pixels are stored."""

    file: BandFile
    transform: Affine
    height: int
    width: int
    crs: CRS | None
    dtype: str
    nodata: float | None
    block_px: tuple[int, int]
    colour: str
    scale: float
    offset: float

    @property
    def right_bottom(self) -> tuple[float, float]:
        """Coordinates of its last corner."""
        x, y = self.transform @ (self.width, self.height)
        return float(x), float(y)


@dataclass(frozen=True)
class _Place:
    """The grid of all files together: the finest pixel size, over the extent of all."""

    transform: Affine
    height: int
    width: int
    crs: CRS | None


def stack_product(product: Product) -> tuple[Product, str]:
    """Stack the bands of a product, without those whose files cannot be opened, as :func:`stack`.

    Returns
    -------
    product : Product
        With the bands of the stack; `unreadable` has the others.
    virtual : str
        A VRT with absolute file names.

    Raises
    ------
    SceneError
        If no band can be opened, or the files are not on one grid.
    """
    if not product.bands:
        raise SceneError(f"{product.name} has no band that can be used; panchromatic and thermal bands cannot")
    sources: dict[str, list[_Source]] = {}
    problems: dict[str, SceneError] = {}
    for band in product.bands:
        try:
            sources[band.name] = [_look_at(file) for file in band.files]
        except SceneError as error:
            problems[band.name] = error
    if not sources:
        raise next(iter(problems.values()))
    bands = tuple(band for band in product.bands if band.name in sources)
    unreadable = {name: str(problem) for name, problem in problems.items()}
    return replace(product, bands=bands, unreadable=unreadable), _stacked(bands, list(sources.values()), product.name)


def stack(bands: Sequence[ProductBand], name: str) -> str:
    """Stack bands, on the grid of the finest; coarser ones are read bilinearly.

    Parameters
    ----------
    bands : sequence of ProductBand
    name : str
        Name of the product, for messages.

    Returns
    -------
    str
        A VRT with absolute file names.

    Raises
    ------
    SceneError
        If a file cannot be opened, or the files are not on one grid.
    """
    return _stacked(bands, [[_look_at(file) for file in band.files] for band in bands], name)


def _stacked(bands: Sequence[ProductBand], looked_at: Sequence[Sequence[_Source]], name: str) -> str:
    zones = sorted({str(source.crs) for sources in looked_at if len(sources) > 1 for source in sources})
    if len(zones) > 1:
        raise SceneError(
            f"the parts of {name} are in {len(zones)} coordinate systems ({named(zones, 3)}); map each of them, then"
            " join the maps with geokd mosaic"
        )
    place = _one_grid([source for sources in looked_at for source in sources], name)
    parts = [
        _band_xml(number, band, sources, place)
        for number, (band, sources) in enumerate(zip(bands, looked_at, strict=True), 1)
    ]
    return _dataset_xml(place, parts)


def _look_at(file: BandFile) -> _Source:
    try:
        with open_scene(file.path) as dataset:
            if file.bidx > dataset.count:
                raise SceneError(f"{file.path} has no band {file.bidx}, only {dataset.count}")
            number = file.bidx - 1
            placed = bool(file.crs) and dataset.crs is None
            return _Source(
                file,
                Affine(*file.transform) if placed else dataset.transform,
                dataset.height,
                dataset.width,
                CRS.from_user_input(file.crs) if placed else dataset.crs,
                dataset.dtypes[number],
                dataset.nodatavals[number],
                dataset.block_shapes[number],
                ColorInterp(dataset.colorinterp[number]).name,
                dataset.scales[number],
                dataset.offsets[number],
            )
    except CallError as error:
        raise SceneError(f"{error}; the product is not complete: download it again") from error
    except (*GdalErrors, CRSError) as error:
        raise SceneError(f"the header of {file.path} cannot be read: {gdal_reason(error)}") from error


def _one_grid(sources: Sequence[_Source], name: str) -> _Place:
    """Return the grid of all, or raise an error about the files that are not on it.

    Raises
    ------
    SceneError
    """
    first = min(sources, key=lambda source: abs(source.transform.a))
    unplaced = [source.file.path for source in sources if source.crs is None]
    if 0 < len(unplaced) < len(sources):
        crs = next(source.crs for source in sources if source.crs is not None)
        raise SceneError(
            f"{named(unplaced, 3)}: no coordinate reference system, unlike the other files of {name}; if it is the"
            f" same, assign it with gdal_edit.py -a_srs {crs}"
        )
    problems = [problem for source in sources if (problem := _off_grid(source, first))]
    if problems:
        raise SceneError(
            f"the files of {name} are not on one grid: {one_message(problems, 5)}; align them with gdalwarp"
            " -t_srs, -te and -tr"
        )
    left, top = min(s.transform.c for s in sources), max(s.transform.f for s in sources)
    right, bottom = max(s.right_bottom[0] for s in sources), min(s.right_bottom[1] for s in sources)
    size_x, size_y = first.transform.a, first.transform.e
    transform = Affine(size_x, 0, left, 0, size_y, top)
    return _Place(transform, round((bottom - top) / size_y), round((right - left) / size_x), first.crs)


def _off_grid(source: _Source, first: _Source) -> str:
    """Describe why a file is not on the grid of another with finer pixels; empty if it is."""
    own, of = source.transform, first.transform
    if source.crs != first.crs:
        return f"{source.file.path} is in {source.crs}, {first.file.path} in {first.crs}"
    if own.b or own.d or own.a <= 0 or own.e >= 0:
        return f"{source.file.path} is not north up"
    lengths = (
        (own.c - of.c) / of.a,
        (own.f - of.f) / of.e,
        source.width * own.a / of.a,
        source.height * own.e / of.e,
    )
    if all(abs(length - round(length)) <= _WHOLE_PX for length in lengths):
        return ""
    return f"{source.file.path} has pixels of {own.a:g} that are not on the grid of {first.file.path}"


def _dataset_xml(place: _Place, parts: Sequence[str]) -> str:
    crs = "" if place.crs is None else f"<SRS>{escape(place.crs.to_wkt())}</SRS>"
    numbers = ",".join(repr(float(number)) for number in place.transform.to_gdal())
    return (
        f'<VRTDataset rasterXSize="{place.width}" rasterYSize="{place.height}">{crs}'
        f"<GeoTransform>{numbers}</GeoTransform>{''.join(parts)}</VRTDataset>"
    )


def _band_xml(number: int, band: ProductBand, sources: Sequence[_Source], place: _Place) -> str:
    nodata = next((value for value in (band.nodata, sources[0].nodata, band.fill) if value is not None), None)
    least, most = _BLOCK_PX
    fits = all(least <= side <= most for side in sources[0].block_px)
    block = 'blockXSize="{1}" blockYSize="{0}" '.format(*sources[0].block_px) if fits else ""
    colour = "" if sources[0].colour != "alpha" else "<ColorInterp>Alpha</ColorInterp>"
    return (
        f'<VRTRasterBand dataType="{gdal_type(sources[0].dtype)}" {block}band="{number}">'
        f"<Description>{escape(band.name)}</Description>{colour}"
        f"{'' if nodata is None else f'<NoDataValue>{nodata!r}</NoDataValue>'}"
        f"<Offset>{sources[0].offset!r}</Offset><Scale>{sources[0].scale!r}</Scale>"
        f"{''.join(_source_xml(source, place, nodata, alone=len(sources) == 1) for source in sources)}"
        "</VRTRasterBand>"
    )


def _source_xml(source: _Source, place: _Place, nodata: float | None, *, alone: bool) -> str:
    """Write the place of a file; its missing pixels, of value `nodata`, are transparent and not mixed into others."""
    own, of = source.transform, place.transform
    coarser = round(own.a / of.a * source.width) != source.width
    path = source.file.path
    bidx = source.file.bidx
    if coarser and nodata is not None:
        path, bidx = _declaring(source, nodata), 1
    if alone:
        nodata = None
    kind, how = "SimpleSource" if nodata is None else "ComplexSource", ' resampling="bilinear"' if coarser else ""
    place_px = (
        round((own.c - of.c) / of.a),
        round((own.f - of.f) / of.e),
        round(source.width * own.a / of.a),
        round(source.height * own.e / of.e),
    )
    return (
        f"<{kind}{how}>"
        f'<SourceFilename relativeToVRT="0">{escape(path)}</SourceFilename>'
        f"<SourceBand>{bidx}</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="{source.width}" ySize="{source.height}"/>'
        '<DstRect xOff="{}" yOff="{}" xSize="{}" ySize="{}"/>'.format(*place_px)
        + ("" if nodata is None else f"<NODATA>{nodata!r}</NODATA>")
        + f"</{kind}>"
    )


def _declaring(source: _Source, nodata: float) -> str:
    """Describe a file as a raster that declares its nodata value, which GDAL then leaves out when it resamples."""
    whole = f'xOff="0" yOff="0" xSize="{source.width}" ySize="{source.height}"'
    return (
        f'<VRTDataset rasterXSize="{source.width}" rasterYSize="{source.height}">'
        f'<VRTRasterBand dataType="{gdal_type(source.dtype)}" band="1"><NoDataValue>{nodata!r}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(source.file.path)}</SourceFilename>'
        f"<SourceBand>{source.file.bidx}</SourceBand><SrcRect {whole}/><DstRect {whole}/></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
