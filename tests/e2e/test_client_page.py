"""The page at /client in a real browser, against the real bot and the embedded servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from tests.e2e.browser_mic import Visit, speech, visit

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
NARROWEST = 360


class Stack(Protocol):
    @property
    def url(self) -> str:
        """Where the bot is called."""
        ...


@pytest.fixture
def page_url(embedded_stack: Stack) -> str:
    return f"{embedded_stack.url}/client/"


def hosts(urls: list[str]) -> set[str]:
    return {urlsplit(url).netloc for url in urls if not url.startswith(("blob:", "data:"))}


async def screenshot(visited: Visit, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    await visited.page.screenshot(path=ARTIFACTS / f"client-{name}.png")


async def greeted(visited: Visit) -> None:
    """Connect with the keyboard and hear the greeting out."""
    await visited.page.keyboard.press("Enter")
    await visited.phase("speaking")
    await visited.phase("listening")


async def write(visited: Visit, text: str) -> None:
    await visited.page.fill("#message", text)
    await visited.page.keyboard.press("Enter")


async def until_said(visited: Visit, words: str, timeout_s: float = 30.0) -> None:
    """Wait for the bot to say these words."""
    said = visited.page.locator(".entry.bot .settled").filter(has_text=words)
    await said.first.wait_for(timeout=timeout_s * 1000)


async def test_a_spoken_question_is_shown_and_answered_aloud(page_url: str) -> None:
    async with visit(page_url) as visited:
        await screenshot(visited, "welcome")
        await greeted(visited)
        before = await visited.bot_audio_energy()

        question = asyncio.create_task(visited.say(speech("What is seventeen times twenty three?")))
        await visited.phase("hearing")
        await question
        await visited.phase("speaking")
        await visited.phase("listening")

        heard = set((await visited.said("user"))[-1].lower().split())
        assert len(heard & {"what", "is", "seventeen", "times", "twenty", "three"}) >= 4, heard
        assert len(await visited.said("bot")) == 2
        assert await visited.bot_audio_energy() > before + 0.001
        assert await visited.page.locator(".figure b").inner_text()
        assert await visited.page.locator(".timing .bar i").count() > 1
        assert await visited.page.locator("#live").inner_text()
        assert visited.complaints == []


async def test_speaking_over_the_bot_stops_it_and_marks_the_reply(page_url: str) -> None:
    async with visit(page_url) as visited:
        await greeted(visited)
        await write(visited, "Tell me a story.")
        await visited.phase("speaking")
        await visited.page.wait_for_timeout(1500)
        await screenshot(visited, "light")

        barge_in = asyncio.create_task(visited.say(speech("Stop! What time is it?")))
        await visited.phase("interrupted")
        assert await visited.page.locator(".entry.bot .tag.stopped").count() == 1
        assert await visited.page.locator(".entry.bot .open").count() == 0
        await barge_in
        await visited.phase("thinking", "speaking")
        await visited.page.click("#theme")
        await screenshot(visited, "dark")
        assert await visited.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert visited.complaints == []


async def test_typed_text_is_answered_aloud_and_nothing_leaves_for_another_host(page_url: str) -> None:
    async with visit(page_url) as visited:
        await greeted(visited)
        before = await visited.bot_audio_energy()
        await write(visited, "What is two plus two?")
        await until_said(visited, "four")
        await visited.phase("listening")

        assert await visited.said("user") == ["What is two plus two?"]
        assert await visited.page.locator(".entry.user .tag").inner_text() == "typed"
        assert await visited.bot_audio_energy() > before + 0.001
        await visited.page.click("#hang-up")
        await visited.phase("offline")
        assert hosts(visited.requests) == {urlsplit(page_url).netloc}
        assert await visited.ice_servers() == []
        assert visited.complaints == []


async def test_without_a_microphone_the_page_says_why_and_goes_on_by_typing(page_url: str) -> None:
    async with visit(page_url, microphone="forbidden") as visited:
        await visited.page.click("#connect")
        problem = visited.page.get_by_role("alert")
        await problem.wait_for()
        assert "does not let this page use the microphone" in await problem.inner_text()

        await visited.page.get_by_role("button", name="Go on by typing").click()
        await visited.phase("speaking")
        await visited.phase("listening")
        assert not await visited.page.locator("#mute").is_visible()
        await write(visited, "What is two plus two?")
        await until_said(visited, "four")


async def test_a_full_server_is_named_and_tried_again(page_url: str) -> None:
    async with visit(page_url) as visited:
        full = {"status": 503, "headers": {"retry-after": "1"}, "json": {"detail": "Eight are talking."}}
        await visited.page.route("**/start", lambda route: route.fulfill(**full), times=1)
        await visited.page.click("#connect")
        problem = visited.page.get_by_role("alert")
        await problem.wait_for()
        assert "Eight are talking." in await problem.inner_text()
        await visited.phase("speaking")
        assert await problem.count() == 0


async def test_a_server_that_is_gone_is_named_and_found_again(page_url: str) -> None:
    async with visit(page_url) as visited:
        for path in ("**/start", "**/status"):
            await visited.page.route(path, lambda route: route.abort("connectionrefused"))
        await visited.page.click("#connect")
        problem = visited.page.get_by_role("alert")
        await problem.wait_for()
        shown = await problem.inner_text()
        assert f"{page_url.removesuffix('/client/')} is not answering" in shown
        assert "uv run nemotron" in shown
        await visited.phase("reconnecting")
        await visited.page.unroute_all()
        await visited.phase("speaking")
        assert await problem.count() == 0


async def test_mute_is_a_toggle_that_can_be_heard_and_seen(page_url: str) -> None:
    async with visit(page_url) as visited:
        await greeted(visited)
        mute = visited.page.locator("#mute")
        await visited.page.keyboard.press("Alt+m")
        assert await mute.get_attribute("aria-pressed") == "true"
        await visited.say(speech("What time is it?"))
        await visited.page.wait_for_timeout(1000)
        assert await visited.said("user") == []
        await mute.click()
        assert await mute.get_attribute("aria-pressed") == "false"


async def test_another_microphone_can_be_chosen_during_the_call(page_url: str) -> None:
    async with visit(page_url, microphone="device") as visited:
        await visited.page.click("#connect")
        await visited.phase("listening", "hearing", "speaking")
        before = await visited.microphone_in_use()
        await visited.page.locator(".devices summary").click()
        chooser = visited.page.get_by_role("combobox", name="Microphone")
        others = [name for name in await chooser.locator("option").all_inner_texts() if name != before]
        await chooser.select_option(label=others[-1])
        await visited.page.wait_for_timeout(500)
        assert await visited.microphone_in_use() == others[-1]
        assert await visited.page.get_by_role("alert").count() == 0


async def test_the_page_can_be_used_on_a_narrow_screen_and_without_sight(page_url: str) -> None:
    async with visit(page_url, width=NARROWEST, height=740) as visited:
        assert await visited.page.locator("#scroll").evaluate("box => box.scrollTop") == 0
        await greeted(visited)
        page = visited.page
        assert await page.evaluate("document.documentElement.scrollWidth") == NARROWEST
        for landmark in ("banner", "main"):
            assert await page.get_by_role(landmark).count() == 1
        for name in ("Call", "Conversation", "Response time", "Transcript"):
            assert await page.get_by_role("region", name=name).count() == 1
        for button in await page.get_by_role("button").all():
            assert (await button.get_attribute("aria-label") or await button.inner_text()).strip()
        assert await page.get_by_role("textbox", name="Message to the bot").is_enabled()
        assert await page.get_by_role("heading", level=1).inner_text() == "Nemotron-Speech"
        await screenshot(visited, "narrow")
