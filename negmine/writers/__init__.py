"""Training files: one module per format, and modules for how rows become bytes."""

from negmine.writers.base import Cells, ExportFormat, Groups, Lookup, Member, Options, Rows
from negmine.writers.beir import Beir
from negmine.writers.flagembedding import FlagEmbedding
from negmine.writers.ids import Ids
from negmine.writers.labeled_list import LabeledList
from negmine.writers.labeled_pair import LabeledPair
from negmine.writers.margin_mse import MarginMse
from negmine.writers.ms_swift import MsSwift
from negmine.writers.n_tuple import NTuple
from negmine.writers.nemo import Nemo
from negmine.writers.tevatron import Tevatron
from negmine.writers.tevatron_ids import TevatronIds
from negmine.writers.trec_run import TrecRun
from negmine.writers.triplet import Triplet

_ALL: tuple[ExportFormat, ...] = (
    Triplet(),
    NTuple(),
    LabeledPair(),
    LabeledList(),
    MarginMse(),
    Ids(),
    FlagEmbedding(),
    Tevatron(),
    TevatronIds(),
    Nemo(),
    Beir(),
    MsSwift(),
    TrecRun(),
)
FORMATS: dict[str, ExportFormat] = {each.name: each for each in _ALL}

__all__ = ["FORMATS", "Cells", "ExportFormat", "Groups", "Lookup", "Member", "Options", "Rows"]
