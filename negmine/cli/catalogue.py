"""Every command: the section of --help it stands in, the module that has it, and what it does in one line."""

from __future__ import annotations

CATALOGUE: dict[str, dict[str, tuple[str, str]]] = {
    "Commands": {
        "run": ("steps", "Bring every stage up to date and export; what is current is not run again."),
        "init": ("start", "Write a commented starter config, filled in from the data files of a folder."),
    },
    "One stage at a time": {
        "ingest": ("steps", "Read the data files into tables of documents, queries and positives."),
        "embed": ("steps", "Compute a vector for every distinct passage and query."),
        "index": ("steps", "Build the structures that search reads."),
        "mine": ("steps", "Find the nearest passages of every query."),
        "rerank": ("steps", "Score candidates and positives by a cross-encoder, where one is configured."),
        "filter": ("steps", "Decide which candidates are negatives, each with its reason."),
        "export": ("steps", "Write training files, the dataset card and the provenance."),
    },
    "Get better in rounds": {
        "tune": ("tuning", "Choose the settings of filter that help a student most, within a time budget."),
        "refresh": ("refreshing", "Mine again with an improved model; see which negatives became easy."),
        "loop": ("looping", "Mine, train, measure and mine again, until dev no longer improves."),
    },
    "Look at a run": {
        "status": ("inspect", "Show each stage: current, stale (why), partial, missing or damaged."),
        "plan": ("inspect", "Show what run would do, and what it would cost; changes nothing."),
        "explain": ("explaining", "Show every candidate of a query with its score, its verdict and why."),
        "sweep": ("sweeping", "Show what other thresholds of filter would do; changes nothing."),
        "audit": ("auditing", "Estimate the share of false negatives from a sample that you label."),
        "evaluate": ("evaluating", "Measure whether training on the negatives helps, against other negatives."),
        "diff": ("comparing", "Compare the negatives of two runs: settings, churn, scores, queries that changed most."),
        "history": ("history", "List what this work_dir's negatives were: settings, yield, leak, hardness."),
        "check": ("checking", "Check the run against the bounds of the config's checks section, for CI."),
        "clean": ("inspect", "Remove parts that no manifest names and no interrupted stage can still use."),
        "schema": ("start", "Print the JSON Schema of the config, for editors and checks."),
    },
}

COMMANDS = {name: entry for section in CATALOGUE.values() for name, entry in section.items()}


def summary(command: str) -> str:
    """What a command does, in one line."""
    return COMMANDS[command][1]
