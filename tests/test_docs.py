"""What is generated from the code is committed as generated."""

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
