"""The same cascade on live HTTP traffic: the scenario's policies, queues and limits, real tiers."""

from fallwise.gateway.app import application, serve
from fallwise.gateway.tiers import with_upstream

__all__ = ["application", "serve", "with_upstream"]
