"""Which attention each layer of a network of tokens has. In: the network, settings, a size. Out: by layer the attention and its geometry.

Keeps nothing. What a method must have learned is looked for in the network's weights, below the layer's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.networks.attention import Attention, Tokens
from edgevision.networks.attention.csat import Csat
from edgevision.networks.attention.dense import LEAST_BLOCKS, Dense, Unit
from edgevision.networks.attention.hybrid import Hybrid
from edgevision.networks.attention.phi import Phi, spread_tokens
from edgevision.networks.attention.sparsifiner import Predictor, Sparsifiner
from edgevision.networks.turbovit import Layer, layers, sizes
from edgevision.networks.turbovit_weights import TurboViT, Weights
from edgevision.recompute.settings import TurboViTSettings


def attentions_for(network: TurboViT, settings: TurboViTSettings, size_px: tuple[int, int]) -> dict[str, tuple[Attention, Tokens]]:
    """For pictures of (height, width). Raises UnsupportedNetwork where what a method learned is of another shape."""
    steps = layers(network.spec)
    made = sizes(steps, *size_px)
    found: dict[str, tuple[Attention, Tokens]] = {}
    for layer in steps:
        if layer.op == "attention":
            tokens = _tokens(layer, made, network.spec.block)
            try:
                found[layer.name] = _MAKERS[layer.kind](settings, network.learned(layer.name), tokens), tokens
            except (InputError, TypeError) as error:
                raise UnsupportedNetwork(f"{network.path}: {layer.kind} attention in '{layer.name}': {error}") from error
    return found


def _tokens(layer: Layer, made: Mapping[str, tuple[int, int, int]], block: int) -> Tokens:
    """The geometry of an attention's maps; `block`: side of a block of keys, of all kinds but `unit`."""
    _, rows, columns = made[layer.name]
    _, key_rows, key_columns = made[layer.inputs[-1]]
    unit = layer.unit if layer.kind == "unit" else block
    return Tokens((rows, columns), (key_rows, key_columns), layer.heads, layer.channels // layer.heads, unit)


def _sparsifiner(settings: TurboViTSettings, learned: Weights, tokens: Tokens) -> Attention:
    """With the predictor that was learned, `query`, `key`, `down`, `up`, or with one that was not."""
    predictor = Predictor(*(learned[name] for name in ("query", "key", "down", "up"))) if "down" in learned else None
    return Sparsifiner(settings.sparsifiner, predictor)


def words_of(attention: Attention, tokens: Tokens) -> str:
    """What the plan says of it: how much is kept, what was not learned, whether it runs dense instead."""
    if isinstance(attention, Sparsifiner | Hybrid) and tokens.blocks[0] * tokens.blocks[1] < LEAST_BLOCKS:
        return attention.open(tokens, "plain").note
    if isinstance(attention, Sparsifiner):
        each = ", each query its own" if attention.settings.exact else ""
        return f"keeps {attention.settings.keep:g}{each}" + (", predictor not trained" if attention.predictor is None else "")
    if isinstance(attention, Hybrid):
        return f"keeps {attention.settings.keep:g}, correction {attention.settings.correction}"
    if isinstance(attention, Csat):
        return f"{attention.measurements} measurements" + (", block means" if attention.phi is None else "")
    return f"within {tokens.unit}x{tokens.unit}" if isinstance(attention, Unit) else "all keys: a change makes every token live"


def _csat(settings: TurboViTSettings, learned: Weights, tokens: Tokens) -> Attention:
    """Measures with the Phi that was learned, `phi` (measurement, row, column of keys), or with the one that the settings name."""
    phi, held = learned.get("phi"), None
    if phi is not None:
        held = Phi(phi.reshape(len(phi), -1), (phi.shape[1], phi.shape[2]))
    elif settings.phi == "tokens" and 0 < settings.measurements <= tokens.keys:
        held = Phi(spread_tokens(settings.measurements, tokens.key), tokens.key)
    return Csat(settings.measurements, held, settings.recovery, settings.sparsity)


Maker = Callable[[TurboViTSettings, Weights, Tokens], Attention]
_MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "unit": lambda settings, learned, tokens: Unit(),
        "dense": lambda settings, learned, tokens: Dense(),
        "sparsifiner": _sparsifiner,
        "csat": _csat,
        "hybrid": lambda settings, learned, tokens: Hybrid(settings.hybrid),
    }
)
