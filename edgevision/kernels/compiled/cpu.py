"""What the vectors of this CPU can do, or of the one that NUMBA_CPU_NAME and NUMBA_CPU_FEATURES make Numba compile for."""

from __future__ import annotations

from dataclasses import dataclass

import numba
from llvmlite import binding

_BF16 = ("cooperlake", "sapphirerapids", "emeraldrapids", "graniterapids", "znver4", "znver5", "znver6")
_VNNI = (*_BF16, "cascadelake", "icelake", "tigerlake", "rocketlake")
_AVX512 = (*_VNNI, "skylake-avx512", "skx", "cannonlake", "x86-64-v4")
_CLIENT_VNNI = ("alderlake", "raptorlake", "meteorlake", "arrowlake", "lunarlake", "gracemont", "sierraforest")
_NARROW = ("generic", "x86-64", "x86-64-v2", "core2", "nehalem", "westmere", "sandybridge", "ivybridge", "silvermont", "goldmont")


@dataclass(frozen=True)
class Cpu:
    """`lanes` floats in a vector; `has_vnni`: sums of four products of bytes, `has_bf16`: of two bf16 values, in one instruction."""

    lanes: int
    has_vnni: bool = False
    has_bf16: bool = False


def detect() -> Cpu:
    """The CPU that kernels are compiled for."""
    if numba.config.CPU_NAME:
        return named(numba.config.CPU_NAME, numba.config.CPU_FEATURES or "")
    features = binding.get_host_cpu_features()
    if features.get("avx512f") and features.get("avx512bw") and features.get("avx512vl"):
        return Cpu(16, bool(features.get("avx512vnni")), bool(features.get("avx512bf16")))
    return Cpu(8 if features.get("avx2") and features.get("fma") else 4, bool(features.get("avxvnni")))


def named(name: str, features: str) -> Cpu:
    """A CPU by LLVM's name for it, with features added (+) or taken away (-), for instance "+avx2,-fma"."""
    asked = {word[1:]: word[0] == "+" for word in features.replace(" ", "").split(",") if word}
    is_wide = asked.get("avx512f", name.startswith(_AVX512))
    if is_wide and asked.get("avx512bw", True) and asked.get("avx512vl", True):
        return Cpu(16, asked.get("avx512vnni", name.startswith(_VNNI)), asked.get("avx512bf16", name.startswith(_BF16)))
    has_avx2 = asked.get("avx2", name not in _NARROW) and asked.get("fma", name not in _NARROW)
    return Cpu(8 if has_avx2 else 4, has_avx2 and asked.get("avxvnni", name.startswith(_CLIENT_VNNI)))
