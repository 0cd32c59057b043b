"""One visual language for all figures: names, colours, dashes, markers and sizes.

Colour and marker, each on its own, say the method's family: its network where it regresses values,
its form where it predicts bits or digits. Dashes, and shades with them, tell apart how a family is
trained. All are the same in every figure, and a grey print loses nothing. A star ends a
curve that was lossless; where fits are points, full ones were lossless and open ones ended before.
Where lines are signals, not methods, they are shades from dark to light.
"""

from __future__ import annotations

import textwrap

import matplotlib
import pandas as pd

from lossless_inr import registry

matplotlib.use("svg")
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Drawn at the width of a printed page, so that the sizes below are those on paper.
WIDTH = 7.0
SMALL = 6.5  # above pictures, where a column is an inch wide
RC = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.3,
    "grid.color": "0.8",
    "lines.linewidth": 1.1,
    # Fixed ids: the same data give the same file.
    "svg.hashsalt": "lossless-inr",
}
DPI = 200
STAR = {"marker": "*", "ms": 8, "mec": "k", "mew": 0.4, "ls": "", "zorder": 4, "clip_on": False}
OPEN = {"mfc": "none", "mew": 1.0, "ls": "", "zorder": 3}

# The ten colours of seaborn's colour-blind safe palette, and black.
_BLUE, _ORANGE, _GREEN, _RED, _PINK, _BROWN, _ROSE, _GREY, _YELLOW, _SKY = sns.color_palette(
    "colorblind", 10
)
_YELLOW = tuple(0.78 * c for c in _YELLOW)  # as it is, a thin line of it is lost on white
_BLACK = (0.0, 0.0, 0.0)
# In the order in which the paper prints its methods, the bit forms last. Digits and colour
# channels share colours with networks that never stand beside them.
_FAMILIES = {
    "tanh_pe": (_GREY, "P"),
    "relu_pe": (_BROWN, "D"),
    "wire": (_SKY, "v"),
    "gauss": (_ORANGE, "^"),
    "siren": (_BLUE, "o"),
    "finer": (_GREEN, "s"),
    "instant_ngp": (_PINK, "<"),
    "diner": (_YELLOW, "H"),
    "digits of 1 bit": (_PINK, "d"),
    "digits of 2 bits": (_BROWN, "X"),
    "digits of 4 bits": (_YELLOW, "p"),
    "ternary": (_RED, "*"),
    "low_bit_siren": (_SKY, "."),
    "bitchannel": (_YELLOW, "p"),
    "bitplane": (_RED, ">"),
    "bithead": (_BLACK, "h"),
}
# What a file that someone dropped in gets; by name, so that it is the same in every figure.
_OTHERS = [(_ROSE, "8"), (_ROSE, "X"), (_ROSE, "1"), (_ROSE, "2")]
# Dashes and the share of white (of black below 0), by rank within a family.
_LOOKS = [
    ("-", 0.0),
    ((0, (4, 1.2)), -0.2),
    ((0, (5, 1.2, 1, 1.2)), 0.3),
    ((0, (1, 1.1)), 0.3),
    ("-", 0.5),
    ((0, (4, 1.2)), 0.5),
    ((0, (5, 1.2, 1, 1.2)), 0.5),
    ((0, (1, 1.1)), 0.5),
]
# The rank of a recipe's plain form, unless another line of the family has it already.
_RECIPES = {"published": 0, "fast": 1, "authors": 1, "tuned": 2, "decayed": 2, "capacity": 3}
_SIGNAL_MARKERS = ["o", "s", "^", "D", "v", "P", "<", "X", ">", "p"]
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FORMS = {
    "direct": "",
    "bitplane": " + bit planes",
    "bithead": " + bit head",
    "bitchannel": " + bit and channel",
}


def plain(text: str) -> str:
    """Text that a data table holds, without matplotlib reading formulas into it."""
    return text.replace("$", r"\$")


def wrapped(text: str, inches: float, size: float = SMALL, lines: int = 4) -> str:
    r"""Text in lines that fit into a width, and no more of them than `lines`.

    Examples
    --------
    >>> wrapped("Gauss + bit planes, published", 0.9)
    'Gauss + bit\nplanes, published'
    """
    # DejaVu Sans is 0.56 of its size wide on average, capitals and figures more.
    width = max(8, int(inches * 72 / (0.58 * size)))
    found = textwrap.wrap(text, width, max_lines=lines, placeholder=" …")
    return plain("\n".join(found))


def digit_bits(fit: pd.Series) -> int:
    """Bits of the number that one network regresses: a digit's, or the whole sample's."""
    if fit.representation == "direct":
        return int(fit.bits)
    given = dict(v.split("=", 1) for v in fit.variant.split(", ") if "=" in v)
    default = registry.describe("representation", "digits").parameters["digit_bits"]
    return int(given.get("digit_bits", default))


def _digits(fit: pd.Series) -> str:
    n = digit_bits(fit)
    return f"digits of {n} bit{'s' if n > 1 else ''}"


def _base_name(fit: pd.Series) -> str:
    representation = _FORMS.get(fit.representation, f" + {fit.representation}")
    variant = fit.variant
    if fit.representation == "digits":
        representation = f" + {_digits(fit)}"
        variant = ", ".join(v for v in variant.split(", ") if not v.startswith("digit_bits="))
    variant = f" ({variant})" if variant else ""
    return f"{fit.label}{representation}{variant}, {fit.recipe}"


