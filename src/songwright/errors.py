"""Every exception that songwright raises on purpose.

The command line turns a `SongwrightError` into one sentence and exit code 2;
anything else is a bug and keeps its traceback.
"""


class SongwrightError(Exception):
    """Base of all errors a user can cause and mend. The message says what, where, and what to do."""


class InputError(SongwrightError):
    """A file, folder or value given by the user cannot be used."""


class ConfigError(SongwrightError):
    """A configuration file or option holds an unknown key, a wrong type or an impossible value."""


class WeightsError(SongwrightError):
    """Trained weights are missing, damaged, or do not fit the vocabulary."""


class TrainingError(SongwrightError):
    """Training cannot go on."""


class OutputError(SongwrightError):
    """A result cannot be written where it was asked for."""
