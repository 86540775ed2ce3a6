"""Ground length of the borders of polygons."""

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS


def perimeters_m(polygons: NDArray[np.object_], crs: CRS | None) -> NDArray[np.float64]:
    """Return the length of all rings of each polygon in metres, (N,), including holes.

    In a geographic CRS an edge is the line that is straight in longitude and latitude, measured on the ellipsoid:
    sqrt((M dlat)^2 + (N cos(lat) dlon)^2) with the radii of curvature M and N at the middle of the edge (Snyder 1987,
    Map Projections, section 4); good to 1e-4 for edges of up to a degree, and exact along parallels. Otherwise it is
    the planar length of the CRS; where there is no CRS, in metres.
    """
    if crs is None or not crs.is_geographic:
        metres = float(crs.linear_units_factor[1]) if crs else 1.0
        return np.asarray(shapely.length(polygons) * metres, np.float64)
    rings, polygon_of_ring = shapely.get_rings(polygons, return_index=True)
    corners, ring_of_corner = shapely.get_coordinates(rings, return_index=True)
    edges = np.diff(ring_of_corner) == 0
    dx, dy = np.diff(corners, axis=0)[edges].T
    ellipsoid = pyproj.CRS.from_wkt(crs.to_wkt()).get_geod()
    assert ellipsoid is not None, "a geographic CRS without an ellipsoid"
    radians = float(crs.units_factor[1])
    latitude = (corners[:-1, 1] + corners[1:, 1])[edges] / 2 * radians
    bulge = 1 - ellipsoid.es * np.sin(latitude) ** 2
    along_meridian = ellipsoid.a * (1 - ellipsoid.es) / bulge**1.5
    along_parallel = ellipsoid.a / np.sqrt(bulge) * np.cos(latitude)
    lengths = np.hypot(along_parallel * dx, along_meridian * dy) * radians
    polygon_of_edge = polygon_of_ring[ring_of_corner[:-1][edges]]
    return np.bincount(polygon_of_edge, lengths, minlength=len(polygons)).astype(np.float64)
