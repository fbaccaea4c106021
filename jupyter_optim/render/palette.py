"""Sizes and colours that all pictures share."""

from __future__ import annotations

WIDTH = 900
"""Of a picture, in points: as wide as a notebook's cell."""
EDGE = 24
PAPER, INK, SOFT, RULE = "#fdfdfc", "#1f2328", "#5b6470", "#d5d9de"
# Okabe and Ito, https://jfly.uni-koeln.de/color/: told apart with any colour vision
BLUE, ORANGE, GREEN, RED, PINK, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
YELLOW = "#f0e442"
QUIET = "#8a929b"
"""Of what is neither good nor bad."""
