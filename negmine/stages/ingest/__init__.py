"""The first stage: the user's files become tables of documents, queries and positives."""

from negmine.stages.ingest.stage import IngestStage

__all__ = ["IngestStage"]
