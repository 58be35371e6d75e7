"""The language of each caller, for models that are told it: one model, one batch, many languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nemotron_speech.errors import BadRequest, ConfigurationError

if TYPE_CHECKING:
    import torch

AUTO = "auto"


class Languages:
    """Languages that a caller may ask for.

    Args:
        prompts: Name of a language to its index in the model; empty for a model that is not told.
        default: The language of a caller that names none.
    """

    def __init__(self, prompts: Mapping[str, int], default: str) -> None:
        self._prompts = dict(prompts)
        self._default = default
        if prompts and default not in prompts:
            self._default = next((name for name in (AUTO, *prompts) if _same(name, default)), AUTO)
            if self._default not in prompts:
                raise ConfigurationError(
                    f"language {default!r} is not one of the model's: {', '.join(prompts)}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The default first."""
        return (self._default, *(name for name in self._prompts if name != self._default))

    def index(self, language: str | None) -> int:
        """Return the prompt of a language; `en` finds `en-US`. Raises BadRequest for an unknown one."""
        wanted = language or self._default
        found = wanted if wanted in self.names else next((n for n in self.names if _same(n, wanted)), None)
        if found is None:
            allowed = ", ".join(self.names)
            raise BadRequest(f"this model does not know the language {language!r}; allowed: {allowed}")
        return self._prompts.get(found, 0)


class LanguagePrompt:
    """Tells the model the language of each stream, between its encoder and its decoder.

    Args:
        model: A NeMo model with prompts.
    """

    def __init__(self, model: Any) -> None:
        self._kernel, self._count = model.prompt_kernel, model.num_prompts

    def __call__(self, encoded: torch.Tensor, prompts: Sequence[int]) -> torch.Tensor:
        """Return `[B, D, T]` encoder frames told that row i is in language `prompts[i]`."""
        import torch

        chosen = torch.tensor(prompts, device=encoded.device)
        told = torch.nn.functional.one_hot(chosen, self._count).to(encoded.dtype)
        frames = encoded.transpose(1, 2)
        told = told[:, None].expand(-1, frames.shape[1], -1)
        return self._kernel(torch.cat((frames, told), -1)).transpose(1, 2)


def prompts_of(model: Any) -> Mapping[str, int]:
    """Return the languages a model may be told; empty when it takes none."""
    if not getattr(model, "concat", False):
        return {}
    return {str(name): int(i) for name, i in model.cfg.model_defaults.prompt_dictionary.items()}


def _same(name: str, wanted: str) -> bool:
    """Return True if a language, with or without region, is the one asked for, whatever the case."""
    return name.lower() == wanted.lower() or name.lower().startswith(f"{wanted.lower()}-")
