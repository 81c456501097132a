"""embed: texts become vectors, or ready-made vectors are checked and laid out."""

from negmine.stages.embed.stage import EmbedStage

__all__ = ["EmbedStage"]
