"""What looks wrong in a scene's values, told before it is mapped. Pure: no file is opened here."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geokd.scenes.plan import ScenePlan
from geokd.scenes.scaling import to_uint8

_BASELINE_OFFSET_DN = 1000


def unusual(plan: ScenePlan, values: NDArray[np.generic], pixels: int) -> Iterator[str]:
    """Say what is unusual in the valid DN (C, n) of a scene thinned to `pixels` pixels."""
    if values.shape[1] == 0:
        yield "the scene has no valid pixel"
        return
    zero = float((values == 0).all(axis=0).sum()) / pixels
    declared = any(value is not None for value in plan.nodata.of(plan.bidx))
    if not declared and zero >= 0.01:
        yield (
            f"{100 * zero:.0f} % of the pixels are 0 in all bands though no nodata is declared;"
            " if they are fill, give --nodata 0"
        )
    if not declared:
        values = values[:, (values != 0).any(axis=0)]
    if plan.scaling is not None and plan.value_offset == 0 and values.size and values.min() >= _BASELINE_OFFSET_DN:
        yield (
            f"no pixel is below {_BASELINE_OFFSET_DN} DN: Sentinel-2 products of processing baseline 04.00 and later"
            f" carry +{_BASELINE_OFFSET_DN}; if this is one, give --value-offset -{_BASELINE_OFFSET_DN}"
        )
    made_by = "how they were stretched to 8 bits" if plan.scaling is None else "--value-scale and --value-offset"
    stretched = to_uint8(values, plan.value_scale, plan.value_offset, plan.scaling)
    if stretched.size and (stretched == stretched[:, :1]).all():
        yield "all valid pixels are alike: there is nothing to see in the scene"
    elif stretched.size and (stretched == 255).mean() > 0.5:
        yield f"more than half of the values are at the upper end of the stretch; check {made_by}"
    elif stretched.size and np.median(stretched) < 5:
        yield f"most values are at the lower end of the stretch, the scene is nearly black; check {made_by}"
