"""The settings of the change map: what a user may say about when a pixel counts as changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgevision.compare import measure
from edgevision.compare.adjust import AdjustSettings
from edgevision.compare.encoder import EncoderSettings
from edgevision.compare.own_light import Kind
from edgevision.records import Polygon, Settings

Levels = Annotated[float, Field(ge=0, le=255)]
Spreads = Annotated[float, Field(ge=0, le=100)]


class ChangeSettings(Settings):
    """When a pixel counts as changed. Levels are gray levels of an 8-bit picture, whatever the camera's depth."""

    pixel_threshold: float | str = Field(
        "auto",
        description="How far a pixel must move to be live: auto, '<k> sigma' of the measured noise, or a number of gray levels; 0: at all.",
    )
    noise_sigma: float | None = Field(None, ge=0, le=50, description="The camera's noise in gray levels; empty: measured from the stream.")
    adjust: AdjustSettings = Field(AdjustSettings(), description="Slow self-adjustment of the thresholds that stand on the noise.")
    hysteresis: float = Field(
        0.8, ge=0.2, le=1, description="Share of pixel_threshold that suffices beside pixels already live; 1 turns it off."
    )
    faint_sigmas: float = Field(
        5.0, ge=0, le=50, description="How far the mean of 4x4 pixels must move to be live, in sigmas of its measured noise; 0: never."
    )
    despeckle: int = Field(3, ge=1, le=9, description="Changed pixels that a 3x3 neighbourhood must hold before a change is believed.")
    min_area: int = Field(8, ge=1, le=100_000, description="Smallest connected change in pixels; smaller ones are noise.")
    grow_px: int = Field(1, ge=0, le=16, description="Pixels by which every change is widened, so that its soft rim is recomputed too.")
    hold_frames: int = Field(0, ge=0, le=250, description="Frames for which a pixel stays live after its last change.")
    settle_frames: int = Field(
        3, ge=0, le=250, description="Frames of rest after which a place that something moved through is taken anew, whole; 0: never."
    )
    confirm_frames: int = Field(1, ge=1, le=250, description="Frames in a row a pixel must differ before it is live; 1 is at once.")
    vibration_px: float = Field(0.5, ge=0, le=8, description="Camera shake to forgive at edges, in pixels; over a belt at least 1.")
    steady_px: float = Field(
        3.0, ge=0, le=4, description="Camera shake up to which a frame is moved back before it is compared, in pixels; 0: never."
    )
    places_px: int = Field(
        0,
        ge=0,
        le=7,
        description="How far each place of a frame may lie off the golden picture by its own way, in whole pixels; it is moved back "
        "there, in place of steady_px; 0: no place is moved by itself.",
    )
    motion: Literal["none", "shift"] = Field(
        "none", description="shift: the camera looks at a belt, and what was computed moves along with it, in the network's steps."
    )
    motion_axis: Literal["x", "y"] = Field("x", description="Along which axis of the picture the belt runs, either way.")
    motion_max_px: int = Field(64, ge=1, le=4096, description="How far the belt moves from one frame to the next at most.")
    encoder: EncoderSettings = Field(
        EncoderSettings(), description="Where the belt's way comes from: an encoder's counts over MQTT, or the picture."
    )
    photometric: Literal["gain_offset", "none"] = Field(
        "gain_offset", description="Whether a lamp that dims is corrected before comparing."
    )
    photometric_relax: float = Field(
        0.01, ge=0, le=1, description="Share of the correction given back on each use, so that it can never run away over days."
    )
    own_light: Kind | None = Field(
        None,
        description="Whether a frame's own light is taken out first, to the golden picture's or an even one: none; gray, all colours "
        "alike; colour, each; empty: as the network's file says.",
    )
    global_fraction: float = Field(
        0.6, gt=0, le=1, description="Share of changed pixels from which the whole frame is run once, with a WARN."
    )
    ignore: tuple[Polygon, ...] = Field((), description="Polygons [[x, y], ...] in frame pixels never looked at, such as a burnt-in clock.")
    roi: Polygon | None = Field(None, description="Polygon outside of which nothing is looked at; empty: the whole frame.")
    reference: Literal["running", "golden"] = Field(
        "running", description="What foreground is judged against: running (mean and noise of the stream) or golden (a taught picture)."
    )
    golden: Path | None = Field(
        None, description="The taught picture: an .npz from `edgevision reference learn`, or a PNG or JPEG; for reference golden."
    )
    align_px: float = Field(
        8.0, ge=0, le=200, description="How far a frame may lie from the golden picture; further is not inspected; 0: it is not aligned."
    )
    align_degrees: float = Field(2.0, ge=0, le=15, description="How far a frame may be turned against the golden picture.")
    golden_fraction: float = Field(
        0.12,
        gt=0,
        le=1,
        description="For recompute.template: a frame of which more than this share has changed does not show the golden picture's part, "
        "and is not inspected.",
    )
    golden_likeness: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Of the places where a frame has edges, the share that must be as in the golden picture, or another product is shown "
        "and it is not inspected; for parts that lie within a few pixels; 0: not looked at.",
    )
    reference_frames: int = Field(
        512, ge=64, le=1_000_000, description="Frames after which the running reference has learnt a change that stays."
    )
    abs_threshold: tuple[Levels, Levels] = Field(
        (15, 15), description="Gray levels [brighter, darker] a foreground pixel must at least differ."
    )
    var_threshold: tuple[Spreads, Spreads] = Field(
        (4, 4), description="Foreground limits [brighter, darker] in multiples of the pixel's own spread."
    )
    bits: int | None = Field(None, ge=8, le=16, description="Bits a uint16 camera really delivers; empty: 8 for uint8, 16 for uint16.")
    colour_limit: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How far one colour's gain may rise above another's before a frame is not inspected, as a share; 0: as far as it will.",
    )
    blind_fraction: float = Field(0.995, gt=0, le=1, description="Share of black or saturated samples from which a frame is not inspected.")

    @field_validator("pixel_threshold")
    @classmethod
    def _threshold_is_known(cls, value: float | str) -> float | str:
        if value == "auto":
            return value
        try:
            number = measure.sigmas_of(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ValueError(f"is {value!r}; give auto, '<k> sigma' or a number of gray levels") from error
        if not 0 <= number <= 255 or (number == 0 and isinstance(value, str)):
            raise ValueError(f"is {value}; it must be above 0 and at most 255, or the number 0: any difference at all")
        return value

    @field_validator("ignore", "roi")
    @classmethod
    def _polygon_has_corners(cls, value: Any) -> Any:
        for polygon in value if value and not isinstance(value[0][0], int) else [value] if value else []:
            if len(polygon) < 3:
                raise ValueError(f"has a polygon of {len(polygon)} corners; give at least 3 points [x, y]")
            if crossing := crossing_sides(polygon):
                a, b = crossing
                raise ValueError(f"has a polygon whose sides {a} and {b} cross; give its corners in order, around the place that is meant")
        return value

    @model_validator(mode="after")
    def _golden_stands_still(self) -> Self:
        if self.motion == "shift" and self.reference == "golden":
            raise ValueError("motion is shift and reference is golden, a picture that does not move; use reference running, or motion none")
        return self

    @model_validator(mode="after")
    def _places_stand_still(self) -> Self:
        if self.places_px and self.reference != "golden":
            raise ValueError(
                f"places_px is {self.places_px} and reference is {self.reference}, in which nothing says where a place should lie; set "
                "reference: golden, or places_px: 0"
            )
        return self

    @model_validator(mode="after")
    def _noise_can_be_followed(self) -> Self:
        if self.adjust.enabled and self.noise_sigma is not None:
            raise ValueError("adjust.enabled is true and noise_sigma is told, so that nothing is measured; leave noise_sigma out")
        if self.adjust.enabled and not isinstance(self.pixel_threshold, str):
            raise ValueError(
                f"adjust.enabled is true and pixel_threshold is {self.pixel_threshold:g}, gray levels that no noise moves; give auto or "
                "'<k> sigma'"
            )
        return self

    @model_validator(mode="after")
    def _encoder_has_a_belt(self) -> Self:
        if self.encoder.px_per_count is not None and self.motion != "shift":
            raise ValueError("encoder.px_per_count is given and motion is none; set motion: shift, or leave the encoder out")
        return self

    @model_validator(mode="after")
    def _golden_is_named(self) -> Self:
        if self.reference == "golden" and self.golden is None:
            raise ValueError(
                "reference is golden, but golden names no file; teach one with `edgevision reference learn`, or give a picture"
            )
        return self


def crossing_sides(polygon: Polygon) -> tuple[int, int] | None:
    """Two sides (counted from 1, side k begins at corner k) that cross or touch; None for a polygon without any."""
    sides = [(polygon[k], polygon[(k + 1) % len(polygon)]) for k in range(len(polygon))]
    for k in range(len(sides)):
        for other in range(k + 2, len(sides) - (k == 0)):
            if _cross(*sides[k], *sides[other]):
                return k + 1, other + 1
    return None


def _cross(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int], d: tuple[int, int]) -> bool:
    """Whether the side from a to b and that from c to d have a point in common."""
    sides = [_side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)]
    if sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0:
        return True
    points = ((c, a, b), (d, a, b), (a, c, d), (b, c, d))
    return any(side == 0 and _is_between(*three) for side, three in zip(sides, points, strict=True))


def _side(a: tuple[int, int], b: tuple[int, int], point: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


def _is_between(point: tuple[int, int], a: tuple[int, int], b: tuple[int, int]) -> bool:
    return all(min(a[k], b[k]) <= point[k] <= max(a[k], b[k]) for k in (0, 1))
