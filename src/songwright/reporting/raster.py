"""SVG as PNG, with the optional package resvg_py (`pip install songwright[plots]`)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from songwright.errors import ConfigError

_LETTER = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><text x="5" y="30" font-size="30">A</text></svg>'
)


def svg_to_png(svg: str, *, zoom: float = 2.0) -> bytes:
    """Return a picture as PNG, `zoom` times as many pixels as user units, on white.

    Raises
    ------
    ConfigError
        If resvg_py is not installed.
    """
    require_raster()
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=zoom, background="#ffffff"))


def require_raster() -> None:
    """Check that PNG can be written.

    Raises
    ------
    ConfigError
        If resvg_py is not installed.
    """
    if find_spec("resvg_py") is None:
        raise ConfigError('PNG needs the package resvg_py: pip install "songwright[plots]"; SVG needs nothing')


@cache
def draws_text() -> bool:
    """Whether PNG will hold text: resvg_py uses the fonts of the system, and a machine may have none."""
    import resvg_py

    empty = resvg_py.svg_to_bytes(svg_string=_LETTER, skip_system_fonts=True)
    return bytes(resvg_py.svg_to_bytes(svg_string=_LETTER)) != bytes(empty)
