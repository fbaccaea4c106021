"""One technique's row in the panel: what it should bring, its options, and the button that tries it."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from jupyter_optim.notebook.display import marked
from jupyter_optim.render.format import ratio, share, size_change

if TYPE_CHECKING:
    from jupyter_optim.techniques.technique import Assessment, Option, Technique

_TEXT = "color: var(--jp-ui-font-color1, inherit); line-height: 1.4; font-size: 13px"
_MUTED = "color: var(--jp-ui-font-color2, #616161)"
_LINE = "1px solid var(--jp-border-color2, #bdbdbd)"
_SLOWER = 0.98
_NOTICEABLE = 1.05
"""A speed-up below this one is not worth pointing at."""


class Card:
    """The row of one technique. It keeps its widgets for its life; only what they say changes."""

    def __init__(self, technique: Technique, press: Callable[[str], None]) -> None:
        self.technique = technique
        self.button = widgets.Button(
            description=technique.label,
            layout=widgets.Layout(width="auto", min_width="320px", flex="0 0 auto", margin="2px 12px 2px 0"),
        )
        self.button.on_click(lambda _: press(technique.name))
        self._text = widgets.HTML(layout=widgets.Layout(flex="1 1 320px", min_width="280px", margin="2px 0"))
        self._inputs = {option.name: _input(option) for option in technique.options}
        self._defaults = widgets.HTML(layout=widgets.Layout(margin="2px 0", display="none"))
        for entry in self._inputs.values():
            entry.observe(self._say_defaults, "value")
        self._options = widgets.HBox(
            [*self._inputs.values(), self._defaults],
            layout=widgets.Layout(flex_flow="row wrap", flex="1 1 100%"),
        )
        self.slot = widgets.VBox(layout=widgets.Layout(flex="0 0 100%"))
        """For what comes of a press: it stands where the user is looking."""
        self.widget = widgets.HBox(
            [self.button, self._text, self._options, self.slot],
            layout=widgets.Layout(
                flex_flow="row wrap", align_items="flex-start", border_top=_LINE, padding="6px 0"
            ),
        )

    def values(self) -> dict[str, Any]:
        """The options as they are set."""
        return {name: entry.value for name, entry in self._inputs.items()}

    def _say_defaults(self, _: object) -> None:
        """The prediction is for the options as they were at first: say so once they are changed."""
        changed = [o for o in self.technique.options if self._inputs[o.name].value != o.default]
        words = ", ".join(f"{option.label.lower()} {option.default}" for option in changed)
        self._defaults.value = f'<span style="{_MUTED}">The prediction is for {escape(words)}.</span>'
        self._defaults.layout.display = None if changed else "none"

    def show(self, assessment: Assessment, *, best: bool = False) -> None:
        """Say what the technique should bring to the model as it is now, or why it does not apply."""
        gain = _gain(assessment)
        label = self.technique.label
        self.button.description = f"{label}: predicted {gain}" if gain and assessment.applies else label
        self.button.disabled = not assessment.applies
        self.button.button_style = "primary" if best and _gains(assessment) else ""
        tooltip = (
            f"{_sentence(assessment.reason)} {self.technique.risk}"
            if assessment.applies
            else f"{label} does not apply: {assessment.reason.rstrip('.')}."
        )
        self.button.tooltip = tooltip.replace("`", "")
        self._text.value = _words(self.technique, assessment)
        self._options.layout.display = None if assessment.applies and self._inputs else "none"


def _words(technique: Technique, assessment: Assessment) -> str:
    if not assessment.applies:
        return f'<div style="{_TEXT}">{marked(_sentence(assessment.reason))}</div>'
    covers = (
        "" if assessment.covers_share is None else f"Covers {share(assessment.covers_share)} of the time. "
    )
    size = _smaller(assessment)
    size = f"Predicted {size}. " if size and assessment.predicted_speedup is not None else ""
    how = f' title="{escape(assessment.method)}"' if assessment.method else ""
    return (
        f'<div style="{_TEXT}"><span{how}>{escape(covers + size)}</span>{marked(_sentence(assessment.reason))}'
        f'<div style="{_MUTED}">Risk: {marked(technique.risk)}</div></div>'
    )


def _sentence(text: str) -> str:
    """`text` with a capital and a full stop, also where the engine gives half a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _gain(assessment: Assessment) -> str:
    if assessment.predicted_speedup is not None:
        slower = " (slower)" if assessment.predicted_speedup < _SLOWER else ""
        return f"{ratio(assessment.predicted_speedup)}{slower}"
    return _smaller(assessment)


def _gains(assessment: Assessment) -> bool:
    speedup = assessment.predicted_speedup
    return speedup is None or speedup > _NOTICEABLE or bool(_smaller(assessment))


def _smaller(assessment: Assessment) -> str:
    left = assessment.predicted_size_ratio
    return "" if left is None or left > 0.995 else size_change(left)


def _input(option: Option) -> widgets.Widget:
    """The control that fits an option's kind of value.

    Numbers are typed: ipywidgets' sliders have no name for a screen reader.
    """
    common = {
        "description": option.label,
        "tooltip": option.help or option.label,
        "style": {"description_width": "initial"},
        "layout": widgets.Layout(width="340px", max_width="100%", margin="2px 16px 2px 0"),
    }
    if option.choices:
        return widgets.Dropdown(options=option.choices, value=option.default, **common)
    if isinstance(option.default, bool):
        return widgets.Checkbox(value=option.default, indent=False, **common)
    bounded = option.low is not None and option.high is not None
    if isinstance(option.default, int):
        if bounded:
            return widgets.BoundedIntText(
                option.default, int(option.low or 0), int(option.high or 0), int(option.step or 1), **common
            )
        return widgets.IntText(option.default, **common)
    if bounded:
        return widgets.BoundedFloatText(
            value=option.default, min=option.low, max=option.high, step=option.step or 0.01, **common
        )
    return widgets.FloatText(option.default, **common)
