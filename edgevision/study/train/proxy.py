"""How good a TurboViT may become: its accuracy after a short training on small pictures. In: specs. Out: accuracies. Keeps nothing.

All are taught the same batches, by the same steps, from the same seed; what differs is the network. That orders networks, it does not say
how good they get. Trainings are independent: one after another here, or each on a machine of its own where Ray is given an address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from edgevision.errors import Unavailable
from edgevision.networks.turbovit import PATCH_PX, TurboViTSpec
from edgevision.study.search import Judge
from edgevision.study.train.classify import TeachSettings, accuracy, teach
from edgevision.study.train.surfaces import Surface, load_surface
from edgevision.study.train.turbovit import TrainedTurboViT


def short_training(data: Path, settings: TeachSettings, ray_address: str | None = None) -> Judge:
    """A judge for `study/search.py`. Raises InputError for a folder without surfaces, Unavailable where Ray is asked for and absent."""
    surface = load_surface(data)
    if ray_address is None:
        return lambda specs: (trained_accuracy(spec, surface, settings) for spec in specs)
    try:
        import ray
    except ImportError as error:
        raise Unavailable("ray is not installed: pip install 'edgevision[cluster]', or leave --ray out to train in this process") from error
    try:
        ray.init(address=ray_address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise Unavailable(f"Ray does not answer at {ray_address}: {error}; start it there, or leave --ray out") from error
    shared, remote = ray.put(surface), ray.remote(trained_accuracy)

    def judge(specs: Sequence[TurboViTSpec]) -> Iterator[float]:
        waiting = [remote.remote(spec, shared, settings) for spec in specs]
        return (float(ray.get(one)) for one in waiting)

    return judge


def trained_accuracy(spec: TurboViTSpec, surface: Surface, settings: TeachSettings) -> float:
    """Of one network, taught from nothing at `settings.px`, or the next size above that is whole units."""
    whole = PATCH_PX * spec.unit
    px = -(-settings.px // whole) * whole
    torch.manual_seed(settings.seed)
    network = TrainedTurboViT(replace(spec, labels=surface.labels, trained_px=px))
    teach(network, surface, settings.model_copy(update={"px": px, "judge_every": settings.steps + 1}), None)
    return accuracy(network, surface, px)
