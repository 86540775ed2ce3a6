"""A standard atmosphere over land: path radiance and transmittance by wavelength."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_NM = (490.0, 560.0, 665.0, 705.0, 740.0, 783.0, 842.0, 1610.0, 2190.0)
_PATH_RADIANCE = (750.0, 430.0, 230.0, 180.0, 130.0, 105.0, 85.0, 20.0, 10.0)  # reflectance x 10,000
_TRANSMITTANCE = (0.83, 0.87, 0.90, 0.90, 0.91, 0.92, 0.90, 0.95, 0.93)


def standard_atmosphere(wavelengths_nm: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return path radiance (reflectance x 10,000) and transmittance of bands, float32 (C,) each.

    Top-of-atmosphere reflectance is surface reflectance x transmittance + path radiance. The figures are typical of
    Sentinel-2 at middle latitudes; between its bands they are interpolated.
    """
    added = np.interp(wavelengths_nm, _NM, _PATH_RADIANCE).astype(np.float32)
    through = np.interp(wavelengths_nm, _NM, _TRANSMITTANCE).astype(np.float32)
    return added, through
