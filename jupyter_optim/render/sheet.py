"""A sheet to draw on in pixels: text that is measured before it is placed, and boxes. No pyplot.

Every artist is styled in full, and the font is the one that matplotlib brings along, so a picture is the same
whatever style the user has set for theirs, and no global setting is touched, not even for a moment.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Affine2D
from PIL import Image

from jupyter_optim.render import format as fmt

SCALE = 1.5
"""Pixels of the file for one of the page: sharp on most screens, at half the size that 2 would take."""

_UNIT_DPI = 100
_COLORS = 64
_POINTS = 72 / _UNIT_DPI

Align = Literal["left", "center", "right"]


class Sheet:
    """Paper of `width` x `height` pixels, with its origin at the top left."""

    def __init__(self, width: float, height: float, paper: str) -> None:
        self._figure = Figure(
            figsize=(width / _UNIT_DPI, height / _UNIT_DPI),
            dpi=_UNIT_DPI * SCALE,
            facecolor=paper,
            frameon=True,
        )
        self._drawn = 0
        self._canvas = FigureCanvasAgg(self._figure)
        self._transform = Affine2D().scale(SCALE, -SCALE).translate(0, round(height) * SCALE)

    def text(self, x: float, y: float, text: str, pen: Pen, color: str, align: Align = "left") -> None:
        """Write `text` with its baseline at `y`."""
        artist = Text(
            x, y, pen.writable(text), color=color, fontproperties=pen.font, horizontalalignment=align,
            verticalalignment="baseline", parse_math=False, usetex=False, transform=self._transform,
        )  # fmt: skip
        self._add(artist)

    def box(
        self, x: float, y: float, width: float, height: float, color: str, line: str | None = None
    ) -> None:
        """A filled rectangle, with an outline if `line` is given."""
        edge = line or "none"
        self._add(Rectangle((x, y), width, height, facecolor=color, edgecolor=edge, linewidth=1.0, hatch=None,
                            linestyle="solid", transform=self._transform))  # fmt: skip

    def pill(self, x: float, y: float, width: float, height: float, color: str) -> None:
        """A filled rectangle with round ends."""
        shape = f"round,pad=0,rounding_size={min(width, height) / 2}"
        self._add(FancyBboxPatch((x, y), width, height, boxstyle=shape, facecolor=color, edgecolor="none",
                                 linewidth=0.0, transform=self._transform))  # fmt: skip

    def dot(self, x: float, y: float, radius: float, color: str, line: str) -> None:
        """A filled circle with an outline."""
        self._add(Circle((x, y), radius, facecolor=color, edgecolor=line, linewidth=1.4, linestyle="solid",
                         transform=self._transform))  # fmt: skip

    def line(self, points: Sequence[tuple[float, float]], color: str, width: float = 1.5) -> None:
        """A line through `points`."""
        xs, ys = zip(*points, strict=True)
        self._add(
            Line2D(
                xs, ys, color=color, linewidth=width, linestyle="solid", marker="", transform=self._transform
            )
        )

    def area(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """A filled polygon."""
        self._add(Polygon(points, closed=True, facecolor=color, edgecolor="none", linewidth=0.0,
                          transform=self._transform))  # fmt: skip

    def png(self) -> bytes:
        """The sheet as a PNG with a palette: a quarter of the size, and no difference to see."""
        self._canvas.draw()
        pixels = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        data = io.BytesIO()
        pixels.quantize(_COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            data, "PNG", optimize=True
        )
        return data.getvalue()

    def _add(self, artist: Artist) -> None:
        # `plt.xkcd()` and the like put these on every new artist
        artist.set_sketch_params(None)
        artist.set_path_effects([])
        # what is drawn later lies above, whatever it is
        self._drawn += 1
        artist.set_zorder(self._drawn)
        self._figure.add_artist(artist)


class Pen:
    """One font at one size, which can tell how wide a text will be."""

    def __init__(self, size: float, bold: bool = False) -> None:
        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
        path = folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
        self.size = size
        self.font = FontProperties(fname=path, size=size * _POINTS)
        self._face = FT2Font(str(path))
        self._advances: dict[str, float] = {}
        self._face.set_size(size * _POINTS, _UNIT_DPI * SCALE)

    def writable(self, text: str) -> str:
        """`text` with a box for each character that the font lacks: matplotlib would warn in the user's cell."""
        return "".join(char if self._face.get_char_index(ord(char)) else "□" for char in fmt.visible(text))

    def width(self, text: str) -> float:
        """Width of `text` in pixels, but for kerning, which only draws letters together."""
        return sum(self._advance(char) for char in self.writable(text))

    def fit(self, text: str, width: float) -> str:
        """`text`, shortened in the middle until it is at most `width` pixels wide."""
        text = self.writable(text)
        length = len(text)
        while length > 1 and self.width(fmt.shorten(text, length)) > width:
            length -= 1
        return fmt.shorten(text, length)

    def wrap(self, text: str, width: float, lines: int) -> list[str]:
        """`text` in at most `lines` lines of `width` pixels each, of about the same length."""
        found = self._filled(text, width)
        while (
            len(found) <= lines
            and width > 50
            and len(tighter := self._filled(text, width - 10)) == len(found)
        ):
            found, width = tighter, width - 10
        if len(found) > lines:
            found = [*found[: lines - 1], self.fit(" ".join(found[lines - 1 :]), width)]
        return found

    def _filled(self, text: str, width: float) -> list[str]:
        lines: list[str] = []
        for word in self.writable(text).split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(self.fit(word, width))
        return lines

    def _advance(self, char: str) -> float:
        if char not in self._advances:
            self._advances[char] = self._face.load_char(ord(char)).linearHoriAdvance / 65536 / SCALE
        return self._advances[char]
