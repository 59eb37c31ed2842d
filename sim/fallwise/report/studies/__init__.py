"""What each command's page says: one file a command, each of them summary -> pieces.Study."""

from fallwise.report.studies.breakeven import breakeven
from fallwise.report.studies.check import check
from fallwise.report.studies.compare import compare
from fallwise.report.studies.fit import fit
from fallwise.report.studies.sensitivity import sensitivity
from fallwise.report.studies.size import size

__all__ = ["breakeven", "check", "compare", "fit", "sensitivity", "size"]
