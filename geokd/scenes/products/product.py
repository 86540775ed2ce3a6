"""What a product is made of: its bands, each with its files, and what its metadata say. No file is opened here."""

from dataclasses import dataclass, field

from geokd.scenes.acquisition import Acquisition


@dataclass(frozen=True)
class BandFile:
    """A file that holds a band, or a part of it.

    Parameters
    ----------
    path : str
        As GDAL opens it; absolute.
    bidx : int
        Which band of the file, from 1 on.
    crs : str
        Its coordinate system, and
    transform : tuple of float
        the six numbers of its affine transform, a to f, where metadata give them; used if the file has none itself.
    """

    path: str
    bidx: int = 1
    crs: str = ""
    transform: tuple[float, ...] = ()


@dataclass(frozen=True)
class ProductBand:
    """A band of a product.

    Parameters
    ----------
    name : str
        Of a sensor's bands as its makers name them, or a common name: "B04", "red".
    files : tuple of BandFile
        More than one where granules or scenes lie side by side; later ones lie on top.
    scale : float or None
        Reflectance = DN * scale + offset. None: the metadata do not say.
    offset : float
    nodata : float or None
        None: what the files say.
    """

    name: str
    files: tuple[BandFile, ...]
    scale: float | None = None
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True)
class Product:
    """A product of several files, as its metadata or the names of its files describe it.

    Parameters
    ----------
    name : str
        What the names of outputs begin with.
    kind : str
        What it is, in words, with level and processing baseline: "Sentinel-2 L2A product, processing baseline 04.00".
    bands : tuple of ProductBand
    sensor : str or None
        See :mod:`geokd.scenes.sensors`.
    values_from : str
        What tells scale and offset, as it completes "by ..."; empty if nothing does.
    masks : dict of str to tuple of BandFile
        Masks that come with it, by the names that `--mask` takes: "scl", "qa_pixel", "udm2".
    acquisition : Acquisition or None
    metadata : tuple of str
        Files that all this was read from.
    tile : str
        Tile or path and row; empty if there is none.
    notes : tuple of str
        What the user should know of how it is read, one sentence each.
    """

    name: str
    kind: str
    bands: tuple[ProductBand, ...]
    sensor: str | None = None
    values_from: str = ""
    masks: dict[str, tuple[BandFile, ...]] = field(default_factory=dict)
    acquisition: Acquisition | None = None
    metadata: tuple[str, ...] = ()
    tile: str = ""
    notes: tuple[str, ...] = ()
