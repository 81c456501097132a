"""judge: what a language model, or people, say of the hardest survivors, and the verdicts that follow from it."""

from negmine.stages.judge.block import Block, blocks
from negmine.stages.judge.judges import Judged, Judges, Question
from negmine.stages.judge.preview import Preview, preview
from negmine.stages.judge.stage import JudgeStage
from negmine.stages.judge.walking import looked_at

__all__ = ["Block", "JudgeStage", "Judged", "Judges", "Preview", "Question", "blocks", "looked_at", "preview"]
