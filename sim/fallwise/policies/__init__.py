"""What is decided before a tier is asked and after it answered.

Pure functions with plain operators of what a live system can see: numbers for one request in the
gateway, (n,) arrays in the simulator. Never `correct`, no clock, no chance, no table.
"""

from fallwise.policies.agreement import agrees
from fallwise.policies.decide import decide
from fallwise.policies.router import starts_at
from fallwise.policies.threshold import accepts
from fallwise.policies.verifier import passes

__all__ = ["accepts", "agrees", "decide", "passes", "starts_at"]
