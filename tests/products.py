"""Products as their makers deliver them, complete but small, written with GDAL."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from tests.tiny import write_scene

WEST_M, NORTH_M = 399_960.0, 4_200_000.0
SIDE_PX = 96
CRS = "EPSG:32618"
QUARTERS = {"B05": 20, "B06": 20, "B07": 20, "B8A": 20, "B11": 20, "B12": 20, "B01": 60, "B09": 60}
NODATA_CORNER = (slice(0, 24), slice(0, 24))


def land(seed: int = 0, side: int = SIDE_PX) -> dict[str, NDArray[np.uint16]]:
    """Reflectance x 10,000 of every band, at its own size: fields, woods, a lake; some pixels are nearly black."""
    random = np.random.default_rng(seed)
    kinds = np.array([[1400, 1300, 1250, 2500], [420, 560, 830, 3000], [700, 900, 950, 200], [360, 560, 860, 4000]])
    fields = np.kron(random.integers(0, 4, (-(-side // 16), -(-side // 16))), np.ones((16, 16), int))[:side, :side]
    ten = (kinds[fields].transpose(2, 0, 1) * random.normal(1, 0.06, (4, side, side))).round().clip(1, 9000)
    ten[:, side // 2, :4] = 3
    bands = dict(zip(("B04", "B03", "B02", "B08"), ten.astype(np.uint16), strict=True))
    for name, size in QUARTERS.items():
        shape = (side * 10 // size, side * 10 // size)
        bands[name] = random.integers(500, 4000, shape).astype(np.uint16)
    return bands


def plain_scene(path: Path, bands: dict[str, NDArray[Any]], *names: str, **profile: Any) -> Path:
    """Write bands of 10 m as one GeoTIFF."""
    values = np.stack([bands[name] for name in names])
    return write_scene(path, values, names, **{"transform": transform_of(10), "crs": CRS} | profile)


def transform_of(size_m: float, east_px: int = 0) -> Affine:
    return Affine(size_m, 0, WEST_M + east_px * size_m, 0, -size_m, NORTH_M)


def write_band(path: Path, values: NDArray[Any], size_m: float, east_px: int = 0, **profile: Any) -> Path:
    """Write one band: lossless JPEG 2000 or GeoTIFF, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jp2":
        how: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"}
    else:
        how = {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64}
    height, width = values.shape
    profile = how | {"crs": CRS, "transform": transform_of(size_m, east_px)} | profile
    with rasterio.open(path, "w", count=1, height=height, width=width, dtype=values.dtype, **profile) as raster:
        raster.write(values, 1)
    return path


def size_of(band: str) -> int:
    return QUARTERS.get(band, 10)


def with_offset(reflectance: NDArray[np.uint16], baseline: str, *, corner: bool = False) -> NDArray[np.uint16]:
    """Turn reflectance x 10,000 into DN of a processing baseline; with `corner`, nothing was seen there."""
    dn = reflectance + (1000 if float(baseline) >= 4 else 0)
    if corner:
        share = len(reflectance) / SIDE_PX
        place = tuple(slice(0, int(part.stop * share)) for part in NODATA_CORNER)
        dn[place] = 0
    return dn.astype(np.uint16)


def write_safe(
    folder: Path,
    level: str,
    baseline: str,
    bands: dict[str, NDArray[np.uint16]],
    scl: NDArray[np.uint8] | None = None,
    *,
    corner: bool = False,
) -> Path:
    """Write a Sentinel-2 product in the compact format SAFE; returns its folder."""
    number = baseline.replace(".", "")
    name = f"S2B_MSIL{level}_20220726T154819_N{number}_R054_T18SVG_20220726T201530.SAFE"
    product, granule, stem = folder / name, f"L{level}_T18SVG_A028146_20220726T155012", "T18SVG_20220726T154819"
    images = product / "GRANULE" / granule / "IMG_DATA"
    listed = []
    for band, values in bands.items():
        size = size_of(band)
        file = f"{stem}_{band}.jp2" if level == "1C" else f"R{size}m/{stem}_{band}_{size}m.jp2"
        write_band(images / file, with_offset(values, baseline, corner=corner), size)
        listed.append(f"GRANULE/{granule}/IMG_DATA/{file.removesuffix('.jp2')}")
    if scl is not None:
        write_band(images / f"R20m/{stem}_SCL_20m.jp2", scl, 20)
        listed.append(f"GRANULE/{granule}/IMG_DATA/R20m/{stem}_SCL_20m")
    (product / f"MTD_MSIL{level}.xml").write_text(_safe_metadata(level, baseline, name, granule, listed))
    (product / "GRANULE" / granule / "MTD_TL.xml").write_text(_tile_metadata(level))
    (product / "HTML").mkdir()
    (product / "HTML" / "star_bg.jpg").write_bytes(b"nothing")
    (product / "manifest.safe").write_text("<xfdu/>")
    return product


