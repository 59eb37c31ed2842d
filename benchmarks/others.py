"""The same two-tier cascade in other simulators, written as their own documentation teaches it.

Each takes the requests as lists of seconds and returns when each one ended after it came, or None
where it draws requests of the same laws itself. A request escalates where `accept` is False or its
first tier takes longer than the timeout, its wait included.
"""

from __future__ import annotations

from dataclasses import dataclass

SERVERS = (8, 12)
TIMEOUT_S = 0.5
RATE_RPS = 64.0
MEDIAN_S, SIGMA = (0.0726, 0.363), 0.8
ESCALATED = 0.3


@dataclass
class Cascade:
    """Requests in seconds, as plain lists: NumPy numbers would slow the others down."""

    arrival: list[float]
    service: tuple[list[float], list[float]]
    accept: list[bool]


def simpy(cascade: Cascade) -> list[float]:
    """SimPy: a process for each request, a Resource for each tier."""
    from simpy import Environment, Resource

    env = Environment()
    small, big = (Resource(env, servers) for servers in SERVERS)
    sojourn = [0.0] * len(cascade.arrival)
    arrival, (quick, slow), accept = cascade.arrival, cascade.service, cascade.accept

    def request(i):
        answered = False
        with small.request() as place:
            got = yield place | env.timeout(TIMEOUT_S)
            if place in got:
                left = arrival[i] + TIMEOUT_S - env.now
                answered = quick[i] <= left and accept[i]
                yield env.timeout(min(quick[i], max(left, 0.0)))
        if not answered:
            with big.request() as place:
                yield place
                yield env.timeout(slow[i])
        sojourn[i] = env.now - arrival[i]

    def source():
        for i, at in enumerate(arrival):
            yield env.timeout(at - env.now)
            env.process(request(i))

    env.process(source())
    env.run()
    return sojourn


def ciw(cascade: Cascade) -> None:
    """Ciw: a network of two nodes; it has no timeout in service, so there is none."""
    import math

    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(RATE_RPS), None],
        service_distributions=[ciw.dists.Lognormal(math.log(m), SIGMA) for m in MEDIAN_S],
        routing=[[0.0, ESCALATED], [0.0, 0.0]],
        number_of_servers=list(SERVERS),
    )
    ciw.seed(1)
    ciw.Simulation(network).simulate_until_max_customers(len(cascade.arrival), method="Finish")


def salabim(cascade: Cascade) -> list[float]:
    """salabim, yieldless: a component for each request."""
    import salabim as sim

    env = sim.Environment(trace=False)
    small, big = (sim.Resource(capacity=servers, monitor=False) for servers in SERVERS)
    sojourn = [0.0] * len(cascade.arrival)
    arrival, (quick, slow), accept = cascade.arrival, cascade.service, cascade.accept

    class Request(sim.Component):
        def process(self, i):
            self.request(small, fail_delay=TIMEOUT_S)
            answered = False
            if not self.failed():
                left = arrival[i] + TIMEOUT_S - env.now()
                answered = quick[i] <= left and accept[i]
                self.hold(min(quick[i], max(left, 0.0)))
                self.release(small)
            if not answered:
                self.request(big)
                self.hold(slow[i])
                self.release(big)
            sojourn[i] = env.now() - arrival[i]

    class Source(sim.Component):
        def process(self):
            for i, at in enumerate(arrival):
                self.hold(till=at)
                Request(i=i)

    Source()
    env.run()
    return sojourn
