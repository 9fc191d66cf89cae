"""`network: turbovit`, made ready for frames of one size. In: settings, a frame's size. Out: a SelectiveNetwork. Keeps nothing.

A classifier takes frames stretched to the size that it was trained on; a segmentation network the frame's own size, filled up to whole
units, the frame in its corner. Foreign mode is not offered: OpenVINO would run the dense network, which answers differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edgevision.errors import ConfigError, InputError, UnsupportedNetwork
from edgevision.networks.attention.csat import Csat
from edgevision.networks.turbovit import TurboViTSpec, refuse_unfit
from edgevision.networks.turbovit_weights import TurboViT, read_turbovit
from edgevision.recompute.arguments import Means, check_gates
from edgevision.recompute.attention_choice import attentions_for
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.settings import RecomputeSettings, TurboViTSettings
from edgevision.recompute.token_plan import token_graph, token_plan

Gates = float | Mapping[str, float]


def load_tokens(settings: RecomputeSettings, gates: Gates, frame_px: tuple[int, int], means: Means) -> SelectiveNetwork:
    """The network with its preprocess set for frames of (height, width). Raises UnsupportedNetwork, ConfigError or InputError."""
    network = read_turbovit(settings.turbovit.weights or Path())
    size_px, fit = _size_for(network.spec, settings.turbovit, frame_px)
    if means.get("may_move", False):
        raise UnsupportedNetwork(
            f"{network.path}: compare.motion is shift, but turbovit's tokens know their places in the picture; leave motion out"
        )
    if settings.turbovit.output == "tokens":
        network = replace(network, spec=replace(network.spec, head="tokens"))
    made = open_tokens(network, settings.turbovit, size_px, gates, settings.threads, means)
    preprocess = Preprocess.from_metadata(made.metadata, network.path)
    if size_px != frame_px:
        preprocess = preprocess.model_copy(update={"frame_px": frame_px, "resize": fit})
    made.set_preprocess(preprocess)
    return made


def check_tokens(settings: RecomputeSettings) -> None:
    """What `load_tokens` would refuse, as far as it can be told without a frame, in no time. Raises as it does."""
    network = with_attention(read_turbovit(settings.turbovit.weights or Path()), settings.turbovit)
    if settings.turbovit.size_px is None and network.spec.head != "class":
        return  # its input is the frame's own size
    size_px, _ = _size_for(network.spec, settings.turbovit, (network.spec.trained_px, network.spec.trained_px))
    for name, (attention, tokens) in attentions_for(network, settings.turbovit, size_px).items():
        try:
            if isinstance(attention, Csat):
                attention.check(tokens.key)
        except InputError as error:
            raise ConfigError(f"recompute.turbovit: {network.path}: '{name}': {error}") from error


def open_tokens(
    network: TurboViT, settings: TurboViTSettings, size_px: tuple[int, int], gates: Gates, threads: int = 1, means: Means | None = None
) -> SelectiveNetwork:
    """The network for tensors of (height, width), attending as the settings say. Raises InputError or UnsupportedNetwork."""
    check_gates(gates)
    refuse_unfit(network.spec, *size_px)
    chosen = with_attention(network, settings)
    attentions = attentions_for(chosen, settings, size_px)
    plan = token_plan(chosen, size_px, attentions, dict(gates) if isinstance(gates, Mapping) else {"*": gates})
    return SelectiveNetwork.of_plan(token_graph(chosen, size_px), plan, threads, means or {})


def with_keep(settings: TurboViTSettings, keep: float) -> TurboViTSettings:
    """The settings with this share of the keys kept, by whichever attention keeps a share."""
    sparsifiner, hybrid = (one.model_copy(update={"keep": keep}) for one in (settings.sparsifiner, settings.hybrid))
    return settings.model_copy(update={"sparsifiner": sparsifiner, "hybrid": hybrid})


def with_attention(network: TurboViT, settings: TurboViTSettings) -> TurboViT:
    """The network attending as the settings say, stage by stage. Raises ConfigError for another number of stages."""
    if not settings.attention:
        return network
    stages = len(network.spec.depths)
    if len(settings.attention) != stages:
        raise ConfigError(
            f"recompute.turbovit.attention has {len(settings.attention)} entries; {network.path} has {stages} stages; give one for each"
        )
    return replace(network, spec=replace(network.spec, kinds=settings.attention))


def _size_for(spec: TurboViTSpec, settings: TurboViTSettings, frame_px: tuple[int, int]) -> tuple[tuple[int, int], str]:
    """The input's (height, width), and how frames are made to fit. Raises ConfigError for a size that is not whole units."""
    if settings.size_px is not None:
        try:
            refuse_unfit(spec, *settings.size_px, "recompute.turbovit.size_px")
        except InputError as error:
            raise ConfigError(str(error)) from error
        return settings.size_px, "stretch"
    if spec.head == "class":
        return (spec.trained_px, spec.trained_px), "stretch"
    step = spec.step_px
    return (-(-frame_px[0] // step) * step, -(-frame_px[1] // step) * step), "corner"
