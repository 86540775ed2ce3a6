"""A running mean of a network's weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


class RunningMean(Generic[N]):
    """Exponential running mean of a network's weights and batch-norm statistics; the network itself if `decay` is 0."""

    def __init__(self, network: N, decay: float) -> None:
        self._decay = decay
        self.network: N = copy.deepcopy(network) if decay > 0 else network
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._counts = [pair for pair in pairs if not pair[0].dtype.is_floating_point]
        self._means, self._values = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point), strict=True)

    def share_of_first(self, steps: int) -> float:
        """Share of the initial weights in the mean after `steps` updates."""
        return self._decay**steps if steps else 0.0

    @torch.no_grad()
    def update(self, step: int | None = None) -> None:
        """Update the mean with the network's current state.

        With the number of the `step`, from 0, the decay grows from 0.1 to its full value, as (1 + step) / (10 + step),
        so that the mean of few steps does not contain the initial weights.
        """
        if self._decay == 0:
            return
        decay = self._decay if step is None else min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._means, self._values, 1 - decay)
        for mean, value in self._counts:
            mean.copy_(value)
