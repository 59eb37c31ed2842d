"""What is decided before a tier is asked and after it answered.

Pure functions with plain operators of what a live system can see: numbers for one request in the
gateway, (n,) arrays in the simulator. Never `correct`, no clock, no chance. Only the guards of
calls (`guards`) remember what they were told; they are told the time, too.
"""

from fallwise.policies.agreement import agrees
from fallwise.policies.decide import decide
from fallwise.policies.router import starts_at
from fallwise.policies.threshold import accepts
from fallwise.policies.verifier import passes
from fallwise.policies.ways import tiers_there

__all__ = ["accepts", "agrees", "decide", "passes", "starts_at", "tiers_there"]
