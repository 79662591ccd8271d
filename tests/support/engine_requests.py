"""Requests to an engine without a tokenizer around it, for tests."""

from alpha_umi.models.adapters import ADAPTERS, active_from
from alpha_umi.models.engine.requests import Request
from alpha_umi.models.generation import Generation
from alpha_umi.types import Sampling


class Asked:
    """A request with its outcome, and a switch that cancels it."""

    def __init__(self, prompt, *, tokens=8, ends=(), grammar=None, group=None, adapter=(0, 0), **sampling):
        self.error, self.finished, self.gone, self.steps = None, False, False, 0
        said = Sampling(max_tokens=tokens, **sampling)
        self.request = Request(
            prompt=list(prompt),
            generation=Generation(said, tokens, frozenset(ends), lambda ids: "".join(map(chr, ids)), grammar),
            adapter=adapter[0],
            adapter_from=adapter[1],
            group=group,
            on_done=self._on_done,
            on_token=self._on_token,
            is_cancelled=lambda: self.gone,
        )

    @property
    def written(self):
        return self.request.generation.output_ids

    def _on_done(self, request, error):
        assert not self.finished, "told twice"
        self.finished, self.error = True, error

    def _on_token(self, request):
        self.steps += 1


def asked_of(role, prompt, invocation, **more):
    start = active_from(prompt, invocation)
    return Asked(prompt, adapter=(0, 0) if start is None else (ADAPTERS[role], start), **more)


def run(engine, asked, limit=5000):
    """Submit and step until nothing is left; what was written."""
    for one in asked:
        engine.submit(one.request)
    for _ in range(limit):
        if engine.idle:
            return [one.written for one in asked]
        engine.step()
    raise AssertionError("the engine does not come to an end")


def memory_in_use(engine):
    """What of the memory is free, in the tree, and reserved by requests; pins, and request caches in use."""
    scheduler = engine.scheduler
    return {
        "free": scheduler.prefix_tree.free_slots,
        "in tree": sum(len(node.slots) for node in scheduler.prefix_tree.nodes()),
        "reserved": sum(len(request.reserved_slots) for request in scheduler.running),
        "pins": sum(node.pins for node in scheduler.prefix_tree.nodes()),
        "request caches": scheduler.kv_cache.request_caches - scheduler.kv_cache.free_request_caches,
    }


def assert_conserved(engine):
    scheduler, now = engine.scheduler, memory_in_use(engine)
    assert now["free"] + now["in tree"] + now["reserved"] == scheduler.prefix_tree.capacity
    assert now["pins"] == now["request caches"] == len(scheduler.running)
    owned = [slot for node in scheduler.prefix_tree.nodes() for slot in node.slots.tolist()]
    owned += [slot for request in scheduler.running for slot in request.reserved_slots.tolist()]
    assert len(owned) == len(set(owned)), "a slot has two owners"
    for request in scheduler.waiting:
        assert (request.cache_index, request.node, len(request.reserved_slots)) == (None, None, 0)
    for node in scheduler.prefix_tree.nodes():
        assert len(node.keys) == len(node.slots)
        assert all(child.parent is node for child in node.children.values())
