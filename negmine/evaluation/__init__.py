"""Does training on a run's negatives help? A student is trained on them and on others, and both are tested."""

from negmine.evaluation.arms import Taken, filtered_negatives, negatives_of
from negmine.evaluation.experiment import Experiment, Outcome
from negmine.evaluation.results import ArmResult, Comparison, Evaluation, Recovered
from negmine.evaluation.running import evaluate, experiment_of, stored_evaluation
from negmine.evaluation.split import DEV, TEST, TRAIN

__all__ = [
    "DEV",
    "TEST",
    "TRAIN",
    "ArmResult",
    "Comparison",
    "Evaluation",
    "Experiment",
    "Outcome",
    "Recovered",
    "Taken",
    "evaluate",
    "experiment_of",
    "filtered_negatives",
    "negatives_of",
    "stored_evaluation",
]
