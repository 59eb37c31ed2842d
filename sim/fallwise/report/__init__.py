"""The folder of a study: summary, tables, figures, and one page that tells it all."""

from fallwise.report.answer import answer
from fallwise.report.folder import refuse, write
from fallwise.report.page import page
from fallwise.report.pictures import figures
from fallwise.report.words import ABOVE

__all__ = ["ABOVE", "answer", "figures", "page", "refuse", "write"]
