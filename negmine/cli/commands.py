"""All commands: importing this module registers them."""

from negmine.cli import explaining, inspect, start, steps

__all__ = ["explaining", "inspect", "start", "steps"]