def zipped(folder: Path) -> Path:
    """Pack a product as the data hub does: its folder inside the archive."""
    made = shutil.make_archive(str(folder.with_suffix("")), "zip", folder.parent, folder.name)
    shutil.rmtree(folder)
    return Path(made)


def _safe_metadata(level: str, baseline: str, name: str, granule: str, listed: list[str]) -> str:
    kind, radio = ("User", "BOA") if level == "2A" else ("User", "RADIO")
    files = "".join(f"<IMAGE_FILE>{file}</IMAGE_FILE>" for file in listed)
    offsets = "".join(f'<{radio}_ADD_OFFSET band_id="{n}">-1000</{radio}_ADD_OFFSET>' for n in range(13))
    group = "BOA_ADD_OFFSET_VALUES_LIST" if level == "2A" else "Radiometric_Offset_List"
    quantification = (
        '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
        '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        if level == "2A"
        else '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    )
    added = f"<{group}>{offsets}</{group}>" if float(baseline) >= 4 else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_{kind}_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>2022-07-26T15:48:19.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>2022-07-26T15:48:19.024Z</PRODUCT_STOP_TIME><PRODUCT_URI>{name}</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE><GENERATION_TIME>2022-07-26T20:15:30.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="x"><SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
<DATATAKE_SENSING_START>2022-07-26T15:48:19.024Z</DATATAKE_SENSING_START></Datatake>
<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>
<Product_Organisation><Granule_List><Granule datastripIdentifier="x" imageFormat="JPEG2000"
granuleIdentifier="S2B_OPER_MSI_L{level}_TL_2BPS_20220726T201530_A028146_T18SVG_N{baseline}">{files}</Granule>
</Granule_List></Product_Organisation></Product_Info><Product_Image_Characteristics><Special_Values>
<SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
{quantification}{added}</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_{kind}_Product>"""


def _tile_metadata(level: str) -> str:
    places = "".join(
        f'<Size resolution="{r}"><NROWS>{10 * SIDE_PX // r}</NROWS><NCOLS>{10 * SIDE_PX // r}</NCOLS></Size>'
        f'<Geoposition resolution="{r}"><ULX>{WEST_M:.0f}</ULX><ULY>{NORTH_M:.0f}</ULY><XDIM>{r}</XDIM>'
        f"<YDIM>-{r}</YDIM></Geoposition>"
        for r in (10, 20, 60)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID>x</TILE_ID></n1:General_Info><n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 18N</HORIZONTAL_CS_NAME><HORIZONTAL_CS_CODE>EPSG:32618</HORIZONTAL_CS_CODE>{places}
</Tile_Geocoding></n1:Geometric_Info></n1:Level-{level}_Tile_ID>"""


def write_old_safe(folder: Path, bands: dict[str, NDArray[np.uint16]], zones: tuple[str, str] = ("18", "18")) -> Path:
    """Write a product of the format before December 2016: two granules side by side, baseline 02.04, no offset."""
    product = folder / "S2A_OPER_PRD_MSIL1C_PDMC_20160112T235959_R054_V20160112T155902_20160112T155902.SAFE"
    listed = []
    for number, (zone, tile) in enumerate(zip(zones, ("SVG", "SVH"), strict=True)):
        granule = f"S2A_OPER_MSI_L1C_TL_SGS__20160112T155902_A002900_T{zone}{tile}_N02.04"
        for band, values in bands.items():
            half = values.shape[1] // 2
            name = f"S2A_OPER_MSI_L1C_TL_SGS__20160112T155902_A002900_T{zone}{tile}_{band}"
            part = values[:, number * half : (number + 1) * half]
            file = product / "GRANULE" / granule / "IMG_DATA" / f"{name}.jp2"
            write_band(file, part, size_of(band), number * half, crs=f"EPSG:326{zone}")
            listed.append(name)
    name = "S2A_OPER_MTD_SAFL1C_PDMC_20160112T235959_R054_V20160112T155902_20160112T155902.xml"
    (product / name).write_text(_safe_metadata("1C", "02.04", product.name, "x", listed))
    return product


OLI_BANDS = {"blue": 2, "green": 3, "red": 4, "nir": 5}
TM_BANDS = {"blue": 1, "green": 2, "red": 3, "nir": 4}
SUN_DEGREES = 55.5


def landsat_dn(level: int, seed: int = 0, side: int = 64) -> dict[str, NDArray[np.uint16]]:
    """DN of Landsat Collection 2 for made-up land; a corner was not seen."""
    bands = dict(zip(("red", "green", "blue", "nir"), land(seed, side).values(), strict=False))
    made = {}
    for name, reflectance in bands.items():
        share = reflectance / 1e4
        dn = (share + 0.2) / 2.75e-5 if level == 2 else (share * np.sin(np.radians(SUN_DEGREES)) + 0.1) / 2e-5
        made[name] = dn.round().astype(np.uint16)
        made[name][:20, :20] = 0
    return made


def write_landsat(
    folder: Path, level: int, bands: dict[str, NDArray[np.uint16]], size_m: float = 30, satellite: int = 8
) -> Path:
    """Write a Landsat product of Collection 2; returns its folder."""
    kind = "L2SP" if level == 2 else "L1TP"
    name = f"{'LC' if satellite > 7 else 'LT'}0{satellite}_{kind}_014034_20220726_20220802_02_T1"
    numbers = OLI_BANDS if satellite > 7 else TM_BANDS
    product = folder / name
    lines = ["GROUP = LANDSAT_METADATA_FILE", "  GROUP = PRODUCT_CONTENTS", f'    LANDSAT_PRODUCT_ID = "{name}"']
    lines += [f'    PROCESSING_LEVEL = "{kind}"', "    COLLECTION_NUMBER = 02"]
    for band, values in bands.items():
        file = f"{name}_{'SR_' if level == 2 else ''}B{numbers[band]}.TIF"
        write_band(product / file, values, size_m)
        lines.append(f'    FILE_NAME_BAND_{numbers[band]} = "{file}"')
    quality = np.full(next(iter(bands.values())).shape, 0b1000000, np.uint16)
    quality[30:40, 30:40] = 0b1000
    write_band(product / f"{name}_QA_PIXEL.TIF", quality, size_m)
    lines += [f'    FILE_NAME_QUALITY_L1_PIXEL = "{name}_QA_PIXEL.TIF"', "  END_GROUP = PRODUCT_CONTENTS"]
    lines += [
        "  GROUP = IMAGE_ATTRIBUTES",
        f'    SPACECRAFT_ID = "LANDSAT_{satellite}"',
        "    WRS_PATH = 14",
        "    WRS_ROW = 34",
    ]
    lines += ["    DATE_ACQUIRED = 2022-07-26", '    SCENE_CENTER_TIME = "15:45:12.3456780Z"']
    lines += [f"    SUN_ELEVATION = {SUN_DEGREES}", "  END_GROUP = IMAGE_ATTRIBUTES"]
    groups = {"LEVEL1_RADIOMETRIC_RESCALING": ("2.0000E-05", "-0.100000")}
    if level == 2:
        groups = {"LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": ("2.75e-05", "-0.2")} | groups
    for group, (scale, offset) in groups.items():
        lines.append(f"  GROUP = {group}")
        for number in range(1, 8):
            lines += [f"    REFLECTANCE_MULT_BAND_{number} = {scale}", f"    REFLECTANCE_ADD_BAND_{number} = {offset}"]
        lines.append(f"  END_GROUP = {group}")
    (product / f"{name}_MTL.txt").write_text("\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""]))
    return product


def tarred(folder: Path) -> Path:
    """Pack a product as it is delivered: its files at the top of the archive."""
    made = shutil.make_archive(str(folder), "tar", folder)
    shutil.rmtree(folder)
    return Path(made)


def write_item(folder: Path, assets: dict[str, dict[str, Any]], name: str = "item", **properties: Any) -> Path:
    """Write a STAC item."""
    properties = {"datetime": "2022-07-26T15:48:19Z", "platform": "sentinel-2b"} | properties
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": None,
        "properties": properties,
        "assets": assets,
        "links": [],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    return path
