"""Colours that people with colour-blindness can tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
GRAY = "#6e7781"
