"""All commands: importing this module adds them to the application."""

from negmine.cli import explaining, inspect, start, steps, sweeping
from negmine.cli.app import app

__all__ = ["app", "explaining", "inspect", "start", "steps", "sweeping"]
