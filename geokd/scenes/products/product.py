"""Content of a product: its bands, each with its files, and its metadata. No file is opened here."""

from dataclasses import dataclass, field

from geokd.scenes.acquisition import Acquisition


@dataclass(frozen=True)
class BandFile:
    """A file with a band, or a part of it.

    Parameters
    ----------
    path : str
        Name for GDAL; absolute.
    bidx : int
        Number of the band in the file, from 1.
    crs : str
        Its coordinate system, and
    transform : tuple of float
        the six numbers of its affine transform, a to f, if the metadata give them; used if the file has none.
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
        The sensor's own name, or a common name: "B04", "red".
    files : tuple of BandFile
        More than one if granules or scenes lie side by side; later ones are on top.
    scale : float or None
        Reflectance = DN * scale + offset. None: not in the metadata.
    offset : float
    nodata : float or None
        None: from the files.
    fill : float or None
        The nodata value if the files have none, either.
    """

    name: str
    files: tuple[BandFile, ...]
    scale: float | None = None
    offset: float = 0.0
    nodata: float | None = None
    fill: float | None = None


@dataclass(frozen=True)
class Product:
    """A product of several files, as its metadata or the names of its files describe it.

    Parameters
    ----------
    name : str
        Beginning of the names of outputs.
    kind : str
        Description with level and processing baseline: "Sentinel-2 L2A product, processing baseline 04.00".
    bands : tuple of ProductBand
    sensor : str or None
        See :mod:`geokd.scenes.sensors`.
    values_from : str
        Source of scale and offset, as it completes "from ..."; empty if there is none.
    masks : dict of str to tuple of BandFile
        Its masks, by the names of `--mask`: "scl", "qa_pixel", "udm2".
    acquisition : Acquisition or None
    metadata : tuple of str
        Metadata files that were read.
    tile : str
        Tile or path and row; empty if there is none.
    notes : tuple of str
        Choices in reading it that matter to the user, one sentence each.
    unreadable : dict of str to str
        Bands whose files cannot be opened, left out of `bands`, and why.
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
    unreadable: dict[str, str] = field(default_factory=dict)
