"""judge: what a language model, or people, say of the hardest survivors, and the verdicts that follow from it."""

from negmine.stages.judge.block import Block, blocks, ids_of
from negmine.stages.judge.judges import Judges, Question, Said
from negmine.stages.judge.preview import Preview, preview
from negmine.stages.judge.stage import JudgeStage
from negmine.stages.judge.walking import looked_at

__all__ = ["Block", "JudgeStage", "Judges", "Preview", "Question", "Said", "blocks", "ids_of", "looked_at", "preview"]
