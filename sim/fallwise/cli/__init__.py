"""The commands: one file each; what is heavy is imported when a command runs, not before."""

from fallwise.cli.app import main

__all__ = ["main"]
