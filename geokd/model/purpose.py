"""What a student was trained for, from the provenance of its bundle."""

from collections.abc import Mapping
from typing import Any


def for_chips_alone(provenance: Mapping[str, Any]) -> bool:
    """Return whether a patch student was trained without mixed chips and without simulated changes of light.

    Patches of a scene have several classes and other light, so such a student is often wrong in scenes. A student that
    was derived from another by merging classes was trained as that one.
    """
    recipe, origin = provenance.get("recipe"), provenance.get("derived_from")
    if isinstance(recipe, dict) and isinstance(variation := recipe.get("augmentation"), dict):
        return variation.get("share") == variation.get("mix_share") == 0
    made_of = origin.get("provenance") if isinstance(origin, dict) else None
    return isinstance(made_of, dict) and for_chips_alone(made_of)
