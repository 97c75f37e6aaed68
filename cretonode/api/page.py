"""The page at /docs: every route for people, made from the OpenAPI document. Pure.

Self-contained: validators often stand in networks without a way to the Internet.
"""

from html import escape
from typing import Final

from cretonode.api.answers import Json
from cretonode.api.problems import PROBLEMS

STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
code { font: 14px ui-monospace, monospace; background: #8882; padding: .1em .3em }
section { border-top: 1px solid #8885; margin-top: 1.5rem }
table { border-collapse: collapse }
td { padding: .1em 1em .1em 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #14161a; color: #ddd } a { color: #8bf } }
"""


def docs_page(document: dict[str, Json]) -> bytes:
    """Return the page for an OpenAPI document, UTF-8."""
    info, paths = _members(document["info"]), _members(document["paths"])
    sections = [
        _section(method.upper(), path, _members(operation))
        for path, item in paths.items()
        for method, operation in _members(item).items()
    ]
    problems = "".join(
        f"<tr><td>{status}</td><td><code>{escape(name)}</code></td><td>{escape(title)}</td></tr>"
        for name, (status, title) in PROBLEMS.items()
    )
    title = f"{_text(info['title'])} {_text(info['version'])}"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>{_text(info['summary'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. The last finalized sequence'
        ' and more: <a href="/v1/status">status</a>.</p>'
        f"{''.join(sections)}<section><h2>Problems</h2><table>{problems}</table></section>"
        "</body></html>"
    ).encode()


def _section(method: str, path: str, operation: dict[str, Json]) -> str:
    rows = []
    for parameter in map(_members, _items(operation.get("parameters", []))):
        name, place = _text(parameter["name"]), _text(parameter["in"])
        rows.append(_row(f"{name} ({place})", _text(parameter["description"])))
    body = _members(operation.get("requestBody", {}))
    if body:
        kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in _members(body["content"]))
        rows.append(_row("body", f"{_text(body['description'])} {kinds}"))
    for status, response in _members(operation["responses"]).items():
        if status != "default":
            rows.append(_row(escape(status), _text(_members(response)["description"])))
    return (
        f"<section><h2><code>{method} {escape(path)}</code></h2>"
        f"<p><b>{_text(operation['summary'])}.</b> {_text(operation.get('description', ''))}</p>"
        f"<table>{''.join(rows)}</table></section>"
    )


def _row(name: str, meaning: str) -> str:
    return f"<tr><td><code>{name}</code></td><td>{meaning}</td></tr>"


def _text(value: Json) -> str:
    assert isinstance(value, str), value
    return escape(value)


def _items(value: Json) -> list[Json]:
    assert isinstance(value, list), value
    return value


def _members(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict), value
    return value
