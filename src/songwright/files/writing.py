"""Files appear whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from songwright.errors import OutputError


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where there is none.

    Raises
    ------
    OutputError
        If it cannot be made there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be made ({error.strerror}): choose a folder you can write in.") from None


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes to a file beside `path`, then move it there: an interrupted run leaves no half-written file.

    Raises
    ------
    OutputError
        If the file cannot be written there.
    """
    file = Path(path)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written ({error.strerror}): choose a folder you can write in.") from None
    finally:
        with suppress(OSError):  # where nothing can be written, there is nothing to remove
            temporary.unlink(missing_ok=True)
