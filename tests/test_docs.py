"""What is generated from the code is committed as generated."""

import re
from pathlib import Path

from scripts import settings_docs

ROOT = Path(__file__).parent.parent


def test_env_example_documents_every_setting() -> None:
    assert (ROOT / ".env.example").read_text() == settings_docs.env_example(), (
        "run python -m scripts.settings_docs"
    )


def test_the_readme_lists_every_setting() -> None:
    text = (ROOT / "README.md").read_text()
    assert text == settings_docs.readme(text), "run python -m scripts.settings_docs"


def test_every_setting_says_what_it_means() -> None:
    for settings in settings_docs.CLASSES:
        for name, _, description in settings_docs.variables(settings):
            assert description, f"{name} has no description"


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = re.findall(
        r"`((?:src|pipecat_bots|tests|docs)/[\w/.]+?)`", (ROOT / "docs" / "architecture.md").read_text()
    )
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        (document.name, link)
        for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
        if not (document.parent / link).exists()
    ]
    assert broken == []


def test_every_decision_is_in_the_index_by_its_title() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        if page.name != "README.md":
            title = page.read_text().partition("\n")[0].removeprefix("# ")
            assert f"[{title}]({page.name})" in index
