"""songwright turns recorded music into new music."""

__version__ = "0.1.0"