def method_names(fits: pd.DataFrame) -> pd.Series:
    """Name of the method of each fit; seeds share one.

    Width and budget are named only where two fits of a signal differ in nothing else.
    """
    names = pd.Series([_base_name(fit) for _, fit in fits.iterrows()], fits.index, dtype=object)
    for column, text in (("width", ", {:,} wide"), ("budget", ", {:,} iterations")):
        several = fits.groupby([fits.signal, fits.seed, names])[column].transform("nunique") > 1
        ambiguous = names.isin(names[several])
        names = names.where(~ambiguous, names + fits[column].map(text.format))
    return names


def family(fit: pd.Series) -> str:
    """What gives a method its colour."""
    if fit.representation == "digits":
        return _digits(fit)
    return fit.network if fit.representation == "direct" else fit.representation


def in_printed_order(fits: pd.DataFrame) -> pd.DataFrame:
    """Signals in the order they come, and within them methods as the paper prints them."""
    families = [*_FAMILIES, *sorted({family(f) for _, f in fits.iterrows()} - set(_FAMILIES))]
    signals = list(dict.fromkeys(fits.signal))
    keys = [(signals.index(f.signal), families.index(family(f))) for _, f in fits.iterrows()]
    order = sorted(range(len(fits)), key=keys.__getitem__)  # stable
    return fits.iloc[order]


def _family_look(name: str) -> tuple[tuple, str]:
    if name in _FAMILIES:
        return _FAMILIES[name]
    known = [n for kind in registry.ROOMS for n in registry.names(kind) if n not in _FAMILIES]
    return _OTHERS[(known.index(name) if name in known else 0) % len(_OTHERS)]


def method_styles(fits: pd.DataFrame, names: pd.Series) -> dict[str, dict]:
    """Name -> `color`, `ls` and `marker`, in the paper's order of methods."""
    first = in_printed_order(fits.assign(name=names).drop_duplicates("name"))
    first = first.assign(family=[family(fit) for _, fit in first.iterrows()])
    order = sorted(set(first.family), key=[*_FAMILIES, *sorted(first.family)].index)
    styles = {}
    for one in order:
        colour, marker = _family_look(one)
        members = first[first.family == one]
        # Plain forms choose first, so that a variant beside them does not change how they look.
        members = members.assign(varied=members.variant != "").sort_values(
            ["varied", "width", "budget", "name"], ascending=[True, False, False, True]
        )
        ranks: dict[str, int] = {}
        for _, fit in members.iterrows():
            wanted = _RECIPES.get(fit.recipe, 4)
            free = [k for k in range(len(_LOOKS)) if k not in ranks.values()]
            # More lines than looks: they repeat, which is better than no figure.
            ranks[fit["name"]] = (
                wanted if wanted in free else free[0] if free else len(ranks) % len(_LOOKS)
            )
        for name in sorted(ranks, key=ranks.__getitem__):
            dashes, white = _LOOKS[ranks[name]]
            shade = tuple(c + (float(white > 0) - c) * abs(white) for c in colour)
            styles[name] = {"color": shade, "ls": dashes, "marker": marker}
    return styles


def signal_styles(fits: pd.DataFrame) -> dict[str, dict]:
    """Signal -> `color`, `ls`, `marker` and `label`, where lines are signals."""
    first = fits.drop_duplicates("signal")
    shades = sns.color_palette("viridis", len(first) + 1)  # the last would be too light
    return {
        fit.signal: {
            "color": shades[k],
            "ls": _LOOKS[k % 4][0],
            "marker": _SIGNAL_MARKERS[k % len(_SIGNAL_MARKERS)],
            "label": signal_title(fit, 3.0),
        }
        for k, (_, fit) in enumerate(first.iterrows())
    }


def _power(value: float, position: int | None = None) -> str:
    """`10³`, `5·10⁶`; plain where that is shorter."""
    if 9e-3 < value < 1e6:
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    factor = "" if mantissa == "1" else f"{mantissa}·"
    return f"{factor}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def log_axes(axis, letters: str, *, steps: tuple[int, ...] = (1,)) -> None:
    """Logarithmic axes with ticks at `steps` of each decade, of which only those have labels.

    The labels are plain characters: setting a formula takes longer than the rest of a figure.
    """
    for letter in letters:
        axis.set(**{f"{letter}scale": "log"})
        side = getattr(axis, f"{letter}axis")
        side.set_major_locator(LogLocator(subs=steps, numticks=12 if len(steps) > 1 else 9))
        side.set_major_formatter(FuncFormatter(_power))
        side.set_minor_formatter(NullFormatter())


def legend(figure, handles: list, *, star: str = "", unfilled: str = "") -> None:
    """Legend below the panels, with what stars and open markers mean."""
    for text, mark in (
        (star, {"color": "w"} | STAR),
        (unfilled, {"color": "k", "marker": "o", "ms": 4} | OPEN),
    ):
        if text:
            handles = [*handles, plt.Line2D([], [], label=text, **mark)]
    longest = max(len(line) for handle in handles for line in handle.get_label().split("\n"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3 if longest <= 34 else 2 if longest <= 58 else 1,
        frameon=False,
        handlelength=3,
    )


def method_handles(styles: dict[str, dict]) -> list:
    """Legend handles of methods."""
    return [plt.Line2D([], [], ms=4, label=plain(name), **look) for name, look in styles.items()]


def signal_title(fit: pd.Series, inches: float = 3.2) -> str:
    """Title of a signal and its depth, which some titles say themselves."""
    depth = "" if fit.title.endswith(fit.depth) else f", {fit.depth}"
    return wrapped(f"{fit.title}{depth}", inches, 8, lines=2)
