"""Tools of the language model: built-in ones, and those of MCP servers."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from loguru import logger
from pipecat.adapters.llm.schemas.direct_function import DirectFunction, tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.services.llm_service import FunctionCallParams

from nemotron_speech.errors import ConfigurationError
from nemotron_speech.invocation import install

Tools: TypeAlias = list[FunctionSchema | DirectFunction]

TOOL_TIMEOUT_S = 20.0
"""Seconds after which the model is told that the tool did not answer."""
MCP_CONNECT_TIMEOUT_S = 10.0


# --------------------------------------------------------------------------------------- built in


def checked(tool: DirectFunction) -> DirectFunction:
    """Have a call with wrong arguments answered with what the tool takes, so that the model can mend it."""
    signature = inspect.signature(tool)

    @functools.wraps(tool)
    async def call(params: FunctionCallParams, **arguments: Any) -> None:
        try:
            signature.bind(params, **arguments)
        except TypeError as error:
            takes = ", ".join(list(signature.parameters)[1:])
            await params.result_callback({"error": f"{error}; the arguments are: {takes}"})
        else:
            await tool(params, **arguments)

    return call


@checked
@tool_options(timeout_secs=TOOL_TIMEOUT_S)
async def get_current_time(params: FunctionCallParams, timezone: str = "") -> None:
    """Tell the current date and time.

    Args:
        timezone: An IANA time zone such as "Europe/Paris"; empty for the local one.
    """
    if timezone and timezone not in available_timezones():
        await params.result_callback(
            {"error": f"unknown time zone {timezone!r}; use an IANA name such as Europe/Paris"}
        )
        return
    now = datetime.now(ZoneInfo(timezone)) if timezone else datetime.now().astimezone()
    await params.result_callback(
        {"time": now.strftime("%H:%M"), "date": now.strftime("%A, %d %B %Y"), "timezone": timezone or "local"}
    )


@checked
@tool_options(timeout_secs=TOOL_TIMEOUT_S)
async def convert_units(params: FunctionCallParams, value: float, from_unit: str, to_unit: str) -> None:
    """Convert a quantity from one unit of measurement to another.

    Args:
        value: How much.
        from_unit: The unit it is in, such as "mile", "kg" or "degF".
        to_unit: The unit wanted, such as "km", "pound" or "degC".
    """
    await params.result_callback(await asyncio.to_thread(converted, value, from_unit, to_unit))


def converted(value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
    """Return the quantity in `to_unit`, or what is wrong with the question."""
    try:
        quantity = _units().Quantity(float(value), from_unit).to(to_unit)
    except Exception as error:  # noqa: BLE001  the library's errors share no base; the model is told each
        return {"error": f"cannot convert {from_unit} to {to_unit}: {error}"}
    return {"value": round(float(quantity.magnitude), 6), "unit": str(quantity.units)}


_registry: list[Any] = []


def _units() -> Any:
    """Return the registry of units, which takes a third of a second to make."""
    import pint

    if not _registry:
        _registry.append(pint.UnitRegistry(autoconvert_offset_to_baseunit=True))
    return _registry[0]


BUILT_IN: Mapping[str, DirectFunction] = {"time": get_current_time, "units": convert_units}


# -------------------------------------------------------------------------------------------- all


@asynccontextmanager
async def toolbox(names: Sequence[str], mcp_servers: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[Tools]:
    """Give the tools of a session. An MCP server that is away costs its own tools and no others.

    Args:
        names: Names of built-in tools.
        mcp_servers: Name to `{"command": …, "args": […], "env": {…}}` or `{"url": …, "headers": {…}}`.

    Raises ConfigurationError for servers that make no sense.
    """
    tools: Tools = [BUILT_IN[name] for name in names]
    clients = [(name, _mcp_client(name, server)) for name, server in mcp_servers.items()]
    for name, found in zip(mcp_servers, await asyncio.gather(*(_found(*c) for c in clients)), strict=True):
        logger.info(f"MCP server {name}: {len(found)} tools")
        tools += found
    try:
        yield tools
    finally:
        for _, client in clients:
            await client.close()


def check_servers(mcp_servers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ConfigurationError for servers that make no sense, before a caller is there."""
    for name, server in mcp_servers.items():
        _mcp_client(name, server)


def _mcp_client(name: str, server: Mapping[str, Any]) -> Any:
    try:
        from mcp import StdioServerParameters
        from mcp.client.session_group import StreamableHttpParameters
        from pipecat.services.mcp_service import MCPClient
    except ImportError as error:
        raise ConfigurationError(f"tools of MCP servers need an extra: {install(['mcp'])}") from error
    kind = StdioServerParameters if "command" in server else StreamableHttpParameters
    try:
        return MCPClient(kind(**server))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f'MCP server {name}: give {{"command": …, "args": […]}} or {{"url": …}}: {error}'
        ) from None


async def _found(name: str, client: Any) -> Tools:
    try:
        async with asyncio.timeout(MCP_CONNECT_TIMEOUT_S):
            return list((await client.tools()).standard_tools)
    except Exception as error:  # noqa: BLE001  whatever a foreign server does wrong
        logger.warning(f"MCP server {name} is left out: {error or type(error).__name__}")
        return []
