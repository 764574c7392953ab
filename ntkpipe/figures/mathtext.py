r"""Formulas of matplotlib's mathtext as plain text: $\Theta_\infty/N$ is Θ∞/N."""

from __future__ import annotations

import re
import unicodedata

SIGNS = {
    "cdot": "·",
    "infty": "∞",
    "times": "×",
    "pm": "±",
    "leq": "≤",
    "geq": "≥",
    "approx": "≈",
    "sim": "~",
    "partial": "∂",
    "nabla": "∇",
    "sum": "Σ",
    "sqrt": "√",
    "Vert": "‖",
    "to": "→",
    "ell": "ℓ",
}
"""Signs whose Unicode name is not that of a Greek letter."""
RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
LOWERED = str.maketrans("0123456789+-−ijkn", "₀₁₂₃₄₅₆₇₈₉₊₋₋ᵢⱼₖₙ")
SCRIPT = re.compile(r"([_^])(?:\{([^{}]*)\}|(.))")


def plain(text: str) -> str:
    """A text whose formulas between $ and $ are plain text."""
    parts = re.split(r"(?<!\\)\$", text)
    for k in range(1, len(parts), 2):
        parts[k] = _formula(parts[k])
    return "".join(parts).replace(r"\$", "$")


def _formula(text: str) -> str:
    text = re.sub(r"\\(?:mathrm|mathbf|mathit|text|operatorname)\s*", "", text)
    text = re.sub(r"\\([A-Za-z]+)\s*", lambda found: _sign(found[1]), text)
    text = re.sub(r"\\[,;:! ]", " ", text).replace("-", "−")
    return re.sub("[{}]", "", SCRIPT.sub(_script, text))


def _sign(name: str) -> str:
    """The letter or sign of a command; otherwise its name, such as cos."""
    if name in SIGNS:
        return SIGNS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    letter = name.upper().replace("LAMBDA", "LAMDA").removeprefix("VAR")
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {letter}")
    except KeyError:
        return f"{name} "


def _script(found: re.Match[str]) -> str:
    """A raised or lowered text: as such if all its letters exist, else after ^ or _."""
    body = found[2] if found[2] is not None else found[3]
    table = RAISED if found[1] == "^" else LOWERED
    if body and all(ord(letter) in table for letter in body):
        return body.translate(table)
    if len(body) == 1:
        return f"{'^' if found[1] == '^' else ''}{body}"
    return f"{found[1]}({body})"
