"""Which models a run is asked of: what a person or the configuration names, else what discovery finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acp_agent.config.settings import Settings, model_for, resolve_chain
from acp_agent.domain.errors import NoModel, UsageError
from acp_agent.llm.gateway import Gateway
from acp_agent.llm.provider import ModelPrice

if TYPE_CHECKING:
    from acp_agent.llm.check import ModelCheck
    from acp_agent.llm.discover import Choice, Found

NO_MODEL = "set OPENAI_API_KEY or OPENAI_BASE_URL, start a LiteLLM proxy or Ollama, or give --model; acp models ls"


@dataclass(frozen=True, slots=True)
class Models:
    """The models of this process. `choices` keeps what discovery found, so that no turn asks again."""

    settings: Settings
    environ: Mapping[str, str]
    gateway: Gateway
    choices: "dict[bool, Choice]" = field(default_factory=dict)

    def named(
        self, *, flag: str | None, role: str, task: str | None = None, project: str | None = None
    ) -> tuple[str, ...] | None:
        """The chain somebody named, the strongest first: flag, ACP_MODEL, task, project, role, the alias `main`."""
        return model_for(self.settings, flag=flag, environ=self.environ, task=task, project=project, role=role)

    async def found(self, *, demonstration: bool = False) -> "Choice":
        """What discovery finds on this machine. Raises NoModel where there is none at all.

        `demonstration`: the caller holds the embedded model to what it can do.
        """
        from acp_agent.llm.discover import choose

        if demonstration not in self.choices:
            choice = await choose({}, self.environ, demonstration=demonstration)
            if not choice.models:
                looked = "; ".join(f"{row.source}: {row.why}" for row in choice.rows)
                raise NoModel(f"no model was found ({looked})", hint=NO_MODEL)
            self.choices[demonstration] = choice
        return self.choices[demonstration]

    async def survey(self) -> "tuple[Found, ...]":
        """Every place a model was looked for, what was found there and why."""
        from acp_agent.llm.discover import survey

        return await survey(self._named(), self.environ)

    async def check(self, names: Sequence[str]) -> "list[ModelCheck]":
        """One real call to each of `names` (aliases or models; by default the chain that a run would use)."""
        from acp_agent.llm.check import check_model
        from acp_agent.llm.discover import choose

        chosen = [model for name in names for model in resolve_chain(self.settings, name)]
        if not names:
            chosen = list((await choose(self._named(), self.environ, demonstration=True)).models)
        if not chosen:
            raise UsageError("no model was found", hint=NO_MODEL)
        return [await check_model(self.gateway, model) for model in dict.fromkeys(chosen)]

    def price(self, model: str) -> ModelPrice | None:
        """Price and sizes of `provider/model`; None where the price is unknown."""
        return self.gateway.price(model)

    def see(self, models: Sequence[str]) -> bool:
        """Whether one of `models`, each `provider/model`, is known to see pictures."""
        return any(map(self.gateway.sees, models))

    def _named(self) -> dict[str, tuple[str, ...]]:
        chain = self.named(flag=None, role="coder")
        return {"ACP_MODEL" if self.environ.get("ACP_MODEL") else "config.toml": chain} if chain else {}
