"""Offers: the tools that a task may use, with outages and synthetic providers among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alpha_umi.types import Observation, ToolStatus
from alpha_umi.world.problems import Perturbation
from alpha_umi.world.random_streams import RandomStream
from alpha_umi.world.table.configs import TableWorldConfig
from alpha_umi.world.table.synthetic import SyntheticProviders
from alpha_umi.world.table.toolset import Pool
from alpha_umi.world.tools import Seen, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Tools of a task, in the order in which it lists them."""

    tools: tuple[Tool, ...]
    down: tuple[Tool, ...]
    """Those that fail."""
    failure: tuple[ToolStatus, str]
    """Status and text of their observations; "{tool}" is the tool's name."""
    blocked: str
    """The need that no tool can serve; empty where each is served."""

    @property
    def failures(self) -> dict[str, Observation]:
        """Name of a tool that is down -> its observation."""
        status, text = self.failure
        names = (tool.spec.name for tool in self.down)
        return {name: Observation(content=text.format(tool=name), status=status) for name in names}


class OfferSampler:
    """Sampler of the offer of one task."""

    def __init__(self, config: TableWorldConfig, pool: Pool, rng: RandomStream) -> None:
        self._config, self._pool, self._rng = config, pool, rng

    def draw(self, chosen: Mapping[str, Tool], perturbation: Perturbation) -> Offer | None:
        """The offer around the chosen tool of each need; None where it cannot be perturbed so."""
        config, rng = self._config, self._rng
        alternatives = {
            need: [other for other in self._pool.alternatives[need] if other is not tool]
            for need, tool in chosen.items()
        }
        replaceable = [need for need, others in alternatives.items() if others]
        offered = {need: [tool] for need, tool in chosen.items()}
        down: list[Tool] = []
        blocked = ""
        match perturbation:
            case Perturbation.FALLBACK:
                if not replaceable:
                    return None
                need = rng.pick(replaceable)
                down = [rng.pick(alternatives[need])]
                offered[need] = [*down, chosen[need]]
            case Perturbation.DOWN:
                blocked = rng.pick(list(chosen))
                if alternatives[blocked] and rng.below(2):
                    offered[blocked].append(rng.pick(alternatives[blocked]))
                down = offered[blocked]
            case Perturbation.NO_TOOL:
                blocked = rng.pick(list(chosen))
                offered[blocked] = []
            case _ if replaceable and rng.below(100) < config.redundant_providers:
                need = rng.pick(replaceable)
                both = [
                    other
                    for other in alternatives[need]
                    if other.seen is chosen[need].seen or other.seen is not Seen.YES
                ]
                offered[need] += [rng.pick(both)] if both else []
            case _:
                pass
        return Offer(
            tools=self._arrange_tools(offered), down=tuple(down), failure=rng.pick(config.failures), blocked=blocked
        )

    def with_synthetic(self, offer: Offer) -> Offer:
        """The same offer with most of its providers replaced by synthetic ones."""
        toolset, rng = self._config.toolset, self._rng
        providers = SyntheticProviders(toolset.categories, toolset.held_out_documents, rng)
        replaced = {
            provider: rng.below(100) < self._config.replaced
            for provider in dict.fromkeys(tool.provider for tool in offer.tools)
        }

        def replace_tool(tool: Tool) -> Tool:
            return providers.replace_tool(tool) if replaced[tool.provider] else tool

        return replace(offer, tools=tuple(map(replace_tool, offer.tools)), down=tuple(map(replace_tool, offer.down)))

    def _arrange_tools(self, offered: Mapping[str, Sequence[Tool]]) -> tuple[Tool, ...]:
        """The tools in the order of the offer, with others between them, half of the same categories."""
        config, rng = self._config, self._rng
        needed = [tool for tools in offered.values() for tool in tools]
        others = [tool for tool in self._pool.others if tool.need not in offered]
        akin = {tool.category for tool in needed}
        fewest, most = config.tools
        wanted = rng.between(fewest, most) - len(needed)
        near = rng.sample([tool for tool in others if tool.category in akin], (wanted + 1) // 2)
        far = rng.sample([tool for tool in others if tool.category not in akin], wanted - len(near))
        places: list[Tool] = [*near, *far]
        for tools in offered.values():
            cuts = sorted(rng.below(len(places) + 1) for _ in tools)
            for shift, (cut, tool) in enumerate(zip(cuts, tools, strict=True)):
                places.insert(cut + shift, tool)
        return tuple(places)
