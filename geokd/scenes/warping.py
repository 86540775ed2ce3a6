"""A raster warped to the grid of a scene: a virtual raster that GDAL warps while reading, block by block."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from affine import Affine
from rasterio.crs import CRS

from geokd.scenes.grid import SceneGrid

BLOCK_PX = 512
"""Side of the blocks that are warped at a time."""


@dataclass(frozen=True)
class WarpedBand:
    """A band of a warped raster.

    Parameters
    ----------
    bidx : int
        Number in the source, from 1.
    dtype : str
        numpy's name of its type.
    nodata : float or None
        Pixels of this value are not used.
    beyond : float
        Value outside the source.
    description : str
    colour : str
        GDAL's colour interpretation.
    """

    bidx: int
    dtype: str
    nodata: float | None = None
    beyond: float = 0.0
    description: str = ""
    colour: str = "Undefined"


def warped(
    source: str,
    place: SceneGrid,
    target: SceneGrid,
    bands: Sequence[WarpedBand],
    resampling: str = "NearestNeighbour",
    *,
    alpha: int = 0,
    to_alpha: int = 0,
) -> str:
    """Return a VRT of a raster on another grid.

    Parameters
    ----------
    source : str
        Name for GDAL: an absolute path, or the text of another VRT.
    place, target : SceneGrid
        The grids of source and result. Both have a CRS.
    bands : sequence of WarpedBand
    resampling : str
        By its name in GDAL's warper: "NearestNeighbour", "Bilinear".
    alpha, to_alpha : int
        Band of the source that marks valid pixels, and that of the result; 0: none.
    """
    assert place.crs is not None
    assert target.crs is not None
    parts = "".join(_band_xml(number, band) for number, band in enumerate(bands, 1))
    mapped = "".join(_mapping_xml(number, band) for number, band in enumerate(bands, 1) if number != to_alpha)
    reprojection = "" if place.crs == target.crs else _reprojection_xml(place.crs, target.crs)
    return (
        f'<VRTDataset rasterXSize="{target.width}" rasterYSize="{target.height}" subClass="VRTWarpedDataset">'
        f"<SRS>{escape(target.crs.to_wkt())}</SRS><GeoTransform>{_numbers(target.transform)}</GeoTransform>{parts}"
        f"<BlockXSize>{BLOCK_PX}</BlockXSize><BlockYSize>{BLOCK_PX}</BlockYSize><GDALWarpOptions>"
        f"<WarpMemoryLimit>6.7e+07</WarpMemoryLimit><ResampleAlg>{resampling}</ResampleAlg>"
        f'<WorkingDataType>{gdal_type(bands[0].dtype)}</WorkingDataType><Option name="INIT_DEST">'
        f"{','.join(f'{band.beyond!r}' for n, band in enumerate(bands, 1) if n != to_alpha)}</Option>"
        f'<SourceDataset relativeToVRT="0">{escape(source)}</SourceDataset><Transformer><GenImgProjTransformer>'
        f"<SrcGeoTransform>{_numbers(place.transform)}</SrcGeoTransform>"
        f"<SrcInvGeoTransform>{_numbers(~place.transform)}</SrcInvGeoTransform>{reprojection}"
        f"<DstGeoTransform>{_numbers(target.transform)}</DstGeoTransform>"
        f"<DstInvGeoTransform>{_numbers(~target.transform)}</DstInvGeoTransform></GenImgProjTransformer></Transformer>"
        f"<BandList>{mapped}</BandList>{f'<SrcAlphaBand>{alpha}</SrcAlphaBand>' if alpha else ''}"
        f"{f'<DstAlphaBand>{to_alpha}</DstAlphaBand>' if to_alpha else ''}</GDALWarpOptions></VRTDataset>"
    )


def gdal_type(dtype: str) -> str:
    """Return GDAL's name of a numpy type: uint8 is Byte, float32 is Float32."""
    names = {"uint8": "Byte", "complex64": "CFloat32", "complex128": "CFloat64"}
    return names.get(dtype, dtype.replace("uint", "UInt") if dtype[0] == "u" else dtype.capitalize())


def _band_xml(number: int, band: WarpedBand) -> str:
    nodata = "" if band.nodata is None else f"<NoDataValue>{band.nodata!r}</NoDataValue>"
    return (
        f'<VRTRasterBand dataType="{gdal_type(band.dtype)}" band="{number}" subClass="VRTWarpedRasterBand">'
        f"<Description>{escape(band.description)}</Description>{nodata}<ColorInterp>{band.colour}</ColorInterp>"
        "</VRTRasterBand>"
    )


def _mapping_xml(number: int, band: WarpedBand) -> str:
    nodata = ""
    if band.nodata is not None:
        nodata = (
            f"<SrcNoDataReal>{band.nodata!r}</SrcNoDataReal><SrcNoDataImag>0</SrcNoDataImag>"
            f"<DstNoDataReal>{band.nodata!r}</DstNoDataReal><DstNoDataImag>0</DstNoDataImag>"
        )
    return f'<BandMapping src="{band.bidx}" dst="{number}">{nodata}</BandMapping>'


def _reprojection_xml(source: CRS, target: CRS) -> str:
    return (
        f"<ReprojectTransformer><ReprojectionTransformer><SourceSRS>{escape(source.to_wkt())}</SourceSRS>"
        f"<TargetSRS>{escape(target.to_wkt())}</TargetSRS></ReprojectionTransformer></ReprojectTransformer>"
    )


def _numbers(transform: Affine) -> str:
    return ",".join(repr(float(number)) for number in transform.to_gdal())
