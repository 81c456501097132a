"""A starter config for a folder or file: what the data is, told by names, columns and first rows."""

from negmine.starter.writing import CONFIG_NAME, Starter, write_starter

__all__ = ["CONFIG_NAME", "Starter", "write_starter"]
