"""Fitting values into Settings: what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from edgevision.records import Settings
from edgevision.registry import Chosen, Kind, Registry
from edgevision.yaml_file import read_file
from edgevision.yaml_settings import Fitter


class LampSettings(Settings):
    """A sink's settings, without a `type` of its own."""

    port: int = Field(502, ge=1, le=65535, description="Port.")
    host: str = Field(description="Host.")


class Inner(Settings):
    """A section."""

    ratio: float = Field(0.5, gt=0, le=1, description="Ratio.")
    until: float = Field(1.0, alias="raise", description="Until.")
    policy: Annotated[Chosen, Kind("policy")] = Field(Chosen("plain"), description="Policy.")

    @model_validator(mode="after")
    def _is_ordered(self):
        if self.ratio > self.until:
            raise ValueError(f"ratio is {self.ratio}; it must not exceed raise ({self.until})")
        return self


class Outer(Settings):
    """The file."""

    count: int = Field(3, ge=0, le=9, description="Count.")
    limit: float | str | None = Field(None, description="Limit.")
    mode: Literal["dense", "sparse"] = Field("dense", description="Mode.")
    name: str = Field("x", pattern="[a-z]+", max_length=5, description="Name.")
    active: bool = Field(True, description="Active.")
    pair: tuple[int, int] = Field((1, 2), description="Pair.")
    file: Path | None = Field(None, description="File.")
    network: Literal["default"] | Path = Field("default", description="Network.")
    password_file: str | None = Field(None, description="Password.")
    inner: Inner = Field(Inner(), description="Section.")
    sinks: Annotated[tuple[Chosen, ...], Kind("sink")] = Field((), description="Sinks.")

    @field_validator("count")
    @classmethod
    def _is_not_seven(cls, value):
        if value == 7:
            raise ValueError("is 7; give another number")
        return value


def fit(tmp_path, text):
    registry = Registry()
    registry.register("policy", "plain", dict)
    registry.register("sink", "lamp", dict, LampSettings)
    path = tmp_path / "line.yaml"
    path.write_text(text or "{}")
    fitter = Fitter(registry, tmp_path, (Outer,))
    settings = fitter.fit(Outer, read_file(path, fitter.problems))
    return settings, [str(problem).removeprefix(f"{tmp_path}/") for problem in fitter.problems]


def test_nothing_given_is_all_defaults(tmp_path):
    assert fit(tmp_path, "") == (Outer(), [])


def test_values_arrive(tmp_path):
    settings, problems = fit(
        tmp_path,
        "count: 4\nlimit: 3 sigma\nmode: sparse\npair: [3, 4]\nfile: a/b\nnetwork: net.onnx\npassword_file: /p\n"
        "inner: {raise: 2, policy: plain}\nsinks: [{type: lamp, host: plc}]\n",
    )
    assert problems == []
    assert settings.file == tmp_path / "a/b"
    assert settings.network == tmp_path / "net.onnx"
    assert settings.password_file == "/p"
    assert settings.pair == (3, 4)
    assert settings.inner.until == 2
    assert settings.sinks == (Chosen("lamp", LampSettings(host="plc")),)


def test_a_section_with_all_its_keys_commented_out_is_the_default(tmp_path):
    assert fit(tmp_path, "inner:\n")[0].inner == Inner()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count: 12", "line.yaml:1:8: count is 12; it must be between 0 and 9; leave it out for 3"),
        ("count: 1.5", "line.yaml:1:8: count is 1.5; it must be a whole number; leave it out for 3"),
        ("count: '5'", "line.yaml:1:8: count is '5'; it must be a whole number without quotes; leave it out for 3"),
        ("count: true", "line.yaml:1:8: count is true; it must be a whole number; leave it out for 3"),
        ("count:", "line.yaml:1:7: count is empty; it must be a whole number; leave it out for 3"),
        ("count: 7", "line.yaml:1:8: count is 7; give another number"),
        ("conut: 1", "line.yaml:1:1: conut is not a known key; did you mean 'count'?; correct or remove it"),
        ("ratio: 1", "line.yaml:1:1: ratio is not a known key here; it belongs under inner; correct or remove it"),
        ("zebra: 1", "line.yaml:1:1: zebra is not a known key; it must be one of count, limit"),
        ("limit: [1]", "line.yaml:1:8: limit is a list of 1; it must be a number or text; correct it or leave it out"),
        ("mode: sparce", "line.yaml:1:7: mode is sparce; it must be dense or sparse; did you mean 'sparse'?; leave it out for dense"),
        ("name: no", "line.yaml:1:7: name is no, which means false in YAML; for text put it in quotes"),
        ("name: 12", "line.yaml:1:7: name is 12, which means a number in YAML; for text put it in quotes"),
        ("name: ABC", "line.yaml:1:7: name is ABC; it must be of the form [a-z]+; leave it out for x"),
        ("name: abcdef", "line.yaml:1:7: name is abcdef; it must be at most 5 long; leave it out for x"),
        ("active: 1", "line.yaml:1:9: active is 1; it must be true or false; leave it out for true"),
        ("pair: [1, x]", "line.yaml:1:11: pair.1 is x; it must be a whole number"),
        ("password_file: 123", "line.yaml:1:16: password_file is not shown here, which means a number"),
        ("file: ''", "line.yaml:1:7: file is empty; it must be a path"),
        ("inner: 5", "line.yaml:1:8: inner is 5; it must be a mapping of keys"),
        ("inner: {ratio: 0}", "line.yaml:1:16: inner.ratio is 0; it must be above 0 and at most 1; leave it out for 0.5"),
        ("inner:\n  raise: 0.1\n  ratio: 0.2", "line.yaml:3:10: inner.ratio is 0.2; it must not exceed raise (0.1)"),
        ("inner: {until: 3}", "line.yaml:1:9: inner.until is not a known key"),
        ("inner: {policy: plane}", "line.yaml:1:17: inner.policy is plane; it must be one of plain; did you mean 'plain'?"),
        ("inner: {policy: {}}", "line.yaml:1:17: inner.policy has no `type`; its `type` must be one of plain; add it"),
        ("inner: {policy: {type: plain, seed: 1}}", "line.yaml:1:31: inner.policy.seed is not a known key; it must be one of type"),
        ("sinks: {type: lamp}", "line.yaml:1:8: sinks is a mapping; it must be a list of mappings"),
        ("sinks: [{type: lamp}]", "line.yaml:1:9: sinks.0.host is missing; it has no default; add it (Host.)"),
        ("sinks: [{type: lamp, host: a, port: 0}]", "line.yaml:1:37: sinks.0.port is 0; it must be between 1 and 65535"),
        ("count: rtsp://user:secret@host/", "line.yaml:1:8: count is rtsp://***@host/;"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_at_its_place(tmp_path, text, problem):
    settings, problems = fit(tmp_path, text)
    assert settings is None
    assert len(problems) == 1, problems
    assert problems[0].startswith(problem)


def test_all_problems_are_told(tmp_path):
    assert len(fit(tmp_path, "count: 12\nname: no\ninner: {ratio: 3, x: 1}\n")[1]) == 4
