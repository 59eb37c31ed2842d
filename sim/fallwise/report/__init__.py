"""The folder of a study: summary, tables, figures, and one page that tells it all."""

from fallwise.report.folder import figures, flat, refuse, write
from fallwise.report.page import page

__all__ = ["figures", "flat", "page", "refuse", "write"]
